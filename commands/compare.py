"""How good the shared model is, beside each enterprise alone and beside pooled training.

The two yardsticks need all rows in one place; only the demo has them, since it made the shares.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from commands.hospitals import Floats, Labels, Split
from policies.tensors import unpack_tensors

EPOCHS = 24


@dataclass(frozen=True, slots=True)
class Comparison:
    """Accuracy on the rows that nobody trained on."""

    shared: float
    alone: dict[str, float]
    pooled: float


def compare_accuracy(
    app: Path,
    split: Split,
    *,
    model: Path,
    participants: Sequence[str],
    overrides: Mapping[str, object],
) -> Comparison:
    """Evaluate the shared model; train the same network alone and pooled for as many epochs.

    Args:
        app: folder of the tabular app, whose network and training are used.
        model: the run's last model.
        participants: whose shares the run could use.
        overrides: of the app's config: the network's size, as in the run.
    """
    with (app / "pyproject.toml").open("rb") as file:
        config = tomllib.load(file)["tool"]["flwr"]["app"]["config"]
    config = {**config, **overrides, "local-epochs": EPOCHS}
    with _app_modules(app) as (network, training):
        import torch  # noqa: PLC0415  (an extra)

        torch.set_num_threads(1)

        def trained(rows: tuple[Floats, Labels]) -> float:
            torch.manual_seed(int(config["seed"]))
            net = network.build(config)
            features, labels = torch.from_numpy(rows[0]), torch.from_numpy(rows[1])
            training.fit(net, features, labels, config)
            return accuracy(net)

        def accuracy(net: Any) -> float:
            with torch.no_grad():
                guess = net(torch.from_numpy(split.test[0])).argmax(dim=1).numpy()
            return float(np.mean(guess == split.test[1]))

        shared = network.build(config)
        state = unpack_tensors(model.read_bytes(), noted=True)
        shared.load_state_dict(
            {name: torch.from_numpy(value.copy()) for name, value in state.items()}
        )
        shares = [split.shares[name] for name in participants]
        pooled = (np.concatenate([x for x, _ in shares]), np.concatenate([y for _, y in shares]))
        return Comparison(
            shared=accuracy(shared),
            alone={name: trained(split.shares[name]) for name in participants},
            pooled=trained(pooled),
        )


@contextmanager
def _app_modules(app: Path) -> Iterator[tuple[Any, Any]]:
    """The app's own modules, imported from its folder."""
    sys.path.insert(0, str(app))
    try:
        yield (
            importlib.import_module("tabular.model"),
            importlib.import_module("tabular.client_app"),
        )
    finally:
        sys.path.remove(str(app))
