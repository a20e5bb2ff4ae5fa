"""Words of 32 or 64 bits that are added modulo 2^word_bits, as vectors and masks are."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from policies.errors import EncodingError
from policies.privacy import WordBits

Words = npt.NDArray[np.unsignedinteger[Any]]
Integers = npt.NDArray[np.int64]

MOST_WORDS: Final = 1 << 28


def word_type(word_bits: WordBits) -> np.dtype[np.unsignedinteger[Any]]:
    """Little-endian unsigned words of that size."""
    return np.dtype("<u4" if word_bits == 32 else "<u8")


def zeros(words: int, word_bits: WordBits) -> Words:
    """A sum of nothing, to be added to."""
    return np.zeros(words, word_type(word_bits))


def wrap(integers: Integers, word_bits: WordBits) -> Words:
    """Integers modulo 2^word_bits."""
    return integers.astype(word_type(word_bits), casting="unsafe")


def add_into(total: Words, vector: Words) -> None:
    """Add a vector to a sum in place, modulo 2^word_bits.

    Raises:
        EncodingError: words of another type or number.
    """
    check_words(vector, total.size, 8 * total.itemsize)
    np.add(total, vector, out=total)


def subtract_from(total: Words, vector: Words) -> None:
    """Take a vector, or a sum of masks, out of a sum in place, modulo 2^word_bits.

    Raises:
        EncodingError: words of another type or number.
    """
    check_words(vector, total.size, 8 * total.itemsize)
    np.subtract(total, vector, out=total)


def check_words(vector: Words, words: int, word_bits: int) -> None:
    """That a vector has so many words of that size.

    Raises:
        EncodingError: words of another type or number.
    """
    if vector.dtype != np.dtype(f"<u{word_bits // 8}") or vector.shape != (words,):
        raise EncodingError(
            f"vector: expected {words} words of {word_bits} bits, got {vector.shape} of "
            f"{vector.dtype.name}"
        )
