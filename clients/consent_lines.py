"""The lines of a consent table (clients.consent) as the owner reads and edits them.

An edit leaves every line that it is not about byte for byte as it was. A line is never removed:
withdrawing fills in its `withdrawn`, so that the table keeps its history.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, Self

from clients.consent import HEADER, milliseconds
from clients.errors import ConsentError
from policies.fields import instant, parse_instant

MAX_RECORD_BYTES: Final = 1 << 16
_DAY_CHARS: Final = 10


@dataclass(frozen=True, slots=True)
class ConsentLine:
    """One line, its moments as the file spells them; `withdrawn` is "" where it is not."""

    subject: str
    purpose: str
    given: str
    withdrawn: str
    evidence: str

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """A record of a table that `read_consents` took."""
        try:
            cells = next(csv.reader([record.decode("utf-8")], strict=True))
            return cls(*cells)
        except (csv.Error, UnicodeDecodeError, StopIteration, TypeError):
            raise ConsentError(f"a line: expected the {len(HEADER)} cells of the header") from None

    def encode(self, end: bytes) -> bytes:
        """As a record with this line end."""
        text = io.StringIO()
        cells = (self.subject, self.purpose, self.given, self.withdrawn, self.evidence)
        csv.writer(text, lineterminator="").writerow(cells)
        return text.getvalue().encode("utf-8") + end

    def is_open(self, now: datetime) -> bool:
        """Not withdrawn by `now`."""
        return not self.withdrawn or moment(self.withdrawn) > milliseconds(now)

    def ended(self, now: datetime, evidence: str) -> Self:
        """Withdrawn at `now`, or at its beginning if that is later."""
        late = moment(self.given) > milliseconds(now)
        told = f"{self.evidence}; withdrawn: {evidence}" if evidence else self.evidence
        return replace(self, withdrawn=self.given if late else instant(now), evidence=told)


def moment(text: str) -> int:
    """Of a cell of a table that `read_consents` took, as `clients.consent.milliseconds`."""
    if len(text) == _DAY_CHARS:
        return milliseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))
    return milliseconds(parse_instant(text))


def records(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The bytes of each record, the header first, line ends with them.

    Raises:
        ConsentError: a record longer than any that `read_consents` takes.
    """
    record = b""
    for line in file:
        record += line
        if record.count(b'"') % 2 == 0:
            yield record
            record = b""
        elif len(record) > MAX_RECORD_BYTES:
            raise ConsentError(f"{path}: expected lines of {MAX_RECORD_BYTES} bytes, got a longer")
    if record:
        yield record


def line_end(record: bytes) -> bytes:
    """How it ends; nothing at the end of a file without a last line end."""
    return record[len(record.rstrip(b"\r\n")) :]


def may_be_of(record: bytes, subject: str) -> bool:
    """False only if the record is of another subject; spares parsing most lines."""
    return subject.replace('"', '""').encode("utf-8") in record
