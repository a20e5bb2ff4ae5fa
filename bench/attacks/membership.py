"""Membership inference on a released model: LiRA (Carlini et al., IEEE S&P 2022), online.

For each record the logit-scaled confidence phi = log(p_y / (1 - p_y)) of shadow models that were
trained with it, and of those that were not, gives two normal distributions; the score of a target
is the ratio of the two likelihoods. With few shadows the variances are taken over all records
(section VI-B of the paper). Models come in pairs that share out the records between them. Each is
the target once, and all pairs but its own are its shadows: 34 models are 34 targets with 32 shadows
each, of which about 16 have a record and 16 do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from bench.attacks.perceptron import Perceptrons, scores, with_one

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Membership:
    """How well members are told from others.

    Attributes:
        auc: area under the curve; 0.5 is guessing.
        low: of its 95 % interval, by a bootstrap over targets and records.
        high: of the same.
        tpr: share of the members found where 1 % of the others are taken for members.
    """

    auc: float
    low: float
    high: float
    tpr: float


def confidence(
    model: Perceptrons, rows: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> Floats:
    """phi of each model and record, [m, n]."""
    chances = scores(model, with_one(rows)).astype(np.float64)
    right = np.broadcast_to(labels, chances.shape[:2])[..., None]
    own = np.take_along_axis(chances, right, -1)[..., 0]
    np.put_along_axis(chances, right, -np.inf, -1)
    top = chances.max(-1)
    others = top + np.log(np.exp(chances - top[..., None]).sum(-1))
    return np.asarray(own - others)


def likelihood_ratios(phi: Floats, taken: Bools) -> Floats:
    """The score of each target and record, from all models but the target's pair, [m, n].

    Args:
        phi: models 2 i and 2 i + 1 are a pair.
        taken: which records each was trained on.

    Raises:
        ValueError: some record is in fewer than two shadows, or out of fewer than two.
    """
    result = np.empty_like(phi)
    for target in range(len(phi)):
        others = np.arange(len(phi)) // 2 != target // 2
        seen, member = phi[others], taken[others]
        with_it, without = _normal(seen, member), _normal(seen, ~member)
        result[target] = _log_density(phi[target], *with_it) - _log_density(phi[target], *without)
    return result


def _normal(phi: Floats, which: Bools) -> tuple[Floats, float]:
    count = which.sum(0)
    if count.min() < 2:
        raise ValueError(
            f"shadow models: two for each record at least, got {count.min()}; use more"
        )
    mean = (phi * which).sum(0) / count
    variance = (np.square(phi - mean) * which).sum() / (count - 1).sum()
    return mean, float(variance)


def _log_density(value: Floats, mean: Floats, variance: float) -> Floats:
    return np.asarray(-np.square(value - mean) / (2 * variance) - 0.5 * np.log(variance))


def measure(ratios: Floats, taken: Bools, *, draws: int = 200, seed: int = 0) -> Membership:
    """The figures of all targets together."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        targets = rng.integers(len(ratios), size=len(ratios))
        records = rng.integers(ratios.shape[1], size=ratios.shape[1])
        picked = np.ix_(targets, records)
        found.append(area(ratios[picked].ravel(), taken[picked].ravel()))
    low, high = np.quantile(found, [0.025, 0.975])
    flat, member = ratios.ravel(), taken.ravel()
    return Membership(area(flat, member), float(low), float(high), power(flat, member, 0.01))


def area(values: Floats, member: Bools) -> float:
    """Area under the curve: the chance that a member scores above another, ties counted half."""
    ranks = rankdata(values)
    inside, outside = int(member.sum()), int((~member).sum())
    return float((ranks[member].sum() - inside * (inside + 1) / 2) / (inside * outside))


def power(values: Floats, member: Bools, false_positives: float) -> float:
    """Share of the members above the score that so large a share of the others is above."""
    return float((values[member] > np.quantile(values[~member], 1 - false_positives)).mean())
