"""ε of a product's losses once more, by another method than governance's: rule `budget-recomputed`.

    governance (policies.privacy_budget)      here
    closed form of δ(ε), by scipy's error     the integral of max(0, p - e^ε q) over the densities
    functions                                 p of N(μ, 1) and q of N(0, 1), by Simpson's rule
    Rényi divergence of the sampled Gaussian  the integral of (p/q)^α q itself, by the trapezoidal
    as a binomial series (dp-accounting)      rule
    dp-accounting's conversion to ε           the same formula (Canonne, Kamath, Steinke, 2020,
                                              proposition 12), written anew

Nothing of scipy or dp-accounting is used, and nothing of `policies.privacy_budget` but its list of
orders, without which two bounds would differ by more than by arithmetic. For a whole order the
second integrand is a sum of shifted Gaussians, of which the trapezoidal rule with step h misses a
part of e^(-2π²/h²) (Trefethen, Weideman: The Exponentially Convergent Trapezoidal Rule, 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.privacy_budget import ORDERS
from policies.privacy_loss import Event, Losses

TOLERANCE: Final = 2e-6
"""Absolute: governance rounds up to 6 decimals after a margin of 1e-9."""
RELATIVE: Final = 1e-9
"""Beside it, for an ε in the thousands, of which a double has no 6 decimals to spare."""

_REACH: Final = 40.0  # standard deviations: e^(-800) is about the smallest that a double may hold
_STEP: Final = 0.25
_INTERVALS: Final = 2000
_Floats = npt.NDArray[np.float64]
_SIMPSON: Final[_Floats] = np.array([1.0] + [4.0, 2.0] * (_INTERVALS // 2 - 1) + [4.0, 1.0])


@lru_cache(maxsize=4096)  # a cohort's products have mostly given away the same
def agree(stated: Decimal, losses: Losses, delta: Decimal) -> bool:
    """Whether an ε that a permit states is what its losses amount to.

    Args:
        losses: without an unbounded one.
    """
    if not losses.events or not _all_gaussian(losses):
        found = recomputed(losses, delta)
        return abs(float(stated) - found) <= TOLERANCE + RELATIVE * found
    # δ falls as ε grows: no root need be looked for.
    mu, epsilon = _mu(losses), float(stated)
    about = TOLERANCE + RELATIVE * epsilon
    if hockey_stick(mu, epsilon + about) > float(delta):
        return False
    return epsilon <= about or hockey_stick(mu, epsilon - about) > float(delta)


@lru_cache(maxsize=4096)
def recomputed(losses: Losses, delta: Decimal) -> float:
    """ε at a δ, not rounded; the losses have events only."""
    if not losses.events:
        return 0.0
    if _all_gaussian(losses):
        mu = _mu(losses)
        return _root(lambda epsilon: hockey_stick(mu, epsilon) <= float(delta))
    divergence = sum((count * divergences(event) for event, count in losses.events), _zeros())
    return _converted(divergence, float(delta))


def _all_gaussian(losses: Losses) -> bool:
    return all(event.sample == 1 for event, _ in losses.events)


def _mu(losses: Losses) -> float:
    return math.sqrt(math.fsum(n / float(event.noise) ** 2 for event, n in losses.events))


def hockey_stick(mu: float, epsilon: float) -> float:
    """∫ max(0, p - e^ε q) for p of N(μ, 1) and q of N(0, 1).

    The difference is positive from x = ε/μ + μ/2 on. With t what lies beyond, e^ε q is p e^(-μt):
    so it rises within some 1/μ and falls off with p, in its tail within some part of a deviation.
    """
    start = epsilon / mu + mu / 2
    end = max(start, mu) + 12.0 - start
    rise = min(end, 40.0 / max(mu, start - mu))

    def part(first: float, last: float) -> float:
        t = np.linspace(first, last, _INTERVALS + 1)
        gap = np.exp(-((start - mu + t) ** 2) / 2) * -np.expm1(-mu * t)
        return float(_SIMPSON @ gap) * (last - first) / _INTERVALS / 3

    found = part(0.0, rise) + (part(rise, end) if rise < end else 0.0)
    return found / math.sqrt(2 * math.pi)


@lru_cache(maxsize=1024)
def divergences(event: Event) -> _Floats:
    """Rényi divergences, at each of `ORDERS`, of (1-s) N(0, z²) + s N(1, z²) from N(0, z²).

    In units of z: with q of N(0, 1) and p/q = 1 - s + s e^(x/z - 1/(2z²)).
    """
    z, s = float(event.noise), float(event.sample)
    return np.array([_divergence(z, s, order) for order in ORDERS])


def _divergence(z: float, s: float, order: int) -> float:
    # Between the peaks of its terms, which lie from 0 to α/z, and as far beyond as q reaches.
    x = np.arange(-_REACH, order / z + _REACH, _STEP)
    shifted = x / z - 1 / (2 * z * z)
    ratio = np.logaddexp(math.log1p(-s), math.log(s) + shifted) if s < 1 else shifted
    logs = order * ratio - x * x / 2
    top = float(logs.max())
    total = float(np.exp(logs - top).sum()) * _STEP / math.sqrt(2 * math.pi)
    return max(0.0, (top + math.log(total)) / (order - 1))


def _converted(divergence: _Floats, delta: float) -> float:
    """ε from Rényi divergences; 0 where the total variation distance is within δ already, by
    Bretagnolle and Huber's inequality."""
    orders = np.array(ORDERS, dtype=np.float64)
    if bool((delta**2 + np.expm1(-divergence) > 0).any()):
        return 0.0
    bounds = divergence + np.log1p(-1 / orders) - np.log(delta * orders) / (orders - 1)
    return max(0.0, float(bounds.min()))


def _zeros() -> _Floats:
    return np.zeros(len(ORDERS))


def _root(enough: Callable[[float], bool]) -> float:
    """The smallest ε that is enough, to about 1e-12 of it; more is enough, too."""
    if enough(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while not enough(high):
        low, high = high, high * 2
    while high - low > 1e-13 * high + 1e-12:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
