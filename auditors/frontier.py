"""The right edge of a log's tree, in tiles: all that is needed to go on hashing, and no more.

Pure. A log of n entries is known by at most 255 hashes a level, whatever was before: so a million
entries are verified in a few kilobytes, and a monitor goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from ledger.errors import LedgerError
from ledger.tiles import WIDTH, levels_of
from ledger.tree import EMPTY_ROOT, HASH_BYTES

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over at least one hash; an odd one at the end goes up as it is."""
    sha256, level = hashlib.sha256, list(hashes)
    while len(level) > 1:
        above = [
            sha256(NODE_PREFIX + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) & 1:
            above.append(level[-1])
        level = above
    return level[0]


def split_hashes(data: bytes) -> list[bytes]:
    """The hashes of a tile; a last piece that is no whole hash is left out."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data) - HASH_BYTES + 1, HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class FullTile:
    """A hash tile that was just filled.

    Args:
        level, index: which.
        hashes: its 256.
    """

    level: int
    index: int
    hashes: list[bytes]


@dataclass(slots=True)
class Frontier:
    """The hashes of each level's tile that is not full yet.

    Args:
        size: number of entries.
        levels: level 0 first; fewer than 256 hashes a level, as many as `size` says.

    Raises:
        LedgerError: hashes that do not fit the size.
    """

    size: int = 0
    levels: list[list[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        expected = [self.size // WIDTH**level % WIDTH for level in range(levels_of(self.size))]
        got = [len(level) for level in self.levels]
        whole = all(len(one) == HASH_BYTES for level in self.levels for one in level)
        if self.size < 0 or got != expected or not whole:
            raise LedgerError(
                f"frontier: expected {expected} hashes by level for size {self.size}, got {got}"
            )

    def copy(self) -> Self:
        """Another one, to go on from here twice."""
        return type(self)(self.size, [list(level) for level in self.levels])

    @property
    def leaves(self) -> list[bytes]:
        """The leaf hashes of the bundle that is not full yet."""
        return self.levels[0] if self.levels else []

    def root(self) -> bytes:
        """Root over all entries so far."""
        return self.root_with(0, self.leaves)

    def root_with(self, level: int, hashes: Sequence[bytes]) -> bytes:
        """The root if this level's last tile held these hashes instead, and all others theirs."""
        below: list[bytes] = []
        for number in range(max(len(self.levels), level + 1)):
            own = self.levels[number] if number < len(self.levels) else []
            row = [*(hashes if number == level else own), *below]
            below = [subtree_root(row)] if row else []
        return below[0] if below else EMPTY_ROOT

    def grow(self, leaves: Sequence[bytes]) -> Iterator[FullTile]:
        """Take the leaf hashes of the current bundle, those it had before included.

        Yields each hash tile that becomes full, from level 0 up. Run it to its end.

        Args:
            leaves: at most 256, at least as many as before.
        """
        number = self.size // WIDTH
        self.size = number * WIDTH + len(leaves)
        row = list(leaves)
        for level in range(levels_of(self.size)):
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level] = row if level == 0 else [*self.levels[level], *row]
            if len(self.levels[level]) < WIDTH:
                break
            full, self.levels[level] = self.levels[level], []
            yield FullTile(level, number // WIDTH**level, full)
            row = [subtree_root(full)]
