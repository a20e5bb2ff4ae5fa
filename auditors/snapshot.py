"""A log's folder as of one moment, also while the log is appending: its checkpoint, read once.

The entries are taken as they stand; that nobody changed them is for `auditors.verify` to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auditors.errors import AuditInputError, IntegrityBroken
from ledger.checkpoint import parse_checkpoint
from ledger.errors import LedgerError, ProofError
from ledger.folder import CHECKPOINT, read_entries, read_note
from ledger.tiles import ENTRIES, WIDTH, Tile
from policies.parts import whole_entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Where to read, and how far.

    Args:
        folder: a log's folder.
        checkpoint: the note that was in its `checkpoint`.
        size: number of entries that it is of.
    """

    folder: Path
    checkpoint: str
    size: int

    @classmethod
    def take(cls, folder: Path) -> Snapshot:
        """The folder now.

        Raises:
            AuditInputError: there is no checkpoint, or it cannot be read.
            IntegrityBroken: it is not a checkpoint.
        """
        try:
            note = read_note(folder / CHECKPOINT)
        except OSError as error:
            raise _unreadable(folder / CHECKPOINT, error) from error
        except LedgerError as error:
            raise IntegrityBroken(CHECKPOINT, "a signed note", str(error)) from error
        if note is None:
            raise AuditInputError(
                f"{folder}: expected a log's folder with a file {CHECKPOINT}, got none; copy the "
                "whole folder"
            )
        text = note[: note.rfind("\n\n") + 1]
        try:
            size = parse_checkpoint(text).size
        except ProofError as error:
            raise IntegrityBroken(CHECKPOINT, "a checkpoint", str(error)) from error
        return cls(folder=folder, checkpoint=note, size=size)

    def lines(self, start: int = 0) -> Iterator[bytes]:
        """The entries from `start` to the end, as they were appended.

        Raises:
            IntegrityBroken: a bundle is missing, or is not one.
            AuditInputError: it cannot be read.
        """
        at = start
        try:
            for line in read_entries(self.folder, self.size, start):
                yield line
                at += 1
        except (ProofError, FileNotFoundError) as error:
            index = at // WIDTH
            bundle = Tile(ENTRIES, index, min(WIDTH, self.size - index * WIDTH))
            raise IntegrityBroken(
                f"entry {at}, {bundle.path}", f"a bundle of {bundle.width} entries", str(error)
            ) from error
        except OSError as error:
            raise _unreadable(self.folder, error) from error

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Whole entries, each with the index of its (last) line; errors as `lines`.

        What was logged in parts (`policies.parts`) is put together again.
        """
        return whole_entries(self.lines())


def _unreadable(path: Path, error: OSError) -> AuditInputError:
    return AuditInputError(f"{path}: expected to read it, got: {error}; copy the folder again")
