"""Gradient inversion: the rows behind a sum of gradients.

*Analytic*: in a linear layer the gradient of a neuron's weights is the sum of g_b x_b over records,
and that of its bias the sum of g_b; their ratio is a record wherever one record alone moves the
neuron (Phong et al. 2018; Geiping et al., NeurIPS 2020, proposition 3.1).

*Optimised*: rows whose gradients sum to what was seen (Zhu, Liu, Han, Deep leakage from gradients,
NeurIPS 2019; Geiping et al.), by L-BFGS in float64: the rows most
likely a posteriori, the noise and public records being normal. Without noise the search supposes a
little of it, then less and less, then none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor
from torch.nn.functional import one_hot

from bench.attacks.data import Floats, Labels, Population
from bench.attacks.perceptron import Perceptrons
from bench.attacks.similarity import nearest
from bench.attacks.views import Prior, View, draw, opened, prior_of

Sums = tuple[Floats, Floats]


SUPPOSED = (0.1, 0.01, 1e-3, 1e-4, 0.0)
"""Noise that the search supposes where there is none, in units of the sum's root mean square."""

EXPLAINED = 1e-22
"""A loss below which there is nothing left to explain; the search ends."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard the search tries; of several starts the one with the least loss counts."""

    starts: int = 2
    steps: int = 600


def invert(
    population: Population,
    model: Perceptrons,
    view: View,
    trials: int,
    seed: int,
    effort: Effort | None = None,
) -> list[Floats]:
    """The PSNR of each record in each trial, by whichever of the two attacks is nearer."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        rows, labels = draw(population, view, rng)
        sums = opened(model, rows, labels, view, rng)
        guesses = [analytic(sums)]
        guesses.append(optimised(population, model, sums, labels, view, rng, effort or Effort()))
        found.append(nearest(rows, np.concatenate(guesses), population))
    return found


def analytic(sums: Sums) -> Floats:
    """A guess from each neuron of the first layer that moved at all, [guesses, features]."""
    weights, bias = sums[0][:-1].T, sums[0][-1]
    moved = np.abs(bias) > 1e-12 * np.abs(bias).max()
    return np.asarray(weights[moved] / bias[moved, None])


def optimised(
    population: Population,
    model: Perceptrons,
    sums: Sums,
    labels: Labels,
    view: View,
    rng: np.random.Generator,
    effort: Effort,
) -> Floats:
    """The rows that explain the sums best, [records, features]."""
    prior = prior_of(population)
    searches = _searches(model, sums, labels, view, prior)
    shape = (len(labels), len(prior.mean))
    best, least = np.empty(shape), np.inf
    for _ in range(effort.starts):
        at = rng.normal(size=len(labels) * len(prior.mean))
        for search in searches:
            options = {
                "maxiter": effort.steps,
                "maxfun": effort.steps,
                "maxcor": 30,
                "ftol": 1e-9 if search.deviation else 0,
                "gtol": 0,
            }
            found = minimize(
                search, at, jac=True, method="L-BFGS-B", options=options, callback=_explained
            )
            at = found.x
        if found.fun < least:
            best, least = searches[-1].rows(at), found.fun
        if least < EXPLAINED:
            break
    return best


def _explained(intermediate_result: OptimizeResult) -> None:
    if intermediate_result.fun < EXPLAINED:
        raise StopIteration


def _searches(
    model: Perceptrons, sums: Sums, labels: Labels, view: View, prior: Prior
) -> list[_Search]:
    if view.deviation:
        return [_Search(model, sums, labels, view, prior, view.deviation)]
    size = sum(part.size for part in sums)
    unit = np.sqrt(sum(float(np.square(part).sum()) for part in sums) / size)
    return [_Search(model, sums, labels, view, prior, part * unit) for part in SUPPOSED]


class _Search:
    """The loss of a guess, and its gradient, for scipy; guesses are in the prior's white units."""

    def __init__(
        self,
        model: Perceptrons,
        sums: Sums,
        labels: Labels,
        view: View,
        prior: Prior,
        deviation: float,
    ) -> None:
        self.deviation = deviation
        self._first = torch.tensor(model.first[0], dtype=torch.float64)
        self._second = torch.tensor(model.second[0], dtype=torch.float64)
        self._sums = tuple(torch.tensor(part) for part in sums)
        self._answers = one_hot(torch.tensor(labels), model.second.shape[-1]).double()
        self._plan = view.plan
        self._mean = torch.tensor(prior.mean)
        self._root = torch.linalg.cholesky(torch.tensor(prior.covariance))
        seen = sum(float(part.square().sum()) for part in self._sums)
        self._unit = 2 * deviation**2 or seen

    def __call__(self, guess: Floats) -> tuple[float, Floats]:
        white = torch.tensor(guess.reshape(-1, len(self._mean)), requires_grad=True)
        first, second = self._forward(self._rows(white))
        apart = (first - self._sums[0]).square().sum() + (second - self._sums[1]).square().sum()
        loss = apart / self._unit
        if self.deviation:
            loss = loss + 0.5 * white.square().sum()
        (slope,) = torch.autograd.grad(loss, white)
        return float(loss.detach()), slope.numpy().ravel()

    def rows(self, white: Floats) -> Floats:
        """The rows that a guess stands for."""
        return np.asarray(self._rows(torch.tensor(white.reshape(-1, len(self._mean)))).numpy())

    def _rows(self, white: Tensor) -> Tensor:
        rows: Tensor = self._mean + white @ self._root.T
        return rows

    def _forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones(len(rows), 1, dtype=torch.float64)
        wide = torch.cat([rows, ones], 1)
        raw = wide @ self._first
        hidden = torch.cat([raw.relu(), ones], 1)
        into_second = (hidden @ self._second).softmax(1) - self._answers
        into_first = (into_second @ self._second[:-1].T) * (raw > 0)
        if (plan := self._plan) is not None:
            first = into_first.square().sum(1) * wide.square().sum(1)
            norms = (first + into_second.square().sum(1) * hidden.square().sum(1)).sqrt()
            weights = (plan.clip / norms.clamp(min=1e-12)).clamp(max=plan.step)[:, None]
            into_first, into_second = into_first * weights, into_second * weights
        return wide.T @ into_first, hidden.T @ into_second
