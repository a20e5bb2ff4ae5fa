"""Verifying a log's folder: nothing was changed, dropped or rewritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditors.errors import AuditInputError, IntegrityBroken
from auditors.snapshot import Snapshot
from ledger.checkpoint import open_checkpoint
from ledger.errors import KeyRefused, ProofError
from ledger.note import NoteVerifier
from ledger.tree import Tree, leaf_hash


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified.

    Args:
        origin: the log's name.
        size: number of entries.
        root_hex: root over all of them.
    """

    origin: str
    size: int
    root_hex: str


def verify_folder(
    folder: Path,
    *,
    verifier_key: str,
    seen: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Verify a log's folder.

    Raises:
        IntegrityBroken: with the place, what was expected there, and what came.
        AuditInputError: a file cannot be read; the key, or a seen checkpoint, is not this log's.
    """
    try:
        verifier = NoteVerifier.parse(verifier_key.strip())
    except KeyRefused as error:
        raise AuditInputError(f"the log's key: {error}") from error
    snapshot = Snapshot.take(folder)
    try:
        newest = open_checkpoint(snapshot.checkpoint, verifier)
    except ProofError as error:
        raise IntegrityBroken("checkpoint", "one signed by the log", str(error)) from error
    tree = Tree(leaf_hash(line) for line in snapshot.lines())
    if tree.root() != newest.root:
        raise IntegrityBroken("the tree", newest.root.hex(), tree.root().hex())
    for note in seen:
        try:
            head = open_checkpoint(note, verifier)
        except ProofError as error:
            raise AuditInputError(f"seen checkpoint: {error}") from error
        if head.size > tree.size or tree.root(head.size) != head.root:
            raise IntegrityBroken("the tree", head.root.hex(), "another")
    if progress is not None:
        progress(tree.size, newest.size)
    return Verified(newest.origin, newest.size, newest.root.hex())
