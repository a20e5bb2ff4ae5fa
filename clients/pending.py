"""A newer version of a product, signed and not yet logged, as a file of the node's folder."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from clients.errors import FileRefused, ProductError
from clients.files import read_file, replace_file
from clients.records import ProductRecord
from policies.canonical import canonical_bytes, parse_json
from policies.envelope import MAX_ENVELOPE_BYTES
from policies.errors import DocumentError
from policies.fields import Document, Id, Sha256, Version

MAX_PENDING_BYTES: Final = 2 * MAX_ENVELOPE_BYTES


class _Pending(Document):
    version: Version
    id: Id
    file: Annotated[str, Field(max_length=4096)]
    digest: Sha256
    rows: Annotated[int, Field(ge=1)]
    card: str
    opening: str


def keep_pending(path: Path, record: ProductRecord) -> ProductRecord:
    """Keep the record durably; one of the same product file that waits already is returned instead.

    Raises:
        ProductError: what waits there cannot be read.
        FileRefused: it cannot be written.
    """
    waiting = _read(path)
    if waiting is not None and waiting.digest == record.digest:
        return waiting
    pending = _Pending(
        version=1,
        id=record.id,
        file=record.file,
        digest=record.digest,
        rows=record.rows,
        card=base64.b64encode(record.card).decode(),
        opening=base64.b64encode(record.opening).decode(),
    )
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(path, canonical_bytes(pending.to_json()))
    return record


def drop_pending(path: Path) -> None:
    """It was logged. A crash before this leaves a file that is never looked at again."""
    path.unlink(missing_ok=True)


def _read(path: Path) -> ProductRecord | None:
    if not path.exists():
        return None
    try:
        data = read_file(path, max_bytes=MAX_PENDING_BYTES)
        found = _Pending.from_json(parse_json(data, max_bytes=MAX_PENDING_BYTES))
        card = base64.b64decode(found.card, validate=True)
        opening = base64.b64decode(found.opening, validate=True)
    except (FileRefused, DocumentError, ValueError) as error:
        raise ProductError(f"{path}: {error}; remove it, and register the version again") from error
    return ProductRecord(
        id=found.id,
        file=found.file,
        digest=found.digest,
        rows=found.rows,
        card=card,
        opening=opening,
    )
