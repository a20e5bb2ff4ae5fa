"""Vectors that can be added under masks: fixed point in words of 32 or 64 bits.

The vector of one participant is little-endian unsigned words, without a header; a sum is taken word
by word modulo 2^word_bits.

    head    rows, figures and a blind: see `policies.wide_integers`
    body    round(x * 2^scale_bits) for each number x, in two's complement: half to even, in float64

The scale is such that no sum of the cohort's vectors, or of some of them, can overflow, as long as
each sender keeps to its bound (`policies.scale`): what is opened is the exact sum of the integers.
What the numbers are, for all nodes of a permit the same, `policies.flattening` says.

A mask is uniform over all words, so no check of a masked vector can find one out that broke its
bound: it spoils the round's sum, and nothing beyond. That is the node's parent to prevent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.errors import EncodingError
from policies.privacy import WordBits
from policies.scale import MOST_SCALE_BITS, check_scale, choose_scale, roomy
from policies.wide_integers import (
    Head,
    HeadSum,
    decode_head,
    encode_head,
    head_words,
)
from policies.words import (
    MOST_WORDS,
    Integers,
    Words,
    add_into,
    check_words,
    subtract_from,
    word_type,
    wrap,
    zeros,
)

__all__ = [
    "CHUNK",
    "MOST_SCALE_BITS",
    "MOST_WORDS",
    "Floats",
    "Integers",
    "Layout",
    "Words",
    "add_into",
    "check_scale",
    "choose_scale",
    "decode",
    "encode",
    "encode_integers",
    "subtract_from",
    "to_integers",
    "vector_bytes",
    "vector_from_bytes",
    "word_type",
    "wrap",
    "zeros",
]

Floats = npt.NDArray[np.float64]
CHUNK: Final = 1 << 15
"""How many numbers are worked on at a time: 256 KiB of float64, which stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a permit's vectors are laid out; the same for all of its nodes.

    Attributes:
        metrics: names of the figures in the head, ascending, each once.
        floats: how many numbers the body has.
        word_bits, scale_bits: of the fixed point.

    Raises:
        EncodingError: names in another order, or a number outside of what can be summed.
    """

    metrics: tuple[str, ...]
    floats: int
    word_bits: WordBits
    scale_bits: int

    def __post_init__(self) -> None:
        if list(self.metrics) != sorted(set(self.metrics)):
            raise EncodingError("layout: expected metrics in ascending order, each once")
        if self.word_bits not in (32, 64):
            raise EncodingError(f"layout: expected words of 32 or 64 bits, got {self.word_bits}")
        if not 0 <= self.scale_bits <= MOST_SCALE_BITS:
            raise EncodingError(
                f"layout: expected 0 to {MOST_SCALE_BITS} bits of scale, got {self.scale_bits}"
            )
        if self.floats < 0 or self.words > MOST_WORDS:
            raise EncodingError(
                f"layout: expected 0 to {MOST_WORDS - self.head_words} numbers, got {self.floats}"
            )

    @property
    def head_words(self) -> int:
        """How many words stand before the body."""
        return head_words(self.metrics)

    @property
    def words(self) -> int:
        """How many words the vector has."""
        return self.head_words + self.floats

    @property
    def size_bytes(self) -> int:
        """How many bytes the vector has."""
        return self.words * self.word_bits // 8


def encode(
    layout: Layout,
    head: Head,
    body: Iterable[Floats],
    *,
    bound: Decimal | Fraction,
    blind: bytes,
) -> Words:
    """One participant's vector.

    Args:
        body: the numbers in order, in chunks of any size; a chunk may be changed when the next is
            asked for.
        bound: `B_i`, which no number of the body may exceed by more than a rounding.
        blind: 16 bytes of cryptographic randomness, fresh for each vector.

    Raises:
        EncodingError: a number that is not finite or exceeds the bound, fewer or more numbers than
            the layout has, a head that does not fit (`policies.wide_integers`). No value stands in
            the text.
    """
    words = _with_head(layout, head, blind)
    signed = words.view(f"<i{layout.word_bits // 8}")
    at, limit = layout.head_words, _limit(layout, bound)
    for chunk in _scaled(body, layout.scale_bits, limit):
        _fits(layout, at, chunk.size)
        # Within the limit, and so within the word: the conversion is exact.
        np.copyto(signed[at : at + chunk.size], chunk, casting="unsafe")
        at += chunk.size
    _filled(layout, at)
    return words


def to_integers(
    layout: Layout, body: Iterable[Floats], *, bound: Decimal | Fraction
) -> Iterator[Integers]:
    """The body's numbers as `encode` rounds them, chunk by chunk, before they become words.

    So that integers (discrete noise, other vectors) can be added to them; `encode_integers` makes
    words of the sum.

    Raises:
        EncodingError: as for `encode`, but for the count.
    """
    limit = _limit(layout, bound)
    for chunk in _scaled(body, layout.scale_bits, limit):
        yield chunk.astype(np.int64)


def encode_integers(
    layout: Layout,
    head: Head,
    body: Iterable[Integers],
    *,
    bound: Decimal | Fraction,
    blind: bytes,
) -> Words:
    """One participant's vector from the body's integers; otherwise as `encode`."""
    words = _with_head(layout, head, blind)
    at, limit = layout.head_words, _limit(layout, bound)
    for chunk in body:
        _fits(layout, at, chunk.size)
        if chunk.size and not (-limit <= int(chunk.min()) and int(chunk.max()) <= limit):
            raise _outside()
        words[at : at + chunk.size] = wrap(chunk, layout.word_bits)
        at += chunk.size
    _filled(layout, at)
    return words


def decode(layout: Layout, summed: Words, members: int) -> tuple[HeadSum, Floats]:
    """What the vectors of `members` participants, added and without their masks, say together.

    Returns:
        the summed heads, and the sum of the bodies in float64: exact at 32 bits, rounded to nearest
        at 64.

    Raises:
        EncodingError: words of another type or number, or no sum of so many vectors as far as the
            head can tell.
    """
    check_words(summed, layout.words, layout.word_bits)
    head = decode_head(summed[: layout.head_words].tolist(), layout.metrics, members)
    signed = summed[layout.head_words :].view(f"<i{layout.word_bits // 8}")
    body = signed.astype(np.float64)
    body *= math.ldexp(1.0, -layout.scale_bits)
    return head, body


def vector_bytes(vector: Words) -> bytes:
    """A vector as it travels."""
    return vector.tobytes()


def vector_from_bytes(data: bytes, layout: Layout) -> Words:
    """A vector from its bytes: a view of them that cannot be written to.

    Raises:
        EncodingError: not as many bytes as the layout has.
    """
    if len(data) != layout.size_bytes:
        raise EncodingError(
            f"vector: expected {layout.words} words of {layout.word_bits} bits, "
            f"{layout.size_bytes} bytes, got {len(data)} bytes"
        )
    return np.frombuffer(data, word_type(layout.word_bits))


def _with_head(layout: Layout, head: Head, blind: bytes) -> Words:
    words = np.empty(layout.words, word_type(layout.word_bits))
    words[: layout.head_words] = encode_head(head, layout.metrics, blind)
    return words


def _limit(layout: Layout, bound: Decimal | Fraction) -> int:
    """The largest integer that one participant may put into a word of the body."""
    limit = math.floor(roomy(bound) * (1 << layout.scale_bits)) + 1
    if limit >= 1 << layout.word_bits - 1:
        raise EncodingError(
            f"bound: expected one that fits into words of {layout.word_bits} bits at "
            f"{layout.scale_bits} bits of scale, got a larger one"
        )
    return limit


def _scaled(body: Iterable[Floats], scale_bits: int, limit: int) -> Iterator[Floats]:
    """Whole numbers within the limit, in chunks that are overwritten by the next."""
    scale, buffer = math.ldexp(1.0, scale_bits), np.empty(CHUNK)
    for given in body:
        for at in range(0, given.size, CHUNK):
            part = given[at : at + CHUNK]
            chunk = buffer[: part.size]
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                np.multiply(part, scale, out=chunk)
                np.rint(chunk, out=chunk)
            # Written so that NaN is refused, too; Python compares float and int exactly.
            if not (-limit <= float(chunk.min()) and float(chunk.max()) <= limit):
                raise _outside()
            yield chunk


def _fits(layout: Layout, at: int, size: int) -> None:
    if at + size > layout.words:
        raise EncodingError(f"body: expected {layout.floats} numbers, got more")


def _filled(layout: Layout, at: int) -> None:
    if at != layout.words:
        got = at - layout.head_words
        raise EncodingError(f"body: expected {layout.floats} numbers, got {got}")


def _outside() -> EncodingError:
    return EncodingError(
        "body: expected finite numbers within the bound, got another; clip the update first"
    )
