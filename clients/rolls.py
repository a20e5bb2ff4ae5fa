"""Whose row is which, and what became of each row in a use, as the node keeps it for its owner.

Kept are numbers and keyed digests, never a subject's id: the database is copied and backed up more
freely than the data, and says nothing about who is in it to anybody without the node's salt, not
even about an id that they guess. The owner, who has the salt, asks for one id at a time.

A roll is the numbering of one version of the data: 16 bytes a subject and at most 4 bytes a row,
kept once. The states of a use are at most 2 bits a row (about 1.1 where a fifth is held back), kept
once for all uses in which they were the same; a use itself takes some 300 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from clients.consent import WITHDRAWN, Standings, Subjects
from clients.errors import StateUnavailable
from clients.rowset import LEFT_OUT, States

TAKEN_BACK: Final = 3
"""Beside the states of `clients.rowset`: left out, by a subject who had consented before."""

DIGEST_BYTES: Final = 16
_LEVEL: Final = 1
_PART: Final = 1 << 16

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Roll:
    """A numbering, packed.

    Attributes:
        id: of its content, under the node's salt.
        rows: how many.
        digests: of the subjects, in the order of their numbers.
        numbers: of each row's subject.
    """

    id: str
    rows: int
    digests: bytes
    numbers: bytes

    def rows_of(self, digest: bytes) -> Places:
        """The rows of the subject with this digest, ascending; none if it is not in the roll.

        Raises:
            StateUnavailable: what is kept is damaged.
        """
        at = self.digests.find(digest)
        while at % DIGEST_BYTES and at >= 0:
            at = self.digests.find(digest, at + 1)
        if at < 0:
            return np.zeros(0, dtype=np.int64)
        steps = np.frombuffer(_unpacked(self.numbers, self.rows * 4), dtype="<i4")
        numbers = np.cumsum(steps, dtype=np.int64)
        return np.flatnonzero(numbers == at // DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class PackedStates:
    """What became of each row; `id` is of the content, under the node's salt."""

    id: str
    rows: int
    states: bytes

    def unpacked(self) -> States:
        """One value a row, as `codes_of` made them.

        Raises:
            StateUnavailable: what is kept is damaged.
        """
        packed = np.frombuffer(_unpacked(self.states, -(-self.rows // 4)), dtype=np.uint8)
        codes = np.empty((len(packed), 4), dtype=np.uint8)
        for place in range(4):
            codes[:, place] = packed >> (2 * place) & 3
        return codes.reshape(-1)[: self.rows]


def subject_key(node_salt: bytes) -> bytes:
    """The key of subjects' digests, from the node's secret."""
    return hmac.digest(node_salt, b"tds subjects of rows\n", "sha256")


def subject_digest(key: bytes, subject: str) -> bytes:
    """Keyed BLAKE2b (RFC 7693) of a subject's id; HMAC-SHA-256 takes three times as long."""
    return hashlib.blake2b(subject.encode("utf-8"), key=key, digest_size=DIGEST_BYTES).digest()


def roll_id(key: bytes, subjects: Subjects) -> str:
    """Of ids and numbers, as they are; ids hold no line end."""
    digest = hashlib.blake2b(b"roll\n", key=key, digest_size=32)
    for names in _parts(subjects):
        digest.update("".join([f"{name}\n" for name in names]).encode("utf-8"))
    digest.update(b"\n")
    digest.update(np.ascontiguousarray(subjects.rows, dtype="<i4").data)
    return digest.hexdigest()


def roll_of(key: bytes, identifier: str, subjects: Subjects) -> Roll:
    """The numbering packed, under the id that `roll_id` gave."""
    digests = bytearray()
    for names in _parts(subjects):
        digests += b"".join([subject_digest(key, name) for name in names])
    steps = np.diff(subjects.rows.astype("<i4"), prepend=np.int32(0)).astype("<i4")
    return Roll(
        id=identifier,
        rows=len(subjects.rows),
        digests=bytes(digests),
        numbers=zlib.compress(steps.tobytes(), _LEVEL),
    )


def _parts(subjects: Subjects) -> Iterator[list[str]]:
    """The ids in the order of their numbers, so many at a time that memory is not felt."""
    names = iter(subjects.numbers)
    while part := list(islice(names, _PART)):
        yield part


def codes_of(states: States, subjects: Subjects, standings: Standings | None) -> States:
    """The states, with `TAKEN_BACK` where a subject who is left out had consented before."""
    codes = states.copy()
    if standings is not None:
        codes[(states == LEFT_OUT) & (standings == WITHDRAWN)[subjects.rows]] = TAKEN_BACK
    return codes


def states_from(codes: States) -> States:
    """The states that the receipt commits to."""
    states = codes.copy()
    states[codes == TAKEN_BACK] = LEFT_OUT
    return states


def packed_states(key: bytes, codes: States) -> PackedStates:
    """Four rows a byte, the first in the lowest bits."""
    table = np.zeros((-(-len(codes) // 4), 4), dtype=np.uint8)
    table.reshape(-1)[: len(codes)] = codes
    packed = table[:, 0] | table[:, 1] << 2 | table[:, 2] << 4 | table[:, 3] << 6
    digest = hashlib.blake2b(b"states\n", key=key, digest_size=32)
    digest.update(len(codes).to_bytes(8, "big") + packed.tobytes())
    return PackedStates(digest.hexdigest(), len(codes), zlib.compress(packed.tobytes(), _LEVEL))


def _unpacked(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes, however they are compressed."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, size)
    except zlib.error as error:
        raise StateUnavailable(f"rows of a use: what is kept is damaged: {error}") from error
    if len(found) != size:
        raise StateUnavailable(f"rows of a use: expected {size} bytes, got {len(found)}")
    return found
