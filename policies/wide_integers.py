"""The head of a secure sum's vector: integers whose sums are exact, in limbs of 16 bits.

An integer is written modulo 2^96 (two's complement) as 6 limbs of 16 bits, least first, one limb in
each word. A sum of up to 10,000 limbs is below 2^30 and fits into a word of 32 bits, so that adding
vectors word by word adds the integers exactly; the carries are made up for when the sum is read.

    rows used, rows held back, then for each metric of the permit in ascending order:
    its weight (rows; 0 where a node has no such figure), figure * weight as fixed point of 2^-20
    blind: 16 random bytes, in 4 words of 32 bits each (not read from a sum)

The blind is against whoever knows a vector's mask and sees the masked vector's digest in a receipt,
as governance does: without it, what the vector may have held could be tried out one by one, and an
evaluation's few figures soon are. With it the digest hides the vector (a commitment by SHA-256).

A single integer is below 2^81, so that 10,000 of them stay within 96 bits with their sign. Whoever
adds the vectors of others cannot tell whether one of them kept to that: of a sum, only what no such
vectors could add up to is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from policies.errors import EncodingError

MOST_MEMBERS: Final = 10_000
"""Of how many vectors a sum is exact."""

LIMBS: Final = 6
FIGURE_BITS: Final = 20
BLIND_BYTES: Final = 16
_BLIND_WORDS: Final = 4
_LIMB_BITS: Final = 16
_LIMB: Final = (1 << _LIMB_BITS) - 1
_MODULUS: Final = 1 << LIMBS * _LIMB_BITS
_LARGEST: Final = (1 << 81) - 1  # 10,000 < 2^14 of them are within 2^95
_MEAN_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Head:
    """What one participant says of its use.

    Attributes:
        rows_used, rows_held_back: as its receipt states them.
        figures: of each metric that it has, the rows it was measured on and its value.
    """

    rows_used: int
    rows_held_back: int
    figures: Mapping[str, tuple[int, Decimal]]


@dataclass(frozen=True, slots=True)
class HeadSum:
    """What several participants say together.

    Attributes:
        rows_used, rows_held_back: summed.
        figures: of each metric of the layout, the sum of the rows it was measured on, and the sum
            of value times rows, within 2^-21 for each participant.
    """

    rows_used: int
    rows_held_back: int
    figures: Mapping[str, tuple[int, Fraction]]

    def means(self) -> dict[str, str]:
        """Each figure's mean over the rows it was measured on, as a decimal string of 12 digits;
        a figure that nobody had is left out."""
        return {
            name: _spelled(total / rows) for name, (rows, total) in self.figures.items() if rows
        }


def head_words(metrics: Sequence[str]) -> int:
    """How many words the head has."""
    return LIMBS * (2 + 2 * len(metrics)) + _BLIND_WORDS


def encode_head(head: Head, metrics: Sequence[str], blind: bytes) -> list[int]:
    """The head, a number below 2^32 for each word.

    Args:
        metrics: the layout's, ascending; a figure that `head` does not have counts as absent.
        blind: 16 bytes of cryptographic randomness, fresh for each vector.

    Raises:
        EncodingError: a figure outside of the layout, negative rows, a number too large for sums
            of 10,000 to be exact, or another blind; no value stands in the text.
    """
    if len(blind) != BLIND_BYTES:
        raise EncodingError(f"blind: expected {BLIND_BYTES} bytes, got {len(blind)}")
    unknown = sorted(set(head.figures) - set(metrics))
    if unknown:
        raise EncodingError(
            f"head: expected the permit's figures, got {unknown[0][:100]!r} as well"
        )
    limbs = [
        *_limbs("rows used", _rows("rows used", head.rows_used)),
        *_limbs("rows held back", _rows("rows held back", head.rows_held_back)),
    ]
    for name in metrics:
        rows, value = head.figures.get(name, (0, Decimal(0)))
        if not value.is_finite():
            raise EncodingError(f"figure {name}: expected a finite number, got one that is not")
        # Checked before the exact product: a decimal of a huge exponent is a huge integer.
        if value and not -30 <= value.adjusted() <= 30:
            raise EncodingError(
                f"figure {name}: expected a magnitude of 1e-30 to 1e30, got another"
            )
        limbs += _limbs(f"figure {name}, rows", _rows(f"figure {name}", rows))
        limbs += _limbs(f"figure {name}", round(Fraction(value) * rows * (1 << FIGURE_BITS)))
    return [*limbs, *struct.unpack(f"<{_BLIND_WORDS}I", blind)]


def decode_head(words: Sequence[int], metrics: Sequence[str], members: int) -> HeadSum:
    """What `members` heads say together, from the sums of their words.

    Raises:
        EncodingError: not as many words as the layout has, or no sum of so many heads.
    """
    if len(words) != head_words(metrics):
        raise EncodingError(f"head: expected {head_words(metrics)} words, got {len(words)}")
    limbs = words[:-_BLIND_WORDS]
    if not 1 <= members <= MOST_MEMBERS:
        raise EncodingError(f"head: expected 1 to {MOST_MEMBERS} members, got {members}")
    if not all(0 <= limb <= members * _LIMB for limb in limbs):
        raise EncodingError(
            f"head: expected the sum of {members} heads, got a limb that none has; one of the "
            "vectors or masks is not of this permit, and the sum is of no use"
        )
    wide = [_integer(limbs[at : at + LIMBS]) for at in range(0, len(limbs), LIMBS)]
    used, held_back, rest = wide[0], wide[1], wide[2:]
    if used < 0 or held_back < 0 or any(rows < 0 for rows in rest[::2]):
        raise EncodingError("head: expected no negative number of rows, got one")
    figures = {
        name: (rows, Fraction(total, 1 << FIGURE_BITS))
        for name, rows, total in zip(metrics, rest[::2], rest[1::2], strict=True)
    }
    return HeadSum(used, held_back, figures)


def _rows(where: str, rows: int) -> int:
    if rows < 0:
        raise EncodingError(f"{where}: expected no negative number of rows, got one")
    return rows


def _limbs(where: str, number: int) -> Iterable[int]:
    if abs(number) > _LARGEST:
        raise EncodingError(f"{where}: expected a number below 2^81, got a larger one")
    wrapped = number % _MODULUS
    return [wrapped >> _LIMB_BITS * at & _LIMB for at in range(LIMBS)]


def _integer(limbs: Sequence[int]) -> int:
    wrapped = sum(limb << _LIMB_BITS * at for at, limb in enumerate(limbs)) % _MODULUS
    return wrapped - _MODULUS if wrapped >= _MODULUS // 2 else wrapped


def _spelled(mean: Fraction) -> str:
    rounding = Context(prec=_MEAN_DIGITS)
    number = rounding.divide(Decimal(mean.numerator), Decimal(mean.denominator))
    return format(number.normalize(rounding), "f") if number else "0"
