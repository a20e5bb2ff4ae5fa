"""The data that is attacked: scikit-learn's digits, and the demo's hospitals.

Both come with scikit-learn; nothing is downloaded.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from commands.hospitals import HOSPITALS, split_data

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
SEED = 20
DIGIT_ENTERPRISES = 10
TABULAR = Path(__file__).parents[2] / "clients" / "apps" / "tabular" / "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Population:
    """Records of several enterprises, and records that none of them has.

    Attributes:
        rows: [records, features], as the model's first layer gets them.
        owner: [records], the enterprise that each record is at, from 0.
        public: rows that nobody trains on: the test set, and what an attacker knows of such data.
        low: the least value of each feature; an attacker knows it.
        high: the largest value of each feature.
        hidden: width of the model that is trained on them.
    """

    name: str
    rows: Floats
    labels: Labels
    owner: Labels
    public: Floats
    public_labels: Labels
    low: Floats
    high: Floats
    classes: int
    hidden: int

    @property
    def enterprises(self) -> int:
        return int(self.owner.max()) + 1


def digits(hidden: int = 128) -> Population:
    """1,797 images of 8 x 8 pixels from 0 to 1, a fifth of them public, the others dealt to ten."""
    bunch = load_digits()
    rows = np.asarray(bunch.data, dtype=np.float64) / 16.0
    labels = np.asarray(bunch.target, dtype=np.int64)
    order = np.random.default_rng(SEED).permutation(len(rows))
    public, own = order[: len(rows) // 5], order[len(rows) // 5 :]
    return Population(
        name="digits",
        rows=rows[own],
        labels=labels[own],
        owner=np.arange(len(own)) % DIGIT_ENTERPRISES,
        public=rows[public],
        public_labels=labels[public],
        low=np.zeros(rows.shape[1]),
        high=np.ones(rows.shape[1]),
        classes=10,
        hidden=hidden,
    )


def hospitals() -> Population:
    """The demo's biopsies, scaled and modelled as `clients/apps/tabular` does: from -2 to 2."""
    config = tomllib.loads(TABULAR.read_text(encoding="utf-8"))["tool"]["flwr"]["app"]["config"]
    least, most = (np.array(config[name].split(), dtype=np.float64) for name in ("least", "most"))
    split = split_data()
    shares = [split.shares[hospital.name] for hospital in HOSPITALS]
    rows = np.concatenate([features for features, _ in shares])
    rows, public = (
        np.clip(4 * (part - least) / (most - least) - 2, -10, 10) for part in (rows, split.test[0])
    )
    return Population(
        name="hospitals",
        rows=rows,
        labels=np.concatenate([labels for _, labels in shares]),
        owner=np.repeat(np.arange(len(shares)), [len(labels) for _, labels in shares]),
        public=public,
        public_labels=split.test[1],
        # A hair beyond the published bounds: they are rounded.
        low=np.full(len(least), -2.1),
        high=np.full(len(least), 2.1),
        classes=int(config["classes"]),
        hidden=int(config["hidden"]),
    )
