"""Files for entries that the signed head does not cover: a log that went on, or a stray file.

A log publishes bundles and tiles before the checkpoint that covers them, so that a folder in use,
a copy of it, and one after a crash may hold more than was signed. It goes on where the signed tree
ends, without a gap; a file anywhere else is no log's.
"""

from __future__ import annotations

from typing import Final

from auditors.errors import IntegrityBroken
from auditors.tilefolder import COPY_AGAIN, TileFolder
from ledger.tiles import ENTRIES, WIDTH, Tile

MOST_GROWTH: Final = 1 << 15
"""How many entries hash tiles may be ahead of the bundles, in a copy that took a while."""


def files_ahead(folder: TileFolder, size: int) -> int:
    """How many files reach beyond a tree of this size.

    Raises:
        IntegrityBroken: one of them does not continue the tree, or has a size it cannot have.
        AuditInputError: a file cannot be looked at.
    """
    ahead = sorted(
        Tile(level, index, width)
        for (level, index), widths in folder.widths.items()
        for width in widths
        if index * WIDTH + width > _count(level, size)
    )
    reached = size
    for tile in ahead:
        end = (tile.index * WIDTH + tile.width) * WIDTH ** max(tile.level, 0)
        if tile.level == ENTRIES:
            reached = max(reached, end)
        edge = Tile(tile.level, tile.index - 1) if tile.index else None
        begins = tile.index <= _count(tile.level, size) // WIDTH
        if not begins and not (edge and folder.has(edge)):
            raise _stray(tile, size, "no full tile stands before it")
        if end > reached + MOST_GROWTH:
            raise _stray(tile, size, f"it speaks of {end} entries")
        folder.check_size(tile)
    return len(ahead)


def _count(level: int, size: int) -> int:
    span: int = WIDTH ** max(level, 0)
    return size // span


def _stray(tile: Tile, size: int, why: str) -> IntegrityBroken:
    return IntegrityBroken(
        tile.path, f"a file of a log that goes on after {size} entries", why, COPY_AGAIN
    )
