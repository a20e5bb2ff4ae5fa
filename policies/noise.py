"""How much noise makes a released sum private, and what it is added to: integers.

Neighbouring data differ by one unit, a record or a subject, whose contribution is replaced by none
("zero-out": Kairouz, McMahan, Song, Thakkar, Thakurta, Xu, ICML 2021). A contribution is a vector
of integers within `integer_sensitivity`; a released sum holds discrete Gaussian noise
(policies.gaussian) of `noise` times that, from shares of the nodes or from governance.

**Sums.** A sum of n discrete Gaussians of parameter s is one of sqrt(n) s but for a factor within
exp(+-tau) a number, tau = 10 sum_{k<n} exp(-2 pi^2 s^2 k / (k + 1)) (Kairouz, Liu, Steinke, The
Distributed Discrete Gaussian Mechanism, ICML 2021): `sum_excess`. Shares under `LEAST_SIGMA` are
refused; from there on it is below 1e-60.

**As good as continuous noise.** A discrete Gaussian of variance v + s^2 around an integer vector is
a function of a continuous one of variance v around it, but for a relative 2 exp(-2 pi^2 s^2) a
number (Peikert, An Efficient and Parallel Gaussian Sampler for Lattices, CRYPTO 2010, theorem 3.1).
With s = 2 that is 1e-34: so 4 is added to the variance, and what was proved of the Gaussian
mechanism (Balle and Wang, ICML 2018; its Renyi divergence) holds of what is released.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from typing import Final

import numpy as np

from policies.gaussian import MAX_SIGMA, SEED_BYTES, Floats, Integers, NoiseStream, gaussian

__all__ = [
    "LEAST_SIGMA",
    "MAX_SIGMA",
    "SEED_BYTES",
    "Floats",
    "Integers",
    "NoiseStream",
    "check_rounding",
    "gaussian",
    "integer_sensitivity",
    "rounded_within",
    "share_sigma",
    "sum_excess",
    "sum_sigma",
]

LEAST_SIGMA: Final = 4.0
"""Of a share: the sum of smaller ones is not close enough to a discrete Gaussian."""

_CONTINUOUS: Final = Decimal(4)


def integer_sensitivity(clip: Decimal | Fraction | str, scale_bits: int) -> Fraction:
    """The L2 norm that one unit's contribution to an integer sum is within: clip 2^scale_bits.

    Rounding adds nothing to it: who encodes rounds first and is within this norm as integers
    (`rounded_within`), so that a noise multiplier holds as it is stated.
    """
    return Fraction(clip) * (1 << scale_bits)


def sum_sigma(noise: str, clip: str, scale_bits: int) -> float:
    """The parameter that the noise in a released sum needs, in its integer units, rounded up.

    Args:
        noise: multiplier: standard deviation over sensitivity, a decimal string above 0.
        clip: L2 norm of one unit's contribution, a decimal string above 0.
        scale_bits: the encoding's.

    Raises:
        ValueError: not above 0, or the noise is larger than `MAX_SIGMA`.
    """
    return _share(noise, clip, scale_bits, 1)


def share_sigma(noise: str, clip: str, scale_bits: int, members: int, tolerated: int) -> float:
    """The parameter of each member's share: any `members - tolerated` of them have it all.

    Args:
        members: of the cohort, or of a group whose sum is released on its own.
        tolerated: how many of them may drop out; a sum of fewer shares is never released.

    Raises:
        ValueError: as `sum_sigma`; nobody would be left; or a share is below `LEAST_SIGMA`.
    """
    if not 0 <= tolerated < members:
        raise ValueError(
            f"noise: expected fewer that may drop out than the {members} members, got {tolerated}"
        )
    sigma = _share(noise, clip, scale_bits, members - tolerated)
    if sigma < LEAST_SIGMA:
        raise ValueError(
            f"noise: expected shares of at least {LEAST_SIGMA:g} units, got {sigma:.3g}; take a "
            "larger scale"
        )
    return sigma


def sum_excess(sigma: float, members: int) -> float:
    """tau of the module's docstring: how far, a number, a sum's log-probabilities are off."""
    terms = (math.exp(-2 * (math.pi * sigma) ** 2 * k / (k + 1)) for k in range(1, members))
    return 10 * math.fsum(terms)


def rounded_within(numbers: Floats, clip: Decimal | Fraction | str, scale_bits: int) -> Integers:
    """A contribution as integers, within `integer_sensitivity` exactly.

    `numbers` * 2^scale_bits, scaled down to that norm less sqrt(d) / 2, then rounded to the nearest
    integers: these are no further from what was rounded than sqrt(d) / 2 (triangle inequality).

    Args:
        numbers: finite float64 [d], in the clip's unit.

    Raises:
        ValueError: the scale is too coarse for so many numbers: nothing would be left of the norm.
    """
    aim = check_rounding(numbers.size, clip, scale_bits)
    largest = float(np.abs(numbers).max(initial=0.0))
    if largest == 0:
        return np.zeros(numbers.size, dtype=np.int64)
    units = numbers / largest  # no square overflows, and none that counts vanishes
    norm = math.sqrt(float(np.square(units).sum()))
    units *= min(aim / norm, largest * 2.0**scale_bits)
    return np.rint(units, out=units).astype(np.int64)


def check_rounding(numbers: int, clip: Decimal | Fraction | str, scale_bits: int) -> float:
    """The norm, in integers' units, to which so many numbers are scaled down before rounding.

    Raises:
        ValueError: as `rounded_within`.
    """
    bound = float(integer_sensitivity(clip, scale_bits))
    aim = bound * (1 - 2.0**-39) - math.sqrt(numbers) / 2
    if aim < bound / 2:
        raise ValueError(
            f"scale: expected one at which {numbers} numbers can be rounded within a norm of "
            f"{float(clip):g}, got 2^{scale_bits}; take a larger one"
        )
    return aim


def _share(noise: str, clip: str, scale_bits: int, among: int) -> float:
    spread, norm = Decimal(noise), Decimal(clip)
    if not (spread.is_finite() and norm.is_finite() and spread > 0 and norm > 0):
        raise ValueError(f"noise: expected a multiplier and a clip above 0, got {noise}, {clip}")
    up = Context(prec=60, rounding=ROUND_CEILING)
    bound = up.multiply(norm, 1 << scale_bits)
    total = up.add(up.power(up.multiply(spread, bound), 2), _CONTINUOUS)
    # A square root is rounded to the nearest, whatever the context says.
    exact = up.multiply(up.sqrt(up.divide(total, among)), 1 + Decimal("1e-20"))
    sigma = float(exact)
    sigma = sigma if Decimal(sigma) >= exact else math.nextafter(sigma, math.inf)
    if sigma > MAX_SIGMA:
        raise ValueError(f"noise: expected at most 2^56 units, got {sigma:.3g}; a smaller scale")
    return sigma
