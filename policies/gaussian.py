"""Draws from the discrete Gaussian, from cryptographic randomness.

The discrete Gaussian of parameter sigma has P(y) proportional to exp(-y^2 / (2 sigma^2)) over all
integers y (Canonne, Kamath, Steinke, The Discrete Gaussian for Differential Privacy, NeurIPS 2020).
It is drawn as there, by rejection, but from a hat that is nearer to it than a discrete Laplace:
blocks of t neighbouring integers, each block with its largest probability (t a power of two, at
most sigma / 16). A block is chosen by an alias table of exact integers, a place in it by log2 t
random bits, and it is accepted with probability P(y) / P(the block's largest). Whether a draw is
accepted says nothing of those that are, so neither does the time that drawing takes.

**How far from exact.** All arithmetic is integer, or float64 of + and * alone (no library's exp),
so that one seed gives the same numbers on every machine. Of each y within 12 sigma the probability
is right to a relative 2^-49 (acceptance) and an absolute 2^-64 a block (table); beyond that, and
what is left of its block, none is drawn, which the exact one would with probability 2^-107. So one
draw is within a statistical distance of 2^-49 of exact, and a vector of d within

    2^-49 sqrt(d / 2) + d 2^-54        (Pinsker's inequality for the first; a sum for the second)

of one drawn exactly: 2^-33 for a million numbers. delta grows by at most 1 + e^epsilon times that
in each release: nothing beside a delta of 1e-5 or 1e-9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEED_BYTES: Final = 32
MAX_SIGMA: Final = 2.0**56

TAIL: Final = 12
"""No draw is further from 0 than so many sigma, and a block."""

_COLUMN_BITS: Final = 10
_COLUMNS: Final = 1 << _COLUMN_BITS
_REST_BITS: Final = 64 - _COLUMN_BITS
_BLOCKS_A_SIGMA_BITS: Final = 4
_PROPOSALS: Final = 1 << 13
"""How many are worked on together: they stay in a core's cache."""
_DEGREE: Final = 17
_TAYLOR: Final = tuple((-1) ** k / math.factorial(k) for k in range(_DEGREE, -1, -1))
_EXACT: Final = Context(prec=60)

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


def gaussian(sigma: float, count: int, seed: bytes) -> Integers:
    """The first `count` integers that a seed gives: int64, independent, of parameter sigma.

    Args:
        seed: 32 bytes that nobody else can guess, used for one vector.

    Raises:
        ValueError: as `NoiseStream`.
    """
    return NoiseStream(sigma, seed).take(count)


