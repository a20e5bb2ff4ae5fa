"""What the aggregator sees of one round, and what it knows beside it.

Every attack is granted more than a real attacker has: the labels of the records, their number, the
model, the clip, and public records of the same kind for a prior. A guess is matched to the record
that it fits best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.attacks.data import Floats, Labels, Population
from bench.attacks.perceptron import Perceptrons, backward, with_one
from bench.attacks.training import Plan, clipping


@dataclass(frozen=True, slots=True)
class View:
    """Whose gradients a sum is of, and how it was protected.

    Attributes:
        clients: in the sum; 1 is an update in the clear.
        batch: records of each client.
        plan: its clip and step bound each record's part; None bounds nothing.
        noise: standard deviation in each number, in units of the clip.
    """

    name: str
    clients: int
    batch: int
    plan: Plan | None = None
    noise: float = 0.0

    @property
    def records(self) -> int:
        return self.clients * self.batch

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise in each number of the sum."""
        return self.noise * self.plan.clip if self.plan else 0.0


@dataclass(frozen=True, slots=True)
class Prior:
    """The normal distribution of public records."""

    mean: Floats
    covariance: Floats


def prior_of(population: Population) -> Prior:
    """From the population's public rows."""
    spread = np.cov(population.public.T) + 1e-4 * np.eye(population.public.shape[1])
    return Prior(population.public.mean(0), spread)


def draw(population: Population, view: View, rng: np.random.Generator) -> tuple[Floats, Labels]:
    """The records of one trial."""
    chosen = rng.choice(len(population.rows), view.records, replace=False)
    return population.rows[chosen], population.labels[chosen]


def opened(
    model: Perceptrons, rows: Floats, labels: Labels, view: View, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """The sum of the gradients that the aggregator opens: of the first layer, and the second.

    Computed in float64, so that no rounding protects anything.
    """
    exact = Perceptrons(model.first.astype(np.float64), model.second.astype(np.float64))
    wide = with_one(rows).astype(np.float64)
    wide[:, :-1] = rows
    signals = backward(exact, wide, labels)
    norms = signals.norms()
    weights = np.ones_like(norms) if view.plan is None else clipping(norms, view.plan)
    total = signals.total(weights)
    first, second = (
        np.asarray(part[0], dtype=np.float64) + rng.normal(0, view.deviation, part[0].shape)
        for part in (total.first, total.second)
    )
    return first, second
