"""An entry that is larger than a line of the log may be, logged in parts.

A log takes lines of at most 65,535 bytes (C2SP tlog-tiles). A longer entry is cut into `EntryPart`
lines, which hold its canonical text, and at once after them one `EntryWhole` line that names their
number and the SHA-256 of the whole. That last line is the entry's place in the log: it follows from
the entry alone, so that whoever holds the entry can check a proof of it without the parts.

An entry that fits stands as it is: each entry has exactly one spelling in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from policies.canonical import sha256_hex
from policies.entries import MAX_ENTRY_BYTES, entry_bytes, parse_entry
from policies.errors import DocumentError

MAX_LINE_BYTES: Final = (1 << 16) - 1
_PART_CHARS: Final = 16_000
"""At most 4 bytes each, in UTF-8 or escaped, so that a part always fits into a line."""

_MAX_PARTS: Final = MAX_ENTRY_BYTES // _PART_CHARS + 1
_PART_END: Final = b'"type":"EntryPart"}'
_WHOLE_END: Final = b'"type":"EntryWhole"}'

Numbered = tuple[int, bytes]


def log_lines(entry: bytes) -> list[bytes]:
    """The lines that an entry is logged as, one unless it is too long; the last one is its place.

    Raises:
        DocumentError: not an entry.
    """
    if len(entry) <= MAX_LINE_BYTES:
        return [entry]
    time, text = parse_entry(entry).time, entry.decode("utf-8")
    pieces = [text[at : at + _PART_CHARS] for at in range(0, len(text), _PART_CHARS)]
    parts = [
        entry_bytes("EntryPart", time=time, body={"part": number, "text": piece})
        for number, piece in enumerate(pieces)
    ]
    body = {"parts": len(parts), "sha256": sha256_hex(entry)}
    return [*parts, entry_bytes("EntryWhole", time=time, body=body)]


class Assembler:
    """Puts the lines of a log together again, in their order."""

    def __init__(self) -> None:
        self._parts: list[Numbered] = []

    @property
    def pending(self) -> int:
        """How many lines were taken that no whole entry has come of yet."""
        return len(self._parts)

    def take(self, index: int, line: bytes) -> list[Numbered]:
        """The entries that are whole with this line, each with the index of its place.

        Parts that do not fit the line after them are returned as they stand, each for itself:
        whoever reads on finds an entry of a type that nobody logs alone.
        """
        if line.endswith(_PART_END) and len(self._parts) < _MAX_PARTS:
            self._parts.append((index, line))
            return []
        parts, self._parts = self._parts, []
        if line.endswith(_WHOLE_END):
            whole = _joined([part for _, part in parts], line)
            if whole is not None:
                return [(index, whole)]
        return [*parts, (index, line)]

    def end(self) -> list[Numbered]:
        """The parts that nothing followed, as they stand."""
        parts, self._parts = self._parts, []
        return parts


def whole_entries(lines: Iterable[bytes], start: int = 0) -> Iterator[Numbered]:
    """The entries of a log, or of its end.

    Args:
        start: index of the first line.
    """
    assembler = Assembler()
    for index, line in enumerate(lines, start):
        yield from assembler.take(index, line)
    yield from assembler.end()


def _joined(parts: list[bytes], line: bytes) -> bytes | None:
    """The entry of these parts and their last line, if it is logged as exactly these."""
    try:
        texts = [str(parse_entry(part).body.get("text")) for part in parts]
        whole = "".join(texts).encode("utf-8")
        return whole if parts and log_lines(whole) == [*parts, line] else None
    except DocumentError:
        return None
