"""Documents that governance lists, as plain JSON objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from policies.canonical import Json, parse_json

MAX_DOCUMENT_BYTES = 1 << 20


def documents(items: Iterable[bytes]) -> list[dict[str, Any]]:
    """Each document parsed; what is no object is left out."""
    return objects(parse_json(item, max_bytes=MAX_DOCUMENT_BYTES) for item in items)


def objects(items: Iterable[Json]) -> list[dict[str, Any]]:
    """Those that are JSON objects."""
    return [item for item in items if isinstance(item, dict)]
