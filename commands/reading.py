"""What commands read: files, bounded, and the documents that governance lists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from commands.errors import BadInput
from policies.canonical import Json, parse_json

MAX_DOCUMENT_BYTES = 1 << 20


def documents(items: Iterable[bytes]) -> list[dict[str, Any]]:
    """Each document parsed; what is no object is left out."""
    return objects(parse_json(item, max_bytes=MAX_DOCUMENT_BYTES) for item in items)


def objects(items: Iterable[Json]) -> list[dict[str, Any]]:
    """Those that are JSON objects."""
    return [item for item in items if isinstance(item, dict)]


def read_bounded(path: Path, limit: int) -> bytes:
    """A file's bytes; BadInput if it cannot be read or holds more than `limit`."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{path}: expected a readable file, got: {error.strerror}") from error
    if len(data) > limit:
        raise BadInput(f"{path}: expected at most {limit} bytes, got more")
    return data
