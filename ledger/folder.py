"""The published folder (FORMAT.md, C2SP tlog-tiles): tiles that never change, and the checkpoint.

All of it can be made again from the database, so that a crash or a full disk here loses nothing.
What never happens is that a tile is overwritten with something else: a folder that says something
else than the database is evidence, not a mistake to tidy up.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from ledger.durable import place_file, replace_file, sync_folder
from ledger.errors import LogDamaged, ProofError
from ledger.note import MAX_NOTE_BYTES
from ledger.tiles import (
    ENTRIES,
    MAX_BUNDLE_BYTES,
    WIDTH,
    Tile,
    parse_bundle,
    parse_tile_path,
)

CHECKPOINT: Final = "checkpoint"
TILES: Final = "tile"
NEW: Final = ".new"
"""What is being written, until it is renamed to its place; a crash may leave one."""

Piece = tuple[Tile, bytes]


class Folder:
    """The open folder; one thread writes, others may read meanwhile.

    Args:
        path: made if absent.
        on_step: called with `placed` after each tile, `synced` and `dropped`; tests crash there.
    """

    def __init__(self, path: Path, on_step: Callable[[str], None]) -> None:
        (path / TILES).mkdir(parents=True, exist_ok=True)
        self.path = path
        self._on_step = on_step
        (path / NEW).unlink(missing_ok=True)
        sync_folder(path)
        self._known = {path / TILES}  # folders whose names are on the disk

    def read_checkpoint(self) -> str | None:
        """The published checkpoint; None if there is none yet."""
        return read_note(self.path / CHECKPOINT)

    def write_checkpoint(self, note: str) -> None:
        """Replace the published checkpoint, durably."""
        replace_file(self.path / CHECKPOINT, note.encode("utf-8"), fresh=self.path / NEW)

    def publish(self, pieces: Iterable[Piece]) -> None:
        """Put these tiles and bundles into their places; all are durable when this returns.

        A crash during it leaves whole tiles and at most one file `.new`. Partial tiles go once
        the full one is durable.

        Raises:
            LogDamaged: there is one already, and it is another.
            OSError: it cannot be written; call again.
        """
        try:
            full = self._place(pieces)
        except BaseException:
            self._known = {self.path / TILES}
            raise
        self._on_step("synced")
        for path in full:
            partial = path.with_name(f"{path.name}.p")
            shutil.rmtree(partial, ignore_errors=True)
            self._known.discard(partial)
        self._on_step("dropped")

    def _place(self, pieces: Iterable[Piece]) -> list[Path]:
        """The paths of the full ones."""
        touched: set[Path] = set()
        full: list[Path] = []
        for tile, data in pieces:
            path = self.path / tile.path
            touched |= {path.parent} | self._make(path.parent)
            if not self._holds(path, data):
                place_file(path, data, fresh=self.path / NEW)
            self._on_step("placed")
            if not tile.partial:
                full.append(path)
        for folder in touched:
            sync_folder(folder)
        return full

    def check(self, size: int, last: Iterable[Piece]) -> None:
        """Look for tiles that a log of this size cannot have published.

        Args:
            last: the rightmost bundle, and the rightmost tile of each level.

        Raises:
            LogDamaged: a tile beyond the end, or a partial one that the log did not grow from.
        """
        ends = {tile.level: (tile, data) for tile, data in last}
        for tile in self._tiles():
            end, data = ends.get(tile.level, (None, b""))
            if end is None or (tile.index, tile.width) > (end.index, end.width):
                raise self._damaged(tile.path, f"expected nothing beyond {size} entries, got it")
            if tile.partial and tile.index == end.index:
                found = _read(self.path / tile.path)
                if not found or not data.startswith(found):
                    raise self._damaged(tile.path, "it is not the one in the database")

    def _tiles(self) -> Iterator[Tile]:
        """Every tile and bundle that is there; files with other names are nobody's business."""
        for folder, _, names in os.walk(self.path / TILES):
            for name in names:
                try:
                    yield parse_tile_path(str((Path(folder) / name).relative_to(self.path)))
                except ProofError:
                    continue

    def _holds(self, path: Path, data: bytes) -> bool:
        try:
            with path.open("rb") as file:
                found = file.read(len(data) + 1)
        except FileNotFoundError:
            return False
        if found != data:
            tile = str(path.relative_to(self.path))
            raise self._damaged(tile, "it is not the one in the database")
        return True

    def _make(self, folder: Path) -> set[Path]:
        """Make a folder and those above it; the ones whose names are not on the disk yet."""
        touched: set[Path] = set()
        while folder not in self._known:
            folder.mkdir(parents=True, exist_ok=True)
            self._known.add(folder)
            folder = folder.parent
            touched.add(folder)
        return touched

    def _damaged(self, where: str, what: str) -> LogDamaged:
        return LogDamaged(
            f"{self.path / where}: {what}: the folder and the database tell two stories. Keep both "
            "as evidence and compare them with the copies that auditors hold. If the database is "
            "the true one, move the folder away: it is published anew on the next start"
        )


def read_tile(folder: Path, tile: Tile) -> bytes:
    """The bytes of a tile, unverified; of the full one where a partial one is gone.

    Raises:
        ProofError: larger than any tile.
        OSError: it is missing or cannot be read.
    """
    try:
        return _read(folder / tile.path)
    except FileNotFoundError:
        if not tile.partial:
            raise
        return _read(folder / tile.full.path)


def read_bundle(folder: Path, index: int, size: int) -> list[bytes]:
    """The entries of one bundle of a log of this size, unverified.

    Reads the full bundle in the place of a partial one that is gone: a log that grew meanwhile
    deletes partial ones.

    Raises:
        ProofError: the file is not a bundle of this width.
        OSError: it is missing or cannot be read.
    """
    width = min(WIDTH, size - index * WIDTH)
    tile = Tile(ENTRIES, index, width)
    try:
        data = _read(folder / tile.path)
    except FileNotFoundError:
        if not tile.partial:
            raise
        return parse_bundle(_read(folder / tile.full.path), WIDTH)[:width]
    return parse_bundle(data, width)


def read_entries(folder: Path, size: int, start: int = 0) -> Iterator[bytes]:
    """The entries from `start` to before `size`, unverified; errors as `read_bundle`."""
    for index in range(start // WIDTH, -(-size // WIDTH)):
        entries = read_bundle(folder, index, size)
        yield from entries[max(0, start - index * WIDTH) :]


def read_note(path: Path) -> str | None:
    """A file that holds one note; None if absent.

    Raises:
        LogDamaged: too large, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_NOTE_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LogDamaged(f"{path}: expected a signed note, got bytes that are no text") from error
    if len(raw) > MAX_NOTE_BYTES:
        raise LogDamaged(f"{path}: expected a note of at most {MAX_NOTE_BYTES} bytes, got more")
    return text


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BUNDLE_BYTES + 1)
    if len(data) > MAX_BUNDLE_BYTES:
        raise ProofError(f"{path}: expected at most {MAX_BUNDLE_BYTES} bytes, got more")
    return data
