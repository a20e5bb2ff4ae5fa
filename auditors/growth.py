"""From the entries up to the signed root: what a log grew by, hashed again and compared.

    1. every entry of a bundle is hashed; the hashes are the level-0 tile, byte by byte
    2. where somebody saw a head, the root there is the one that was signed
    3. the root of each full tile is a hash of the tile above, byte by byte
    4. the tiles that are not full yet hold what the last entries say
    5. the root over all of it is the one that the log signed

Other files of the same tile (partial ones that the log had published before, a longer one of a log
that went on) say the same as far as both go. Starts from any frontier: from nothing, or from where
a monitor stood.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from auditors.blame import KEEP, Blame, entries_place
from auditors.errors import IntegrityBroken, TileMissing
from auditors.frontier import LEAF_PREFIX, Frontier, FullTile
from auditors.tilefolder import COPY_AGAIN, TileFolder
from auditors.trust import Head
from ledger.tiles import ENTRIES, WIDTH, Tile
from ledger.tree import HASH_BYTES

Progress = Callable[[int, int], None]
"""Entries done, entries in all."""

PROGRESS_EVERY: Final = 16
"""Bundles."""


def check_growth(
    folder: TileFolder,
    frontier: Frontier,
    head: Head,
    seen: Sequence[Head] = (),
    progress: Progress | None = None,
) -> None:
    """The folder's entries from `frontier` on hash to what `head` signed; `frontier` moves there.

    Memory does not depend on how many entries there are.

    Args:
        frontier: what is known to be right; no larger than the head.
        seen: heads of sizes up to the head's, smallest first; those below the frontier are not
            looked at.

    Raises:
        IntegrityBroken: with the entry, tile and byte.
        AuditInputError: a file cannot be read.
    """
    _Growth(folder, frontier, head, seen).run(progress)


class _Growth:
    def __init__(
        self, folder: TileFolder, frontier: Frontier, head: Head, seen: Sequence[Head]
    ) -> None:
        self.folder = folder
        self.frontier = frontier
        self.head = head
        self.size = head.checkpoint.size
        self.good_size = frontier.size
        self.seen = [one for one in seen if one.checkpoint.size > frontier.size]
        self.blame = Blame(folder, head.checkpoint)

    def run(self, progress: Progress | None) -> None:
        bundles = range(self.frontier.size // WIDTH, -(-self.size // WIDTH))
        for number in bundles:
            self._bundle(number, min(WIDTH, self.size - number * WIDTH))
            if progress is not None and number % PROGRESS_EVERY == PROGRESS_EVERY - 1:
                progress(self.frontier.size, self.size)
        for level, hashes in enumerate(self.frontier.levels[1:], 1):
            if hashes:
                index = self.size // WIDTH ** (level + 1)
                self._tile(Tile(level, index, len(hashes)), hashes)
        self._root(self.head, self.frontier.root(), KEEP)
        if progress is not None:
            progress(self.size, self.size)

    def _bundle(self, number: int, width: int) -> None:
        bundle, tile = Tile(ENTRIES, number, width), Tile(0, number, width)
        source, data = self._content(bundle)
        there, stored = self._content(tile)
        leaves, end = leaf_hashes(data, width)
        # A longer bundle of a log that went on may follow; one of this width ends here.
        whole = len(leaves) == width and (end == len(data) or source.width > width)
        known = self.frontier.leaves
        if not whole or b"".join(leaves) != stored or leaves[: len(known)] != known:
            raise self.blame.bundle(
                source, data, leaves=leaves, tile=there, stored=stored, frontier=self.frontier
            )
        self._others(bundle, data[:end])
        self._others(tile, stored)
        self._seen(number, leaves)
        for full in self.frontier.grow(leaves):
            self._full(full)

    def _full(self, full: FullTile) -> None:
        if full.level > 0:
            self._tile(Tile(full.level, full.index), full.hashes)

    def _tile(self, tile: Tile, hashes: Sequence[bytes]) -> None:
        source, stored = self._content(tile)
        if stored != b"".join(hashes):
            raise self.blame.tile(source, stored, hashes=hashes, frontier=self.frontier)
        self._others(tile, stored)

    def _content(self, tile: Tile) -> tuple[Tile, bytes]:
        """The file of a tile, or of the full tile that took its place; of hashes, its own ones."""
        source, data = tile, self.folder.read_if_there(tile)
        if data is None and tile.partial:
            source, data = tile.full, self.folder.read_if_there(tile.full)
        if data is None:
            above = f"the log signed {self.size} entries"
            raise TileMissing(tile.path, f"a file ({above})", "none", COPY_AGAIN)
        return source, data if tile.level == ENTRIES else data[: HASH_BYTES * tile.width]

    def _others(self, tile: Tile, content: bytes) -> None:
        for width in self.folder.widths.get((tile.level, tile.index), ()):
            if width == tile.width:
                continue
            other = Tile(tile.level, tile.index, width)
            data = self.folder.read_if_there(other)
            if data is None:  # removed by the log since the folder was listed
                continue
            if width > tile.width:
                expected, got = content, data[: len(content)]
            else:
                expected, got = content[: self._length(other, content)], data
            if expected != got:
                raise self.blame.other(other, tile, expected, got)

    @staticmethod
    def _length(tile: Tile, content: bytes) -> int:
        """Of the bytes of a longer one, how many are this tile's."""
        if tile.level != ENTRIES:
            return HASH_BYTES * tile.width
        at = 0
        for _ in range(tile.width):
            at += 2 + int.from_bytes(content[at : at + 2], "big")
        return at

    def _seen(self, number: int, leaves: Sequence[bytes]) -> None:
        start = number * WIDTH
        while self.seen and self.seen[0].checkpoint.size <= start + len(leaves):
            head = self.seen.pop(0)
            root = self.frontier.root_with(0, leaves[: head.checkpoint.size - start])
            self._root(head, root, f"the log signed two histories; {KEEP}")

    def _root(self, head: Head, root: bytes, hint: str) -> None:
        size = head.checkpoint.size
        if root != head.checkpoint.root:
            place = (
                entries_place(self.good_size, size, self.size)
                if size > self.good_size
                else head.place
            )
            expected = f"root {head.checkpoint.root.hex()}, as {head.place} signed for size {size}"
            raise IntegrityBroken(place, expected, root.hex(), hint)
        self.good_size = size


def leaf_hashes(data: bytes, width: int) -> tuple[list[bytes], int]:
    """The leaf hashes of at most `width` whole entries that a bundle begins with, and their end."""
    sha256 = hashlib.sha256
    hashes: list[bytes] = []
    at, end = 0, len(data)
    for _ in range(width):
        start = at + 2
        if start > end:
            break
        stop = start + (data[at] << 8 | data[at + 1])
        if stop > end or stop == start:
            break
        hashes.append(sha256(LEAF_PREFIX + data[start:stop]).digest())
        at = stop
    return hashes, at
