"""The log's entries for people to look through, from its published files.

What is read here is shown and believed in nothing: whoever looks verifies it in their browser, from
the same files (`static/audit`). No index is kept. Entries are read from the newest back, as bytes,
and only as far as a page needs, so that nothing grows with the log and nothing can be stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ledger.checkpoint import parse_checkpoint
from ledger.errors import LedgerError
from ledger.folder import CHECKPOINT, read_bundle, read_note
from ledger.note import split_note
from ledger.tiles import WIDTH
from policies.entries import parse_entry
from policies.errors import DocumentError
from policies.parts import Assembler, Numbered
from server.errors import NotKnown, Unavailable

MAX_PARTS: Final = 70
"""Lines of one entry that is logged in parts; `policies.parts` makes at most 67."""

_WHOLE_END: Final = b'"type":"EntryWhole"}'
_PART_END: Final = b'"type":"EntryPart"}'


class LogLines:
    """Reads one log's folder as it stands.

    Args:
        folder: where the log is published.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def size(self) -> int:
        """How many entries the published head is of; its signature is not looked at.

        Raises:
            Unavailable: there is no head, or it is none.
        """
        try:
            note = read_note(self.folder / CHECKPOINT)
            return parse_checkpoint(split_note(note or "")[0]).size
        except (OSError, LedgerError) as error:
            raise _unreadable(CHECKPOINT, error) from error

    def entry(self, index: int, size: int) -> Numbered:
        """A line's entry: of one that is logged in parts, all of it, at its last line's index.

        Raises:
            NotKnown: no such line.
            Unavailable: a bundle cannot be read.
        """
        if not 0 <= index < size:
            raise NotKnown(f"entry: expected one from 0 to {size - 1}, got {index}")
        return self._whole(index, _Bundles(self.folder, size))

    def downwards(self, before: int, size: int) -> Iterator[Numbered]:
        """Whole entries below an index, the newest first; Unavailable as `entry`."""
        bundles, index = _Bundles(self.folder, size), min(before, size) - 1
        while index >= 0:
            at, entry = self._whole(index, bundles)
            yield at, entry
            line = bundles(index)
            index -= 1 + (_parts(line) if entry != line else 0)

    def _whole(self, index: int, line_at: Callable[[int], bytes]) -> Numbered:
        line = line_at(index)
        count = _parts(line)
        if not 0 < count <= min(index, MAX_PARTS):
            return index, line
        assembler = Assembler()
        found: list[Numbered] = []
        for at in range(index - count, index + 1):
            found = assembler.take(at, line_at(at))
        return found[-1]


class _Bundles:
    """The lines of a log of one size; keeps the last two bundles that were read."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._kept: dict[int, list[bytes]] = {}

    def __call__(self, index: int) -> bytes:
        bundle = index // WIDTH
        if bundle not in self._kept:
            try:
                read = read_bundle(self._folder, bundle, self._size)
            except (OSError, LedgerError) as error:
                raise _unreadable(f"bundle {bundle}", error) from error
            while len(self._kept) > 1:
                self._kept.pop(next(iter(self._kept)))
            self._kept[bundle] = read
        return self._kept[bundle][index % WIDTH]


def is_part(line: bytes) -> bool:
    """Whether a line holds a part of an entry."""
    return line.endswith(_PART_END)


def _parts(line: bytes) -> int:
    """How many lines before this one belong to it."""
    if not line.endswith(_WHOLE_END):
        return 0
    try:
        parts = parse_entry(line).body.get("parts")
    except DocumentError:
        return 0
    return parts if type(parts) is int else 0


def _unreadable(what: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"log: expected a readable {what}, got {type(error).__name__}; verify the log on this "
        "page, or with tds audit verify"
    )
