"""The lines with a decision's reports, until the decision comes.

In an honest log they are, byte for byte, the reports that the log leads to: then nothing in them
has to be read. Only where they are not, they are parsed, to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from auditors.reading import read_entry
from policies.canonical import canonical_bytes
from policies.entries import Entry
from policies.errors import PolicyError

MAX_LINES: Final = 10_000  # more candidates no round has
MAX_BYTES: Final = 128 << 20


class Pending:
    """Those of one decision."""

    def __init__(self) -> None:
        self._unreadable: list[tuple[int, str]] = []
        self._seen = False
        self._lines: list[tuple[int, bytes]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, index: int, line: bytes) -> bool:
        """Keep one; False, and nothing is kept, where there are more than a decision can have."""
        if len(self._lines) == MAX_LINES or self._bytes + len(line) > MAX_BYTES:
            return False
        self._lines.append((index, line))
        self._bytes += len(line)
        return True

    def are(self, documents: Sequence[bytes], decided: Entry) -> bool:
        """Whether they hold these reports in this order and nothing else, for this decision.

        Args:
            documents: canonical JSON of each.
        """
        body = decided.body
        first = canonical_bytes({"attempt": body["attempt"], "kind": body["kind"]})
        last = canonical_bytes({"round": body["round"], "run": body["run"]})
        head = b'{"body":%b,"reports":[' % first[:-1]
        tail = b'],%b,"time":%b,"type":"ReportsMade"}' % (last[1:], canonical_bytes(decided.time))
        number = 0
        for _, line in self._lines:
            if not (line.startswith(head) and line.endswith(tail)):
                return False
            at, end = len(head), len(line) - len(tail)
            while number < len(documents) and line.startswith(documents[number], at):
                at += len(documents[number])
                number += 1
                if at >= end or line[at] != ord(","):
                    break
                at += 1
            if at != end:
                return False
        self._seen = number == len(documents)
        return self._seen

    def read(self, decided: Entry) -> tuple[list[dict[str, Any]], list[int]]:
        """The reports in them, and the indices of those that are said to be of something else.

        Raises:
            KeyError, TypeError: entries in another form than governance writes.
        """
        entries = list(self._parsed())
        expected = _place(decided)
        others = [index for index, entry in entries if _place(entry) != expected]
        return list(chain.from_iterable(entry.body["reports"] for _, entry in entries)), others

    def _parsed(self) -> Iterator[tuple[int, Any]]:
        self._seen = True
        for index, line in self._lines:
            try:
                yield index, read_entry(line, own=True)
            except PolicyError as error:
                self._unreadable.append((index, str(error)))

    def close(self) -> list[tuple[int, str]]:
        """Index and text of those that turned out to be no entries; each was looked at by now."""
        if not self._seen:
            for _ in self._parsed():
                pass
        return self._unreadable


def _place(entry: Entry) -> tuple[object, ...]:
    return (entry.time, *(entry.body[name] for name in ("run", "round", "kind", "attempt")))
