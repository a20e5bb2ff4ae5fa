"""The pieces that a log is published in (C2SP tlog-tiles): paths, hash tiles, entry bundles.

A tile at level l holds 256 consecutive Merkle tree hashes, each over 256**l entries; a bundle holds
the 256 entries under a level-0 tile. The last one of a level is partial: it has a width below 256,
and its path says so. Pure: bytes in, bytes out; one spelling of everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ledger.errors import LedgerError, ProofError
from ledger.tree import HASH_BYTES, MAX_SIZE

WIDTH: Final = 256
"""Hashes in a full tile, entries in a full bundle."""

TILE_BYTES: Final = WIDTH * HASH_BYTES

MAX_ENTRY_BYTES: Final = (1 << 16) - 1
"""What the two bytes of a bundle's length prefix can say."""

MAX_BUNDLE_BYTES: Final = WIDTH * (2 + MAX_ENTRY_BYTES)

ENTRIES: Final = -1
"""Stands for the level of entry bundles, whose path has the word `entries` in its place."""

MAX_LEVEL: Final = 63
_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One tile or bundle; exists only if well-formed.

    Args:
        level: 0 to 63, or `ENTRIES`.
        index: counts the tiles of a level from 0.
        width: hashes or entries in it, 1 to 256.

    Raises:
        LedgerError: a value outside these bounds.
    """

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not (
            ENTRIES <= self.level <= MAX_LEVEL
            and 0 <= self.index <= MAX_SIZE
            and 1 <= self.width <= WIDTH
        ):
            raise LedgerError(
                f"tile: expected a level up to {MAX_LEVEL}, an index and a width of 1 to {WIDTH}, "
                f"got {self.level}, {self.index}, {self.width}"
            )

    @property
    def partial(self) -> bool:
        """Whether the tree has to grow before this tile is full."""
        return self.width < WIDTH

    @property
    def start(self) -> int:
        """The first entry below it; for a bundle its own first entry."""
        span: int = WIDTH ** (max(self.level, 0) + 1)
        return self.index * span

    @property
    def full(self) -> Tile:
        """The tile that this one becomes."""
        return Tile(self.level, self.index)

    @property
    def path(self) -> str:
        """Where it is published, relative to the log's prefix: `tile/0/x001/067.p/12`."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{name}" + (f".p/{self.width}" if self.partial else "")


def parse_tile_path(path: str) -> Tile:
    """The tile of a path.

    Raises:
        ProofError: not the one spelling that `Tile.path` gives.
    """
    match = _PATH.fullmatch(path)
    if match is not None:
        level = ENTRIES if match[1] == "entries" else int(match[1])
        index, width = int(re.sub("[x/]", "", match[2])), int(match[3] or WIDTH)
        with suppress(LedgerError):
            tile = Tile(level, index, width)
            if tile.path == path:
                return tile
    raise ProofError(f"tile path: expected tile/LEVEL/INDEX[.p/WIDTH], got {path!r:.80}")


def levels_of(size: int) -> int:
    """How many levels of hash tiles a tree has."""
    levels = 0
    while size > 0:
        levels, size = levels + 1, size // WIDTH
    return levels


def last_tiles(size: int) -> Iterator[Tile]:
    """The rightmost bundle of a tree of this size, and the rightmost tile of each level."""
    for level in (ENTRIES, *range(levels_of(size))) if size else ():
        last = size // WIDTH ** max(level, 0) - 1
        yield Tile(level, last // WIDTH, last % WIDTH + 1)


def partial_tiles(size: int) -> Iterator[Tile]:
    """The partial ones among `last_tiles`."""
    return (tile for tile in last_tiles(size) if tile.partial)


def new_tiles(old: int, size: int) -> Iterator[Tile]:
    """What a log publishes as it grows: each tile of `size` that the tree of `old` did not have.

    Bundles come first, then hash tiles by level; within a level by index.
    """
    if size <= old:
        return
    for level in (ENTRIES, *range(levels_of(size))):
        span = WIDTH ** max(level, 0)
        before, count = old // span, size // span
        if count == before:
            continue
        for index in range(before // WIDTH, -(-count // WIDTH)):
            yield Tile(level, index, min(WIDTH, count - index * WIDTH))


def bundle_bytes(entries: Sequence[bytes]) -> bytes:
    """A bundle: each entry after its length in two bytes, big-endian.

    Raises:
        LedgerError: an entry that no bundle can hold.
    """
    pieces: list[bytes] = []
    for entry in entries:
        if not 0 < len(entry) <= MAX_ENTRY_BYTES:
            raise LedgerError(
                f"entry: expected 1 to {MAX_ENTRY_BYTES} bytes, got {len(entry)} bytes"
            )
        pieces += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(pieces)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle of this width.

    Raises:
        ProofError: it holds fewer, or more, or an empty one.
    """
    entries: list[bytes] = []
    at, end = 0, len(data)
    while at < end and len(entries) < width:
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at > end or at == start:
            break
        entries.append(data[start:at])
    if len(entries) != width or at != end:
        raise ProofError(
            f"bundle: expected {width} entries in {end} bytes, "
            f"got {len(entries)} up to byte {min(at, end)}"
        )
    return entries
