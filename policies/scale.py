"""How many bits of scale a permit's fixed point has: as many as no sum can overflow with.

Every number of a vector's body has a bound B_i that its sender keeps to. With

    sum of all B_i * (1 + 2^-50) * 2^scale_bits + members < 2^(word_bits - 1)

no sum of the cohort's vectors, or of some of them, can overflow: 2^-50 is for the roundings of
float64 before the scale, and each integer is off by less than 1.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

from policies.errors import EncodingError
from policies.privacy import WordBits
from policies.wide_integers import MOST_MEMBERS

MOST_SCALE_BITS: Final = 62

_SLACK: Final = 1 + Fraction(1, 1 << 50)


def choose_scale(*, bound: Decimal | Fraction, members: int, word_bits: WordBits) -> int:
    """The largest number of scale bits at which no sum of `members` vectors can overflow.

    Args:
        bound: what no number of a sum exceeds, in the model's units: all `B_i` together.

    Raises:
        EncodingError: a bound that is not positive, too many members, or no scale that fits.
    """
    total = roomy(bound)
    room = (1 << word_bits - 1) - _members(members)
    for scale_bits in range(MOST_SCALE_BITS, -1, -1):
        if total * (1 << scale_bits) < room:
            return scale_bits
    raise EncodingError(
        f"scale: expected a bound on sums that fits into words of {word_bits} bits, got a larger "
        "one; lower clip_norm"
    )


def check_scale(
    *, bound: Decimal | Fraction, members: int, word_bits: WordBits, scale_bits: int
) -> None:
    """What a node checks of a permit: no sum can overflow.

    Raises:
        EncodingError: one could, or as for `choose_scale`.
    """
    most = choose_scale(bound=bound, members=members, word_bits=word_bits)
    if not 0 <= scale_bits <= most:
        raise EncodingError(
            f"scale: expected 0 to {most} bits, with which no sum of {members} vectors can "
            f"overflow, got {scale_bits}; governance chose it, ask the operator"
        )


def roomy(bound: Decimal | Fraction) -> Fraction:
    """A bound with room for the roundings of float64.

    Raises:
        EncodingError: it is not positive, or of an absurd magnitude.
    """
    # A huge exponent would make a huge integer.
    if isinstance(bound, Decimal) and not (bound.is_finite() and -60 <= bound.adjusted() <= 60):
        raise EncodingError("bound: expected a number from 1e-60 to 1e60, got another")
    exact = Fraction(bound)
    if exact <= 0:
        raise EncodingError("bound: expected a number above 0, got another")
    return exact * _SLACK


def _members(members: int) -> int:
    if not 1 <= members <= MOST_MEMBERS:
        raise EncodingError(f"members: expected 1 to {MOST_MEMBERS}, got {members}")
    return members
