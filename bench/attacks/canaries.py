"""Auditing with one run: a lower bound on epsilon (Steinke, Nasr, Jagielski, NeurIPS 2023).

Each of m canaries takes part or not by a fair coin of its own. The auditor guesses the coins of
those r that it is surest of, and abstains from the others. Under (epsilon, delta) the number of
right guesses is, but for delta, at most Binomial(r, e^epsilon / (e^epsilon + 1)) (theorem 5.2); the
bound is the largest epsilon that so many right guesses refute, at 95 % confidence. Several r are
tried, and the confidence is shared among them.

It can be no larger than about ln(m / 3), however much leaks: what an audit does not find is not
shown to be safe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from bench.attacks.accounting import DELTA
from bench.attacks.data import Floats, Labels, Population
from bench.attacks.membership import Bools, area, confidence
from bench.attacks.perceptron import Perceptrons, backward, with_one
from bench.attacks.training import Plan, clipping, plain, private

CONFIDENCE = 0.95
SURE = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)
"""Shares of the canaries that are guessed."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What one run's canaries show.

    Attributes:
        epsilon: lower bound at 95 % confidence.
        most: the largest bound that so many canaries can give.
        auc: how well those that took part are told from the others.
    """

    epsilon: float
    most: float
    auc: float
    canaries: int


def audit(values: Floats, member: Bools) -> Audit:
    """The bound from a score of each canary (higher: more likely a member) and its coin."""
    epsilon = _bound(values, member)
    most = _bound(member.astype(np.float64), member)
    return Audit(epsilon, most, area(values, member), len(values))


def _bound(values: Floats, member: Bools) -> float:
    order = np.argsort(-values, kind="stable")
    best = 0.0
    for share in SURE:
        each = max(1, int(len(values) * share / 2))
        right = int(member[order[:each]].sum() + (~member[order[-each:]]).sum())
        chance = (1 - CONFIDENCE) / len(SURE)
        best = max(best, least_epsilon(len(values), 2 * each, right, chance))
    return best


def least_epsilon(canaries: int, guesses: int, right: int, chance: float) -> float:
    """The largest epsilon under which so many right guesses had at most this chance."""
    low, high = 0.0, 50.0
    if _likelihood(canaries, guesses, right, low) > chance:
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2
        if _likelihood(canaries, guesses, right, middle) > chance:
            high = middle
        else:
            low = middle
    return low


def _likelihood(canaries: int, guesses: int, right: int, epsilon: float) -> float:
    """An upper bound on P(right guesses or more); theorem 5.2 and its appendix D."""
    chance = 1 / (1 + np.exp(-epsilon))
    tail = float(binom.sf(right - 1, guesses, chance))
    counts = np.arange(1, right + 1)
    worst = np.cumsum(binom.pmf(right - counts, guesses, chance)) / counts
    return min(1.0, tail + float(worst.max(initial=0.0)) * float(DELTA) * 2 * canaries)


@dataclass(frozen=True, slots=True)
class Mislabelled:
    """Canaries among the records: a wrong label each, in one run.

    Attributes:
        watched: by an aggregator who knows all records and canaries, and wants the coins only.
        released: by whoever has the released model only; a canary that was trained on is believed.
    """

    watched: Audit | None
    released: Audit


def mislabelled(
    population: Population, plan: Plan, noise: float, seed: int, *, train_plainly: bool = False
) -> Mislabelled:
    """Half of the records are canaries, half of these take part, all others do.

    Args:
        train_plainly: federated averaging, of which only the released model is looked at.
    """
    rng = np.random.default_rng(seed)
    count = len(population.rows)
    canary = np.zeros(count, dtype=bool)
    canary[rng.permutation(count)[: count // 2]] = True
    wrong = population.labels + rng.integers(1, population.classes, count)
    labels = np.where(canary, wrong % population.classes, population.labels)
    member = (rng.random(count) < 0.5)[canary]
    taken = np.ones((1, count), dtype=bool)
    taken[0, canary] = member
    watched = None
    if train_plainly:
        model = plain(population, taken, plan, seed, labels)
    else:
        watcher = _Watcher(population, labels, canary, plan)
        model = private(population, taken, plan, noise, seed, labels=labels, watch=watcher)
        watched = audit(watcher.scores(noise * plan.clip), member)
    sure = confidence(model, population.rows[canary], labels[canary])[0]
    return Mislabelled(watched, audit(sure, member))


class _Watcher:
    """The coins' linear least squares over all rounds.

    Each opened sum less what all others gave is the sum of the canaries' steps, each times its
    coin, and noise: so many equations as the model has numbers, in each round.
    """

    def __init__(self, population: Population, labels: Labels, canary: Bools, plan: Plan) -> None:
        rows = with_one(population.rows)
        self._canaries = rows[canary], labels[canary]
        self._others = rows[~canary], labels[~canary]
        self._plan = plan
        self._gram = np.zeros((len(rows[canary]),) * 2)
        self._seen = np.zeros(len(rows[canary]))

    def __call__(self, model: Perceptrons, opened: Perceptrons) -> None:
        others = backward(model, *self._others)
        known = others.total(clipping(others.norms(), self._plan))
        rest = Perceptrons(opened.first + known.first, opened.second + known.second)
        canaries = backward(model, *self._canaries)
        weights = clipping(canaries.norms(), self._plan)
        self._gram += canaries.gram(weights)[0]
        # Steps go down the gradient.
        self._seen -= (weights * canaries.along(rest))[0]

    def scores(self, deviation: float) -> Floats:
        """The coins' posterior means less one half, coins of variance 1/4 taken for normal."""
        unit = np.trace(self._gram) / len(self._gram)
        ridge = max(4 * deviation**2, 1e-6 * unit)
        rest = self._seen - 0.5 * self._gram.sum(1)
        return np.asarray(np.linalg.solve(self._gram + ridge * np.eye(len(rest)), rest))
