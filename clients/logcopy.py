"""Reading a log's folder, of the space or of the node itself, and believing it only as a whole.

Everything is hashed again: what is read is what the log's key signed, and it begins with what was
seen of the log before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.errors import ClientError
from clients.records import SeenCheckpoint
from ledger.checkpoint import open_checkpoint
from ledger.errors import LogDamaged, ProofError
from ledger.folder import CHECKPOINT, read_entries, read_note
from ledger.note import NoteVerifier
from ledger.tree import Tree, leaf_hash
from policies.parts import whole_entries


@dataclass(frozen=True, slots=True)
class LogCopy:
    """A log's folder that was verified; make one with `verify_copy`."""

    folder: Path
    size: int

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Whole entries, each with its index in the log."""
        return whole_entries(read_entries(self.folder, self.size))


def verify_copy(folder: Path, log: NoteVerifier, seen: SeenCheckpoint | None = None) -> LogCopy:
    """The folder, once all its entries are seen to be what the log's key signed.

    Args:
        log: the log's key.
        seen: a checkpoint of this log that was accepted before.

    Raises:
        ClientError: no log's folder, it cannot be read, or it ends before `seen`.
        LogDamaged: it does not hold together, or does not begin with `seen`.
    """
    try:
        note = read_note(folder / CHECKPOINT)
        if note is None:
            raise ClientError(f"{folder}: expected a log's folder with a checkpoint, got none")
        head = open_checkpoint(note, log)
        tree = Tree(leaf_hash(line) for line in read_entries(folder, head.size))
    except OSError as error:
        raise ClientError(f"{folder}: expected to read it, got: {error}") from error
    except ProofError as error:
        raise LogDamaged(f"{folder}: {error}; copy the folder again") from error
    if tree.root() != head.root:
        raise LogDamaged(
            f"{folder}: expected entries with the root {head.root.hex()} that was signed, got "
            f"{tree.root().hex()}: they were changed after signing"
        )
    if seen is not None and seen.size > head.size:
        raise ClientError(
            f"{folder}: expected at least the {seen.size} entries that this node saw signed, got "
            f"{head.size}; copy the newest folder. If it is the newest, the log was rolled back"
        )
    if seen is not None and tree.root(seen.size) != seen.root:
        raise LogDamaged(
            f"{folder}: expected it to begin with the {seen.size} entries that this node saw "
            f"signed (root {seen.root.hex()}), got others: the log has two histories"
        )
    return LogCopy(folder, head.size)
