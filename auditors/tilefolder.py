"""A log's folder on a disk that nobody vouches for: what lies in it, and bounded reads.

Only regular files under the names of C2SP tlog-tiles are ever opened, and no link is followed: a
device, a pipe or a file of a terabyte costs an error, not the auditor's afternoon.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from auditors.errors import AuditInputError, IntegrityBroken
from ledger.errors import ProofError
from ledger.folder import CHECKPOINT, NEW, TILES
from ledger.note import MAX_NOTE_BYTES
from ledger.tiles import ENTRIES, MAX_BUNDLE_BYTES, Tile, parse_tile_path
from ledger.tree import HASH_BYTES

COPY_AGAIN: Final = (
    "if this copy was made while the log was appending, copy it again, the checkpoint first; "
    "otherwise keep it as evidence"
)
_NOT_OURS: Final = (
    "somebody put it there: keep the folder as evidence, and verify a copy without it"
)
_FOLDER: Final = re.compile(
    r"tile(?:/(?:entries|0|[1-9][0-9]?)(?:(?:/x[0-9]{3})*(?:/[0-9]{3}\.p)?))?", re.ASCII
)
_REGULAR: Final = "a regular file"
_DIRECTORY: Final = "a folder"
_LINK: Final = "a symbolic link"
_DEVICE: Final = "a device, a pipe or a socket"
_MAX_DEPTH: Final = 10  # an index of 63 bits has seven parts


@dataclass(slots=True)
class TileFolder:
    """What lies in a folder.

    Args:
        folder: the log's folder.
        widths: by level (`ENTRIES` for bundles) and index, the widths that are there; 256 is full.
        beside: names in the folder that are no part of a log.
    """

    folder: Path
    widths: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    beside: tuple[str, ...] = ()

    @classmethod
    def look(cls, folder: Path) -> TileFolder:
        """The folder with every name under `tile/`.

        Raises:
            AuditInputError: no log's folder, or it cannot be listed.
            IntegrityBroken: a link, a device, a folder in a file's place, or a name that is none.
        """
        found = cls(folder)
        names = _listed(folder)
        if CHECKPOINT not in names and TILES not in names:
            raise AuditInputError(
                f"{folder}: expected a log's folder with a file {CHECKPOINT}, got none; copy the "
                "whole folder"
            )
        # What the log was writing when it crashed or was copied is nothing that it published.
        found.beside = tuple(sorted(names.keys() - {CHECKPOINT, TILES, NEW}))
        if TILES in names:
            for path in _files(folder, TILES, names[TILES]):
                tile = _tile(path)
                found.widths.setdefault((tile.level, tile.index), []).append(tile.width)
        return found

    def has(self, tile: Tile) -> bool:
        """Whether the file was there when the folder was looked at."""
        return tile.width in self.widths.get((tile.level, tile.index), ())

    def read_if_there(self, tile: Tile) -> bytes | None:
        """The bytes of a tile's or bundle's file; None where there is no such file.

        Raises:
            IntegrityBroken: no regular file, or one of a size that it cannot have.
            AuditInputError: it cannot be read.
        """
        if tile.level == ENTRIES:
            return _read(self.folder, tile.path, MAX_BUNDLE_BYTES, 3 * tile.width)
        exact = HASH_BYTES * tile.width
        return _read(self.folder, tile.path, exact, exact)

    def check_size(self, tile: Tile) -> None:
        """The file has a size that it can have; errors as `read_if_there`."""
        exact = HASH_BYTES * tile.width
        bundle = tile.level == ENTRIES
        low, high = (3 * tile.width, MAX_BUNDLE_BYTES) if bundle else (exact, exact)
        try:
            size = (self.folder / tile.path).lstat().st_size
        except OSError as error:
            raise _unreadable(self.folder / tile.path, error) from error
        _check_size(tile.path, size, low, high)


def read_checkpoint(folder: Path) -> bytes:
    """A log's `checkpoint`.

    Raises:
        AuditInputError: no log's folder, or it cannot be read.
        IntegrityBroken: the folder of a log, but no such file, or not one that a log publishes.
    """
    try:
        return read_file(folder, CHECKPOINT, MAX_NOTE_BYTES)
    except IntegrityBroken:
        TileFolder.look(folder)  # a folder without a log in it is a mistake, not a fault
        raise


def read_file(folder: Path, path: str, most: int) -> bytes:
    """A regular file of at most `most` bytes, whole.

    Raises:
        IntegrityBroken: not there, no regular file, or longer.
        AuditInputError: it cannot be read.
    """
    data = _read(folder, path, most, 0)
    if data is None:
        raise IntegrityBroken(path, "a file", "none", COPY_AGAIN)
    return data


def _read(folder: Path, path: str, most: int, least: int) -> bytes | None:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        status = (folder / path).lstat()
        if not stat.S_ISREG(status.st_mode):
            raise IntegrityBroken(path, _REGULAR, _kind(status.st_mode), _NOT_OURS)
        _check_size(path, status.st_size, least, most)
        with os.fdopen(os.open(folder / path, flags), "rb") as file:
            data = file.read(most + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(folder / path, error) from error
    _check_size(path, len(data), least, most)
    return data


def _check_size(path: str, size: int, least: int, most: int) -> None:
    if not least <= size <= most:
        expected = f"{most} bytes" if least == most else f"{least} to {most} bytes"
        place = f"byte {size} of {path}" if size < least else f"byte {most} of {path}"
        raise IntegrityBroken(place, f"a file of {expected}", f"{size} bytes", COPY_AGAIN)


def _files(folder: Path, path: str, kind: str) -> Iterator[str]:
    """The regular files below a folder of tiles, each by its path from the log's folder."""
    if kind != _DIRECTORY:
        raise IntegrityBroken(path, "a folder", kind, _NOT_OURS)
    if not _FOLDER.fullmatch(path) or path.count("/") > _MAX_DEPTH:
        raise IntegrityBroken(path, "a tile or a folder of tiles", "another folder", _NOT_OURS)
    for name, below in sorted(_listed(folder / path, gone_is_empty=True).items()):
        if below == _REGULAR:
            yield f"{path}/{name}"
        else:
            yield from _files(folder, f"{path}/{name}", below)


def _tile(path: str) -> Tile:
    try:
        return parse_tile_path(path)
    except ProofError as error:
        expected = "a file of a log (tile/LEVEL/INDEX[.p/WIDTH])"
        raise IntegrityBroken(path, expected, "another name", _NOT_OURS) from error


def _listed(folder: Path, *, gone_is_empty: bool = False) -> dict[str, str]:
    """The names in a folder, and what each is; nothing is followed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _kind_listed(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError) as error:
        if gone_is_empty:  # the log removes partial tiles that it published in full
            return {}
        raise AuditInputError(
            f"{folder}: expected a log's folder, got none; name the folder that holds {CHECKPOINT}"
        ) from error
    except OSError as error:
        raise _unreadable(folder, error) from error


def _kind_listed(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return _LINK
    if entry.is_dir(follow_symlinks=False):
        return _DIRECTORY
    return _REGULAR if entry.is_file(follow_symlinks=False) else _DEVICE


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return _LINK
    return _DIRECTORY if stat.S_ISDIR(mode) else _DEVICE


def _unreadable(path: Path, error: OSError) -> AuditInputError:
    return AuditInputError(f"{path}: expected to read it, got: {error}; copy the folder again")