class NoiseStream:
    """The integers that a seed gives, some at a time; how many at once changes none of them.

    Args:
        sigma: above 0, at most `MAX_SIGMA`.
        seed: `SEED_BYTES` that nobody else can guess.

    Raises:
        ValueError: another sigma, another length.
    """

    def __init__(self, sigma: float, seed: bytes) -> None:
        if not 0 < sigma <= MAX_SIGMA:
            raise ValueError(f"noise: expected a sigma above 0, at most 2^56, got {sigma}")
        if len(seed) != SEED_BYTES:
            raise ValueError(f"noise: expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
        self._hat = hat_of(sigma)
        derive = HKDF(algorithm=hashes.SHA256(), length=16, salt=None, info=b"tdspace noise v1\0")
        key = algorithms.AES(derive.derive(seed))
        self._stream = Cipher(key, modes.CTR(bytes(16))).encryptor()
        self._blank = bytes(3 * 8 * _PROPOSALS)
        self._left: Integers = np.zeros(0, dtype=np.int64)

    def take(self, count: int) -> Integers:
        """The next `count`."""
        drawn = np.empty(count, dtype=np.int64)
        done = 0
        while done < count:
            if not self._left.size:
                words = np.frombuffer(self._stream.update(self._blank), dtype="<u8")
                self._left = self._hat.accepted(words.reshape(3, _PROPOSALS))
            part = self._left[: count - done]
            drawn[done : done + part.size] = part
            self._left = self._left[part.size :]
            done += part.size
        return drawn


@dataclass(frozen=True, slots=True, eq=False)
class Hat:
    """What draws are proposed from: blocks of 2^bits integers on either side of 0.

    Block j < half has the magnitudes from j 2^bits on and gives them as they are; block half + j
    those from j 2^bits + 1 on, negative. So every integer within the tail is in one block.

    Attributes:
        bits: log2 of a block's length.
        half: blocks a side.
        least: of each block its smallest magnitude.
        thresholds, others: the alias table: a column's own block below the threshold of 2^54.
        factor: 1 / (2 sigma^2).
    """

    bits: int
    half: int
    least: Integers
    thresholds: Words
    others: Integers
    factor: float

    def accepted(self, words: Words) -> Integers:
        """Draws from random words [3, n]; as many as were accepted.

        The first word chooses a block, the second a place in it, the third accepts.
        """
        column = (words[0] >> np.uint64(_REST_BITS)).view(np.int64)
        rest = words[0] & np.uint64((1 << _REST_BITS) - 1)
        block = np.where(rest < self.thresholds[column], column, self.others[column])
        least = self.least[block]
        place = (words[1] & np.uint64((1 << self.bits) - 1)).view(np.int64)
        magnitude: Integers = least + place
        if self.bits:
            # P(least + place) / P(least) = exp(-place (2 least + place) / (2 sigma^2))
            power = place.astype(np.float64)
            power *= least + magnitude
            power *= self.factor
            chance = _exp_minus(power)
            coin = (words[2] >> np.uint64(11)).view(np.int64) * 2.0**-53
            keep = np.flatnonzero(coin < chance)
            magnitude, block = magnitude[keep], block[keep]
        np.negative(magnitude, out=magnitude, where=block >= self.half)
        return magnitude


def _exp_minus(power: Floats) -> Floats:
    """exp(-power) for 0 <= power < 0.8, to 2^-51, of + and * alone: the same on every machine."""
    result = np.full_like(power, _TAYLOR[0])
    for coefficient in _TAYLOR[1:]:
        result *= power
        result += coefficient
    return result


@lru_cache(maxsize=8)
def hat_of(sigma: float) -> Hat:
    """The hat for a discrete Gaussian; the last few are remembered."""
    bits = max(0, math.frexp(sigma)[1] - 1 - _BLOCKS_A_SIGMA_BITS)
    length = 1 << bits
    half = math.ceil(TAIL * sigma / length) + 1
    least = [j * length for j in range(half)] + [j * length + 1 for j in range(half)]
    thresholds, others = _alias(_weights(least, sigma))
    return Hat(
        bits=bits,
        half=half,
        least=np.array(least + [0] * (_COLUMNS - len(least)), dtype=np.int64),
        thresholds=np.array(thresholds, dtype=np.uint64),
        others=np.array(others, dtype=np.int64),
        factor=float(_EXACT.divide(1, 2 * _EXACT.power(Decimal(sigma), 2))),
    )


def _weights(least: list[int], sigma: float) -> list[int]:
    """Of each block the share of 2^64 that is its own, to less than one; together they are 2^64."""
    twice = 2 * _EXACT.power(Decimal(sigma), 2)
    exact = [_EXACT.exp(_EXACT.divide(-one * one, twice)) for one in least]
    total = sum(exact, Decimal(0))
    shares = [_EXACT.divide(_EXACT.multiply(one, 1 << 64), total) for one in exact]
    whole = [int(one) for one in shares]
    by_rest = sorted(range(len(whole)), key=lambda j: whole[j] - shares[j])
    for j in by_rest[: (1 << 64) - sum(whole)]:
        whole[j] += 1
    return whole


def _alias(weights: list[int]) -> tuple[list[int], list[int]]:
    """Walker's alias table, as Vose builds it (1991), in integers: nothing is rounded."""
    room = 1 << _REST_BITS
    left = weights + [0] * (_COLUMNS - len(weights))
    thresholds, others = [room] * _COLUMNS, list(range(_COLUMNS))
    small = [j for j, weight in enumerate(left) if weight < room]
    large = [j for j, weight in enumerate(left) if weight > room]
    while small and large:
        low, high = small.pop(), large[-1]
        thresholds[low], others[low] = left[low], high
        left[high] -= room - left[low]
        if left[high] <= room:
            large.pop()
            if left[high] < room:
                small.append(high)
    return thresholds, others
