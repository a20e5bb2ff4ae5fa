"""The entries of a log's folder as a stream, for whoever tells about them and judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auditors.snapshot import Snapshot
from policies.canonical import parse_json
from policies.entries import ENTRY_TYPES, MAX_ENTRY_BYTES, Entry, parse_entry
from policies.errors import DocumentError

MALFORMED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    ArithmeticError,
    DocumentError,
)
"""What reading a body in another form than governance writes may end in."""


def log_lines(folder: Path, size: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Index and text of each whole entry, in the log's order.

    Args:
        size: how many lines of the log, as `verify_folder` returned it; None is all.

    Raises:
        AuditInputError, IntegrityBroken: the folder cannot be read.
    """
    for index, line in Snapshot.take(folder).entries():
        if size is not None and index >= size:
            return
        yield index, line


def quick_entry(line: bytes) -> Entry:
    """An entry, without asking whether its spelling is the canonical one.

    For reading what was verified or is taken as it stands: half the time of `parse_entry`. What
    leaves here has a canonical form.

    Raises:
        DocumentError: it is no entry.
    """
    if b"\\u" in line:  # may hide a surrogate
        return parse_entry(line)
    value = parse_json(line, max_bytes=MAX_ENTRY_BYTES)
    if not isinstance(value, dict):
        return parse_entry(line)
    kind, time, body = value.get("type"), value.get("time"), value.get("body")
    if kind in ENTRY_TYPES and isinstance(time, str) and isinstance(body, dict):
        return Entry(str(kind), time, body)
    return parse_entry(line)  # says what is wrong
