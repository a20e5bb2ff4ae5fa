"""Two files of a log disagree: which of them was changed, and where.

The one that does not fit what stands above it: the hash in the tile above, or the signed root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from auditors.errors import IntegrityBroken
from auditors.frontier import Frontier, split_hashes, subtree_root
from auditors.tilefolder import TileFolder
from ledger.checkpoint import Checkpoint
from ledger.tiles import ENTRIES, WIDTH, Tile
from ledger.tree import HASH_BYTES

KEEP: Final = "keep this folder as evidence, and ask others for the heads they saw"


def entries_place(start: int, stop: int, size: int) -> str:
    """Entries from `start` to before `stop` of a log of `size`, with the bundles that hold them."""
    first, last = (
        Tile(ENTRIES, one // WIDTH, min(WIDTH, size - one // WIDTH * WIDTH)).path
        for one in (start, stop - 1)
    )
    where = first if first == last else f"{first} to {last}"
    which = f"entry {start}" if stop - start == 1 else f"entries {start} to {stop - 1}"
    return f"{which}, {where}"


class Blame:
    """Finds the place of a fault.

    Args:
        folder: where the files are.
        head: what was signed over them.
    """

    def __init__(self, folder: TileFolder, head: Checkpoint) -> None:
        self._folder = folder
        self._head = head

    def bundle(
        self,
        source: Tile,
        data: bytes,
        *,
        leaves: Sequence[bytes],
        tile: Tile,
        stored: bytes,
        frontier: Frontier,
    ) -> IntegrityBroken:
        """A bundle is malformed, or it and its level-0 tile or what was known before disagree."""
        start, held = source.start, split_hashes(stored)
        known = frontier.leaves
        slot = _differs(leaves[: len(known)], known)
        if slot is not None:
            return IntegrityBroken(
                self._entry(source, data, slot),
                f"the entry verified before, with hash {known[slot].hex()}",
                f"one with {leaves[slot].hex()}",
                f"the log was rewritten; {KEEP}",
            )
        slot = _differs(leaves, held)
        if slot is None:
            return self._malformed(source, data, len(leaves), len(held))
        entry, at = self._entry(source, data, slot), HASH_BYTES * slot
        other = f"byte {at} of {tile.path}"
        wanted, came = held[slot].hex(), leaves[slot].hex()
        whole = len(leaves) == len(held)
        if whole and self._fits(Tile(0, tile.index, len(leaves)), leaves, frontier):
            return IntegrityBroken(
                f"{other}, the hash of entry {start + slot}",
                f"{came}, the hash of the entry in {source.path}, which fits the level above",
                wanted,
                KEEP,
            )
        if not whole or self._fits(Tile(0, tile.index, len(held)), held, frontier):
            return IntegrityBroken(
                entry,
                f"an entry with hash {wanted}, as at {other}"
                + (", which fits the level above" if whole else ""),
                f"one with {came}",
                KEEP,
            )
        return IntegrityBroken(
            f"{entry}, and {other}",
            "an entry and its hash",
            f"one with {came} and the hash {wanted}, neither of which fits the level above",
            KEEP,
        )

    def tile(
        self, source: Tile, stored: bytes, *, hashes: Sequence[bytes], frontier: Frontier
    ) -> IntegrityBroken:
        """A tile of level 1 or above does not hold the roots of the tiles below it."""
        held = split_hashes(stored)
        slot = _differs(hashes, held) or 0
        here = f"byte {HASH_BYTES * slot} of {source.path}"
        if not self._fits(Tile(source.level, source.index, len(held)), held, frontier):
            return IntegrityBroken(
                here,
                f"{hashes[slot].hex()}, the root of the tile below",
                held[slot].hex(),
                KEEP,
            )
        span = WIDTH**source.level
        start = (source.index * WIDTH + slot) * span
        return IntegrityBroken(
            entries_place(start, start + span, self._head.size),
            f"entries with root {held[slot].hex()}, as at {here}, which fits the level above",
            f"ones with {hashes[slot].hex()}: entries and their hashes were changed together",
            KEEP,
        )

    def other(self, other: Tile, tile: Tile, expected: bytes, got: bytes) -> IntegrityBroken:
        """Another file of the same tile says something else."""
        at = next(
            (n for n, pair in enumerate(zip(expected, got, strict=False)) if pair[0] != pair[1]),
            min(len(expected), len(got)),
        )
        want, came = expected[at : at + HASH_BYTES], got[at : at + HASH_BYTES]
        return IntegrityBroken(
            f"byte {at} of {other.path}",
            f"the bytes that {tile.path} begins with ({_shown(want)})"
            if other.width < tile.width
            else f"a file that begins as {tile.path} ({_shown(want)})",
            _shown(came),
            KEEP,
        )

    def _fits(self, tile: Tile, hashes: Sequence[bytes], frontier: Frontier) -> bool:
        """Whether these hashes are what stands above the tile."""
        if tile.partial:
            return frontier.root_with(tile.level, hashes) == self._head.root
        slots = self._head.size // WIDTH ** (tile.level + 1)
        index, slot = divmod(tile.index, WIDTH)
        above = Tile(tile.level + 1, index, min(WIDTH, slots - index * WIDTH))
        try:
            data = self._folder.read_if_there(above)
            if data is None:
                data = self._folder.read_if_there(above.full)
        except IntegrityBroken:
            return False
        at = HASH_BYTES * slot
        return data is not None and data[at : at + HASH_BYTES] == subtree_root(hashes)

    @staticmethod
    def _malformed(source: Tile, data: bytes, whole: int, width: int) -> IntegrityBroken:
        at = _offset(data, whole)
        place = f"entry {source.start + whole}, byte {at} of {source.path}"
        if whole == width:
            got = f"{len(data) - at} bytes more"
            return IntegrityBroken(place, f"the end after {width} entries", got, KEEP)
        length = data[at : at + 2]
        if len(length) < 2:
            got = "the end of the file"
        else:
            left = len(data) - at - 2
            got = f"a length of {int.from_bytes(length, 'big')} where {left} bytes are left"
        return IntegrityBroken(place, "an entry of 1 to 65535 bytes", got, KEEP)

    @staticmethod
    def _entry(source: Tile, data: bytes, slot: int) -> str:
        return f"entry {source.start + slot}, byte {_offset(data, slot)} of {source.path}"


def _differs(left: Sequence[bytes], right: Sequence[bytes]) -> int | None:
    """The first place where both have a hash, and not the same."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), None)


def _offset(data: bytes, entries: int) -> int:
    """Where a bundle's entry begins, its length first."""
    at = 0
    for _ in range(entries):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    return at


def _shown(data: bytes) -> str:
    return data.hex() if data else "the end of the file"
