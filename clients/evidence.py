"""Evidence against the space's log: two heads that it signed and that do not fit together.

For each pair, in the node's folder `evidence/`, readable by everybody, written in this order:

    <id>-seen.note      what this node accepted before
    <id>-came.note      what it refuses
    <id>.json           ForkRecord; a crash before it leaves notes that the next sight completes

Both notes carry the log's signature: whoever has its key can see that it signed both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from clients.errors import ClientError
from clients.files import make_private_folder, read_file, replace_file
from clients.records import Fork
from ledger.note import MAX_NOTE_BYTES
from ledger.witness import ForkKind
from policies.canonical import canonical_bytes, parse_json, sha256_hex
from policies.errors import DocumentError
from policies.fields import Count, Document, Instant, Sha256, Text, Version

MAX_KEPT: Final = 100
"""A log that goes on forking does not fill the owner's disk."""

MAX_RECORD_BYTES: Final = 64 * 1024
_MODE: Final = 0o644


class ForkRecord(Document):
    """What the node says of one pair of heads.

    Attributes:
        id: of the pair; a second sight of it is no second record.
        seen_root, came_root: Merkle roots, hexadecimal.
    """

    version: Version
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    kind: ForkKind
    time: Instant
    text: Text
    seen_size: Count
    seen_root: Sha256
    came_size: Count
    came_root: Sha256


@dataclass(frozen=True, slots=True)
class Evidence:
    """A record with both notes."""

    record: ForkRecord
    seen: str
    came: str


def keep_evidence(folder: Path, fork: Fork, *, time: str) -> Evidence | None:
    """The evidence, durable when this returns; that of the first time if it was seen before.

    Args:
        folder: made if absent.
        time: when, as `policies.fields.instant` spells it.

    Returns:
        None if `MAX_KEPT` others are kept already.

    Raises:
        FileRefused: it cannot be written.
    """
    heads = [f"{one.size} {one.root.hex()}" for one in (fork.seen, fork.came)]
    id = sha256_hex("\n".join(heads).encode())[:16]
    if (folder / f"{id}.json").exists():
        return _read(folder, id)
    if len(_ids(folder)) >= MAX_KEPT:
        return None
    record = ForkRecord(
        version=1,
        id=id,
        kind=fork.kind,
        time=time,
        text=fork.text,
        seen_size=fork.seen.size,
        seen_root=fork.seen.root.hex(),
        came_size=fork.came.size,
        came_root=fork.came.root.hex(),
    )
    make_private_folder(folder)
    replace_file(folder / f"{id}-seen.note", fork.seen.note.encode(), mode=_MODE)
    replace_file(folder / f"{id}-came.note", fork.came.note.encode(), mode=_MODE)
    replace_file(folder / f"{id}.json", canonical_bytes(record.to_json()), mode=_MODE)
    return Evidence(record, fork.seen.note, fork.came.note)


def read_evidence(folder: Path) -> list[Evidence]:
    """All that is kept, the oldest first.

    Raises:
        FileRefused, ClientError: a file that this program did not write.
    """
    return sorted((_read(folder, id) for id in _ids(folder)), key=lambda one: one.record.time)


def _ids(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json"))


def _read(folder: Path, id: str) -> Evidence:
    path = folder / f"{id}.json"
    try:
        value = parse_json(read_file(path, max_bytes=MAX_RECORD_BYTES), max_bytes=MAX_RECORD_BYTES)
        record = ForkRecord.from_json(value)
        notes = [
            read_file(folder / f"{id}-{which}.note", max_bytes=MAX_NOTE_BYTES).decode("utf-8")
            for which in ("seen", "came")
        ]
    except (DocumentError, UnicodeDecodeError) as error:
        raise ClientError(f"{path}: expected evidence as a node keeps it: {error}") from error
    return Evidence(record, notes[0], notes[1])
