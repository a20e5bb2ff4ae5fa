"""Disjoint parts of a use's rows: a unit (a record, or all records of a subject) lies in one only.

A use deals its rows by a secret of its own, drawn for it and forgotten after it, and takes each
part by itself with the permit's probability (Poisson sampling). Both are decided by words of
AES-128-CTR under keys derived from that secret, so by nothing that the app or the data can know.

    part of unit u      word u of the first stream (32 bits), scaled to the number of parts
    part p is taken     where word p of the second stream (64 bits) is below the probability

So whether a unit is there moves no other one. Where there are no more units than parts, each has a
part of its own, in order. (A part's word favours some parts by less than 2^-16; that changes how
even parts are, and nothing of what they hide.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clients.sdk import Rows

SECRET_BYTES: Final = 32
MAX_PARTS: Final = 65_536
_BLOCK: Final = 1 << 18

Numbers = npt.NDArray[np.integer[Any]]
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """How a use's rows were dealt.

    Attributes:
        count: of parts that units could be dealt into: the permit's, or fewer where each of fewer
            units has its own.
        units: how many there were.
        alone: whether no part has more than one of them.
        order: places of all rows, part by part, ascending in each.
        ends: of each part where it ends in `order`, [count].
        taken: whether a part is used, [count].
    """

    count: int
    units: int
    alone: bool
    order: Places
    ends: Places
    taken: Mask

    def used(self) -> Iterator[Places]:
        """Of each part that is taken and not empty the places of its rows, ascending."""
        for part in self._used():
            start = self.ends[part - 1] if part else 0
            yield self.order[start : self.ends[part]]

    @property
    def used_count(self) -> int:
        """How many that are."""
        return len(self._used())

    def _used(self) -> Places:
        sizes = np.diff(self.ends, prepend=0)
        return np.flatnonzero(self.taken & (sizes > 0))


def deal(units: Numbers, *, parts: int, sample: str, secret: bytes) -> Parts:
    """Deal rows by their units, and take parts.

    Args:
        units: of each row its unit's number, at least 0: the subject's, or the row's own place.
        parts: into how many, 1 to `MAX_PARTS`.
        sample: probability that a part is taken, a decimal string above 0, at most 1.
        secret: `SECRET_BYTES` for this use alone.

    Raises:
        ValueError: another number of parts, another length of the secret.
    """
    if not 1 <= parts <= MAX_PARTS:
        raise ValueError(f"parts: expected 1 to {MAX_PARTS}, got {parts}")
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"parts: expected a secret of {SECRET_BYTES} bytes, got {len(secret)}")
    highest = int(units.max(initial=-1))
    there = np.zeros(highest + 1, dtype=np.bool_)
    there[units] = True
    distinct = int(np.count_nonzero(there))
    alone = distinct <= parts
    count = distinct if alone else parts
    of_unit = np.cumsum(there) - 1 if alone else _dealt(highest + 1, parts, secret)
    dealt = of_unit[units]
    ends = np.cumsum(np.bincount(dealt, minlength=count)).astype(np.int64)
    order = np.argsort(dealt, kind="stable").astype(np.int64, copy=False)
    return Parts(count, distinct, alone, order, ends, _taken(count, sample, secret))


def part_of(rows: Rows, places: Places, *, training: bool) -> Rows:
    """A copy of a part's rows and of no others: those to train on, or those held back."""
    none, nothing = rows.features[:0], rows.labels[:0]
    if training:
        some, labels = rows.features[places], rows.labels[places]
        return Rows(some, labels, none, nothing, rows.feature_names, rows.classes)
    some, labels = rows.held_out_features[places], rows.held_out_labels[places]
    return Rows(none, nothing, some, labels, rows.feature_names, rows.classes)


def _dealt(units: int, parts: int, secret: bytes) -> npt.NDArray[np.uint16]:
    """The part of each unit below `units`."""
    stream = _stream(secret, b"tdspace parts v1\0")
    found = np.empty(units, dtype=np.uint16)
    for start in range(0, units, _BLOCK):
        here = found[start : start + _BLOCK]
        words = np.frombuffer(stream.update(bytes(4 * here.size)), dtype="<u4").astype(np.uint64)
        here[:] = (words * np.uint64(parts)) >> np.uint64(32)
    return found


def _taken(count: int, sample: str, secret: bytes) -> Mask:
    limit = int(Fraction(sample) * 2**64)
    if limit >= 2**64:
        return np.ones(count, dtype=np.bool_)
    stream = _stream(secret, b"tdspace taken parts v1\0")
    words = np.frombuffer(stream.update(bytes(8 * count)), dtype="<u8")
    mask: Mask = words < np.uint64(limit)
    return mask


def _stream(secret: bytes, use: bytes) -> CipherContext:
    key = HKDF(algorithm=hashes.SHA256(), length=16, salt=None, info=use).derive(secret)
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
