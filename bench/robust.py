"""What one enterprise that flips its update's sign does to a run, way of adding by way of adding.

    python bench/robust.py [--rounds 20] [--boost 10] [--json FILE]

Ten enterprises share scikit-learn's digits; softmax regression, ten gradient steps a round, in this
process and without any node: what is measured is `server.robust` and `clients.clipping` alone. The
liar sends the incoming model minus `boost` times its honest step.
"across 3 groups" is what the ServerApp does under masks, where it sees the groups' means only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

sys.path.insert(0, str(Path(__file__).parents[1]))

from clients.clipping import clip
from policies.flattening import flatten, unflatten
from policies.statements import Aggregation
from policies.tensors import Tensors
from server.robust import combine, combine_means

ENTERPRISES = 10
CLIP = "1"
STEPS, RATE = 10, 0.5

Numbers = npt.NDArray[np.float64]
Updates = list[tuple[Tensors, int]]
Adds = Callable[[Updates, Tensors], Tensors]


@dataclass(frozen=True, slots=True)
class Shares:
    """Each enterprise's rows, and rows that nobody trains on."""

    features: list[Numbers]
    labels: list[npt.NDArray[np.int64]]
    test_features: Numbers
    test_labels: npt.NDArray[np.int64]


def shares(seed: int = 7) -> Shares:
    """The digits, dealt out evenly."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x, y = digits.data[order] / 16.0, digits.target[order]
    test, own = slice(0, 360), slice(360, None)
    return Shares(
        features=np.array_split(x[own], ENTERPRISES),
        labels=np.array_split(y[own], ENTERPRISES),
        test_features=x[test],
        test_labels=y[test],
    )


def accuracy(of: Shares, adds: Adds, *, rounds: int, boost: float, clip_norm: str = "") -> float:
    """Test accuracy after so many rounds, enterprise 0 being the liar.

    Args:
        boost: what the liar's flipped step is multiplied with; 0 makes it honest.
        clip_norm: to which each node's parent clips; "" is none.
    """
    model: Tensors = {"b": np.zeros(10), "w": np.zeros((64, 10))}
    for _ in range(rounds):
        updates: Updates = []
        for number, (x, y) in enumerate(zip(of.features, of.labels, strict=True)):
            update = _trained(model, x, y)
            if number == 0 and boost:
                update = {
                    name: model[name] - boost * (update[name] - model[name]) for name in model
                }
            updates.append((clip(update, model, clip_norm)[0], len(y)))
        model = adds(updates, model)
    guessed = (of.test_features @ model["w"] + model["b"]).argmax(axis=1)
    return float((guessed == of.test_labels).mean())


def plainly(how: Aggregation) -> Adds:
    """Across updates, as where nothing is masked."""
    return lambda updates, model: combine(how, updates, model)


def across_groups(how: Aggregation, groups: int = 3) -> Adds:
    """Across the means of groups, as under masks; dealt anew each round, as permits do."""
    dice = np.random.default_rng(11)

    def adds(updates: Updates, model: Tensors) -> Tensors:
        order = dice.permutation(len(updates))
        means = [
            _mean_step([updates[one] for one in order[at::groups]], model) for at in range(groups)
        ]
        return unflatten(model, combine_means(how, means))

    return adds


WAYS: dict[str, tuple[Adds, str]] = {
    "mean": (plainly("mean"), ""),
    f"mean, clipped to {CLIP}": (plainly("mean"), CLIP),
    "median": (plainly("median"), ""),
    "trimmed mean": (plainly("trimmed-mean"), ""),
    "multi-krum": (plainly("multi-krum"), ""),
    "median across 3 groups": (across_groups("median"), ""),
    "trimmed mean across 3 groups": (across_groups("trimmed-mean"), ""),
    f"median across 3 groups, clipped to {CLIP}": (across_groups("median"), CLIP),
}


def _mean_step(updates: Sequence[tuple[Tensors, int]], model: Tensors) -> Numbers:
    total = sum(rows for _, rows in updates)
    steps = [
        np.concatenate([part.copy() for part in flatten(update, model, rows / total)])
        for update, rows in updates
    ]
    mean: Numbers = np.sum(steps, axis=0)
    return mean


def _trained(model: Tensors, x: Numbers, y: npt.NDArray[np.int64]) -> Tensors:
    w, b = model["w"].astype(np.float64), model["b"].astype(np.float64)
    wanted = np.eye(10)[y]
    for _ in range(STEPS):
        scores = x @ w + b
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        off = chances / chances.sum(axis=1, keepdims=True) - wanted
        w -= RATE * x.T @ off / len(y)
        b -= RATE * off.mean(axis=0)
    return {"b": b, "w": w}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--boost", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    of, found = shares(), {}
    print(f"{ENTERPRISES} enterprises, {asked.rounds} rounds, one flips its sign x {asked.boost:g}")
    print(f"{'':42} honest  with the liar")
    for name, (adds, norm) in WAYS.items():
        pair = [
            accuracy(of, adds, rounds=asked.rounds, boost=boost, clip_norm=norm)
            for boost in (0.0, asked.boost)
        ]
        found[name] = pair
        print(f"{name:42} {pair[0]:6.3f}  {pair[1]:6.3f}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
