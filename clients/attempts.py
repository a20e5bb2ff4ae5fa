"""Tasks that came to nothing, as the node's own log tells of them, for its owner to see.

Code and sentence are those that were sent back (clients.refusals): of an app that cheats they say
what it ran into, and nothing that it wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from clients.errors import ClientError
from ledger.checkpoint import open_checkpoint
from ledger.errors import ProofError
from ledger.folder import CHECKPOINT, read_entries, read_note
from ledger.note import NoteVerifier
from policies.entries import Entry, parse_entry
from policies.errors import PolicyError

LOOKED_AT: Final = 2000
"""Entries at the log's end."""

SHOWN: Final = 20
_KINDS: Final[dict[str, Literal["refused", "failed"]]] = {
    "UseRefused": "refused",
    "UseFailed": "failed",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A task that was refused before anything was used, or failed after.

    Attributes:
        permit: id of the permit that came with it; "" where none could be read.
        code: as it was sent back; "" where the node stopped in the middle and sent nothing.
    """

    time: str
    kind: Literal["refused", "failed"]
    permit: str
    app: str
    code: str
    text: str


def last_attempts(folder: Path, log: NoteVerifier, *, most: int = SHOWN) -> list[Attempt]:
    """The newest first, among the last `LOOKED_AT` entries of the node's own log.

    Args:
        folder: of the log; the running node may hold and extend it.
        log: the log's key. Its signed head says how long the log is; `tds audit verify` is for
            whoever wants the rest proven.

    Raises:
        ClientError: the folder cannot be read, or its head is not signed with that key.
        LogDamaged: the head is no note.
    """
    try:
        note = read_note(folder / CHECKPOINT)
        if note is None:
            return []
        size = open_checkpoint(note, log).size
        lines = list(read_entries(folder, size, max(0, size - LOOKED_AT)))
    except (OSError, ProofError) as error:
        raise ClientError(f"{folder}: expected to read the node's own log, got: {error}") from error
    found: list[Attempt] = []
    for line in reversed(lines):
        attempt = _attempt(line)
        if attempt is not None:
            found.append(attempt)
        if len(found) == most:
            break
    return found


def _attempt(line: bytes) -> Attempt | None:
    try:
        entry: Entry = parse_entry(line)
    except PolicyError:  # a part of a long entry, which is none of these
        return None
    kind = _KINDS.get(entry.type)
    if kind is None:
        return None
    permit, app, code, text = (
        str(entry.body.get(name, "")) for name in ("permit_id", "app", "code", "text")
    )
    return Attempt(entry.time, kind, permit, app, code, text)
