"""The Merkle tree of RFC 6962 section 2.1, append-only and in memory.

Every leaf hash and every hash of a complete subtree is kept, two hashes a leaf, so that the root
and the proofs of any size reached so far cost O(log n). What is stored never changes: a tree may be
read at sizes up to one it had while one other thread appends.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from ledger.errors import LedgerError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

# Sizes stay within what our canonical JSON can carry as an integer.
MAX_SIZE = 2**53 - 1


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data): the prefix keeps a leaf from passing as an inner node."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree(ABC):
    """Roots and proofs of a tree, whoever keeps its hashes."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of leaves."""

    @abstractmethod
    def _at(self, level: int, index: int) -> bytes:
        """The hash of the complete subtree `index` over 2^level leaves; it is there."""

    def root(self, size: int | None = None) -> bytes:
        """MTH(D[0:size]); of all leaves unless a size is given.

        Raises:
            LedgerError: a size the tree has not reached.
        """
        size = self.size if size is None else size
        self._require(0 <= size <= self.size, f"a size up to {self.size}", size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """PATH(index, D[0:size]) of RFC 6962 section 2.1.1, nearest sibling first.

        Raises:
            LedgerError: not `index < size <= self.size`.
        """
        self._require(0 <= size <= self.size, f"a size up to {self.size}", size)
        self._require(0 <= index < size, f"an index below the size {size}", index)
        path: list[bytes] = []
        start, stop = 0, size
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                path.append(self._range(middle, stop))
                stop = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """PROOF(old, D[0:new]) of RFC 6962 section 2.1.2; empty for `old == new` and `old == 0`.

        Raises:
            LedgerError: not `old <= new <= self.size`.
        """
        self._require(0 <= new <= self.size, f"a size up to {self.size}", new)
        self._require(0 <= old <= new, f"an old size up to {new}", old)
        if old in (0, new):
            return ()
        proof: list[bytes] = []
        start, stop = 0, new
        while stop != old:
            middle = start + _split(stop - start)
            if old <= middle:
                proof.append(self._range(middle, stop))
                stop = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        if start:  # otherwise the verifier already knows this hash: it is the old root
            proof.append(self._range(start, stop))
        return tuple(reversed(proof))

    def _range(self, start: int, stop: int) -> bytes:
        """MTH(D[start:stop]) for a range that is a node of the tree at some size."""
        count = stop - start
        level = count.bit_length() - 1
        if count == 1 << level:
            return self._at(level, start >> level)
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, stop))

    @staticmethod
    def _require(holds: bool, expected: str, got: int) -> None:
        if not holds:
            raise LedgerError(f"expected {expected}, got {got}")


class Tree(MerkleTree):
    """A growing list of leaf hashes with its roots and proofs.

    Args:
        leaf_hashes: `leaf_hash` of each entry, in order.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        # Level k holds, back to back, the hashes of the complete subtrees over 2^k leaves.
        self._levels: list[bytearray] = [bytearray()]
        for leaf in leaf_hashes:
            self.append(leaf)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf.

        Raises:
            LedgerError: not 32 bytes.
        """
        if len(leaf_hash) != HASH_BYTES:
            raise LedgerError(f"leaf: expected a hash of 32 bytes, got {len(leaf_hash)}")
        index, level, value = self.size, 0, leaf_hash
        self._levels[0] += value
        while index & 1:
            value = node_hash(self._at(level, index - 1), value)
            index, level = index >> 1, level + 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += value

    def leaf(self, index: int) -> bytes:
        """The hash of one leaf.

        Raises:
            LedgerError: no such leaf.
        """
        self._require(0 <= index < self.size, f"a leaf below {self.size}", index)
        return self._at(0, index)

    def hashes(self, level: int, start: int, stop: int) -> bytes:
        """Back to back, the hashes of the complete subtrees `start` to `stop` over 2^level leaves.

        Raises:
            LedgerError: the tree has not that many.
        """
        have = len(self._levels[level]) // HASH_BYTES if level < len(self._levels) else 0
        self._require(0 <= start <= stop <= have, f"a range up to {have}", stop)
        return bytes(self._levels[level][start * HASH_BYTES : stop * HASH_BYTES])

    def frontier(self) -> bytes:
        """The hashes of the largest complete subtrees, left to right: what appending needs."""
        peaks, start = b"", 0
        for level in reversed(range(len(self._levels))):
            if self.size >> level & 1:
                peaks += self._at(level, start >> level)
                start += 1 << level
        return peaks

    def ahead(self, leaf_hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Root and frontier as they would be with these leaves appended; nothing is appended."""
        peaks: list[tuple[int, bytes]] = []
        start = 0
        for level in reversed(range(len(self._levels))):
            if self.size >> level & 1:
                peaks.append((level, self._at(level, start >> level)))
                start += 1 << level
        for leaf in leaf_hashes:
            level, value = 0, leaf
            while peaks and peaks[-1][0] == level:
                value = node_hash(peaks.pop()[1], value)
                level += 1
            peaks.append((level, value))
        frontier = b"".join(value for _, value in peaks)
        if not peaks:
            return EMPTY_ROOT, frontier
        root = peaks.pop()[1]
        while peaks:
            root = node_hash(peaks.pop()[1], root)
        return root, frontier

    def _at(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][index * HASH_BYTES : (index + 1) * HASH_BYTES])


def _split(count: int) -> int:
    """The largest power of two below `count` (RFC 6962's k)."""
    return 1 << ((count - 1).bit_length() - 1)
