"""A log's folder as of one moment, also while the log is appending.

The growing files are read up to the length they had at that moment; `checkpoint` is held in memory.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from auditors.errors import AuditInputError, IntegrityBroken
from ledger.folder import CHECKPOINT, ENTRIES, HISTORY, LEAVES, MAX_ENTRY_BYTES
from ledger.note import MAX_NOTE_BYTES

# JSON escapes each newline of a note with one byte more.
_MAX_LINE_BYTES = {ENTRIES: MAX_ENTRY_BYTES, LEAVES: 64, HISTORY: 2 * MAX_NOTE_BYTES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Where to read, and how far.

    Args:
        folder: a log's folder.
        checkpoint: bytes of its `checkpoint`.
        sizes: length in bytes of each growing file, by name.
    """

    folder: Path
    checkpoint: bytes
    sizes: Mapping[str, int]

    @classmethod
    def take(cls, folder: Path) -> Snapshot:
        """The folder now.

        Raises:
            AuditInputError: a file is missing or cannot be read.
        """
        for name in (ENTRIES, LEAVES, HISTORY, CHECKPOINT):
            if not (folder / name).is_file():
                raise AuditInputError(
                    f"{folder}: expected a log's folder with a file {name}, got none; copy the "
                    "whole folder"
                )
        try:
            # The log holds this lock while it publishes (FORMAT.md). A file system without locks
            # has no running log on it either.
            with (folder / ENTRIES).open("rb") as entries:
                with suppress(OSError):
                    fcntl.flock(entries, fcntl.LOCK_SH)
                with (folder / CHECKPOINT).open("rb") as file:
                    checkpoint = file.read(MAX_NOTE_BYTES + 1)
                sizes = {name: (folder / name).stat().st_size for name in _MAX_LINE_BYTES}
        except OSError as error:
            raise _unreadable(folder, error) from error
        return cls(folder=folder, checkpoint=checkpoint, sizes=sizes)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a growing file from its beginning, without their newlines.

        Raises:
            IntegrityBroken: a line without its end, or longer than the format allows.
            AuditInputError: the file cannot be read.
        """
        limit, left, number = _MAX_LINE_BYTES[name], self.sizes[name], 0
        try:
            with (self.folder / name).open("rb") as file:
                while left:
                    number += 1
                    line = file.readline(min(left, limit + 1))
                    if not line.endswith(b"\n"):
                        raise IntegrityBroken(
                            f"line {number} of {name}",
                            f"at most {limit} bytes and a newline",
                            f"{len(line)} bytes without one",
                        )
                    left -= len(line)
                    yield line[:-1]
        except OSError as error:
            raise _unreadable(self.folder / name, error) from error


def _unreadable(path: Path, error: OSError) -> AuditInputError:
    return AuditInputError(f"{path}: expected to read it, got: {error}; copy the folder again")
