"""Documents that governance lists, as plain JSON objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from policies.canonical import parse_json

MAX_DOCUMENT_BYTES = 1 << 20


def documents(items: Iterable[bytes]) -> list[dict[str, Any]]:
    """Each document parsed; what is no object is left out."""
    parsed = (parse_json(item, max_bytes=MAX_DOCUMENT_BYTES) for item in items)
    return [item for item in parsed if isinstance(item, dict)]
