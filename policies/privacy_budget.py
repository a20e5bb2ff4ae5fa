"""What losses amount to: ε at a δ, and how much more a limit of ε has room for.

    all events Gaussian    the exact ε of their composition, which is one Gaussian mechanism with
                           μ² = Σ 1/noise² (Dong, Roth, Su: Gaussian Differential Privacy, 2022,
                           corollary 3.3), by δ(ε) = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ) (Balle, Wang,
                           ICML 2018, theorem 8)
    some of them sampled   Rényi differential privacy at `ORDERS` (Mironov, Talwar, Zhang: Rényi
                           Differential Privacy of the Sampled Gaussian Mechanism, 2019), which
                           adds up, and from there to ε (Canonne, Kamath, Steinke, 2020,
                           proposition 12): curves and conversion are dp-accounting's
    one without a bound    no ε: None

Promises: an ε is never below the truth. It is rounded up to 6 decimals, after a margin for what
floating-point arithmetic can be wrong by. More losses never have a smaller ε; the same losses have
the same ε in every process with the same libraries.

Neighbouring relation: one unit's contribution replaced by none, "zero-out" (Kairouz et al., ICML
2021, definition 1.1), `REPLACE_SPECIAL` in dp-accounting. For these events it has the same pair of
distributions as adding or removing one unit (the sampled N(1, σ²) against N(0, σ²)), so every
figure is that of `ADD_OR_REMOVE_ONE`, too.

It is a filter, not a forecast: a consumer may choose a run after it saw what came of earlier ones.
A limit that each use is held to is valid then as well, for Gaussian events as it stands (Smith,
Thakurta, arXiv 2210.17520), for Rényi differential privacy at an order that was fixed beforehand
(Feldman, Zrnic, NeurIPS 2021). Here the best order is taken at the end. That changes nothing where
what is run does not depend on results, as within a run, whose plan is fixed when it opens. Where
later runs are chosen by them, and some are sampled, what is certain is (ε, 25 δ): whichever of the
24 orders, or the exact form, a course of events ends with, it was within the limit at that one all
along, and each of these is wrong with probability δ at most. Privacy loss distributions would give
smaller figures, but as a filter they are not valid in general: they are not used here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from policies.errors import PrivacyError
from policies.privacy_loss import LEAST_NOISE, MOST_NOISE, ONE, Event, Losses, loss_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ORDERS: Final[tuple[int, ...]] = (*range(2, 17), 20, 24, 32, 40, 48, 64, 96, 128, 256)
"""Rényi orders: few, and whole, since dp-accounting's series for others need not converge. Lower
ones would give a smaller ε only where it is above ten, higher ones where it is below a tenth."""
STEP: Final = Decimal("0.000001")
MOST_ROUNDS: Final = 1_000_000
"""More than this are not counted: `remaining_rounds` says as many at most."""
MOST_LIMIT: Final = Decimal(1_000_000)

_NOISE_STEP: Final = Decimal("0.01")
_BISECTIONS: Final = 200


@lru_cache(maxsize=8192)  # the same budget is asked for at each refusal, replay and report
def epsilon(losses: Losses, delta: Decimal) -> Decimal | None:
    """The ε of all these together, at this δ, rounded up to 6 decimals; None is no bound.

    Raises:
        PrivacyError: a δ that is not above 0 and below 1.
    """
    return _epsilon(losses, delta)


def _epsilon(losses: Losses, delta: Decimal) -> Decimal | None:
    _check_delta(delta)
    if losses.unbounded:
        return None
    if not losses.events:
        return Decimal(0)
    if all(event.sample == 1 for event, _ in losses.events):
        found = _gaussian(losses, float(delta))
    else:
        found = _renyi(losses, float(delta))
    with_margin = found * (1 + 1e-11) + 1e-9 if found > 0 else found
    return Decimal(with_margin).quantize(STEP, rounding=ROUND_CEILING)


def remaining_rounds(losses: Losses, event: Event, limit: Decimal, delta: Decimal) -> int:
    """How many more uses of this kind keep ε at most at the limit; at most `MOST_ROUNDS`.

    Raises:
        PrivacyError: a limit or a δ that cannot be, by name.
    """
    _check_limit(limit)

    def fits(rounds: int) -> bool:
        found = _epsilon(losses.plus(loss_of(event, rounds)), delta)
        return found is not None and found <= limit

    if not fits(1):
        return 0
    return _last(fits, 1, MOST_ROUNDS)


def noise_for(limit: Decimal, delta: Decimal, uses: int, sample: Decimal = ONE) -> Decimal | None:
    """The least noise multiplier, in hundredths, with which so many uses keep ε at the limit.

    For planning; it is held to the same arithmetic as the uses themselves, so a plan that fits
    here is permitted later, if nobody else uses the product meanwhile.

    Args:
        uses: 1 to `MOST_ROUNDS`.

    Returns:
        None where even the most noise does not do.

    Raises:
        PrivacyError: a limit, δ, number of uses or probability that cannot be, by name.
    """
    _check_limit(limit)
    if not 1 <= uses <= MOST_ROUNDS:
        raise PrivacyError(f"uses: expected 1 to {MOST_ROUNDS}, got {uses}")

    def too_little(steps: int) -> bool:
        found = _epsilon(loss_of(Event(steps * _NOISE_STEP, sample), uses), delta)
        assert found is not None  # an event has a bound
        return found > limit

    least, most = int(LEAST_NOISE / _NOISE_STEP), int(MOST_NOISE / _NOISE_STEP)
    if not too_little(least):
        return LEAST_NOISE
    last = _last(too_little, least, most)
    return None if last == most else (last + 1) * _NOISE_STEP


def _last(holds: Callable[[int], bool], first: int, most: int) -> int:
    """The largest number up to `most` for which it holds; it does for `first`, and once it does
    not, for none that is larger."""
    low, step = first, 1
    while low < most and holds(min(low + step, most)):
        low = min(low + step, most)
        step *= 2
    high = min(low + step, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _check_delta(delta: Decimal) -> None:
    if not delta.is_finite() or not 0 < delta < 1:
        raise PrivacyError(f"delta: expected a number above 0 and below 1, got {delta}")


def _check_limit(limit: Decimal) -> None:
    if not limit.is_finite() or not 0 < limit <= MOST_LIMIT:
        raise PrivacyError(
            f"epsilon: expected a limit above 0 and at most {MOST_LIMIT}, got {limit}"
        )


# -- exact: one Gaussian mechanism ---------------------------------------------------------------


def _gaussian(losses: Losses, delta: float) -> float:
    """The smallest ε with δ(ε) at most this, to the last bit or the one above it."""
    squares = sum(Fraction(count) / Fraction(event.noise) ** 2 for event, count in losses.events)
    mu = math.sqrt(squares) * (1 + 1e-15)
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_delta(mu, high) > delta:
        low, high = high, high * 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if gaussian_delta(mu, middle) > delta else (low, middle)
    return high


def gaussian_delta(mu: float, epsilon: float) -> float:
    """δ(ε) of the Gaussian mechanism with sensitivity μ and noise 1, without cancellation.

    With a = μ/2 - ε/μ and b = a - μ, e^ε φ(b) = φ(a), so that δ = φ(a) (M(-a) - M(-b)), M being
    Mills' ratio M(x) = Φ(-x)/φ(x) = √(π/2) erfcx(x/√2).
    """
    from scipy.special import erfcx, ndtr  # noqa: PLC0415  scipy: not for `tds --help`

    a = mu / 2 - epsilon / mu
    b = a - mu
    if a > 0:  # erfcx(-a) grows without bound
        return float(ndtr(a) - math.exp(-a * a / 2) / 2 * erfcx(-b / math.sqrt(2)))
    mills = erfcx(-a / math.sqrt(2)) - erfcx(-b / math.sqrt(2))
    return float(math.exp(-a * a / 2) / 2 * mills)


# -- a bound: Rényi differential privacy ---------------------------------------------------------


def _renyi(losses: Losses, delta: float) -> float:
    from dp_accounting.rdp import compute_epsilon  # noqa: PLC0415  it takes most of a second

    (first, often), *others = losses.events
    curve = _curve(first) * float(often)
    for event, count in others:
        curve += _curve(event) * float(count)
    return float(compute_epsilon(ORDERS, curve, delta)[0])


@lru_cache(maxsize=4096)
def _curve(event: Event) -> npt.NDArray[np.float64]:
    """Rényi divergence of one event at each of `ORDERS`, with a margin for its own rounding."""
    import dp_accounting as dp  # noqa: PLC0415
    from dp_accounting.rdp import RdpAccountant  # noqa: PLC0415

    accountant = RdpAccountant(ORDERS, dp.NeighboringRelation.REPLACE_SPECIAL)
    mechanism = dp.GaussianDpEvent(float(event.noise))
    if event.sample < 1:
        mechanism = dp.PoissonSampledDpEvent(float(event.sample), mechanism)
    accountant.compose(mechanism)
    # Below 0 by cancellation only: dp-accounting would take that for no loss at all.
    curve: npt.NDArray[np.float64] = accountant.rdp.clip(min=0) * (1 + 1e-12) + 1e-15
    curve.setflags(write=False)
    return curve
