"""A log's folder as of one moment, also while the log is appending: its checkpoint, read once.

The entries are taken as they stand; that nobody changed them is for `auditors.verify` to say. Files
are read as there: no link is followed, and none is read that is larger than a bundle may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auditors.errors import IntegrityBroken
from auditors.tilefolder import TileFolder, read_checkpoint
from ledger.checkpoint import parse_checkpoint
from ledger.errors import ProofError
from ledger.folder import CHECKPOINT
from ledger.tiles import ENTRIES, WIDTH, Tile, parse_bundle
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
            AuditInputError: no log's folder, or it cannot be read.
            IntegrityBroken: there is no checkpoint, or it is none.
        """
        try:
            note = read_checkpoint(folder).decode("utf-8")
        except UnicodeDecodeError as error:
            raise IntegrityBroken(CHECKPOINT, "a signed note", "bytes that are no text") from error
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
        there = TileFolder(self.folder)
        for index in range(start // WIDTH, -(-self.size // WIDTH)):
            bundle = Tile(ENTRIES, index, min(WIDTH, self.size - index * WIDTH))
            yield from self._bundle(there, bundle)[max(0, start - bundle.start) :]

    def _bundle(self, there: TileFolder, bundle: Tile) -> list[bytes]:
        """The entries of a bundle, or of the full one that took its place."""
        found, data = bundle, there.read_if_there(bundle)
        if data is None and bundle.partial:
            found, data = bundle.full, there.read_if_there(bundle.full)
        try:
            if data is None:
                raise ProofError("none")
            return parse_bundle(data, found.width)[: bundle.width]
        except ProofError as error:
            raise IntegrityBroken(
                f"entry {bundle.start}, {bundle.path}",
                f"a bundle of {bundle.width} entries",
                str(error),
            ) from error

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Whole entries, each with the index of its (last) line; errors as `lines`.

        What was logged in parts (`policies.parts`) is put together again.
        """
        return whole_entries(self.lines())
