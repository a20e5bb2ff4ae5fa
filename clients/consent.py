"""The consents of a product's subjects: a table beside the data, and who may be used now.

    subject,purpose,given,withdrawn,evidence
    p-0001,medical-research,2026-01-31,,form 17/2026
    p-0002,diagnosis-support,2026-01-31T08:00:00.000Z,2026-03-01,form 18/2026

`given` and `withdrawn` are moments (`policies.fields.instant`) or days, which begin at midnight
UTC; `withdrawn` may be empty. Whatever else the file holds refuses the whole table.

A line covers a purpose that is its own or a narrower one (`policies.relations`). A subject's
consent stands if a line that covers the purpose was given and is not withdrawn, and if since it
was given nothing was withdrawn that equals the purpose, is wider or is narrower: the last word
counts, and of two in one moment the withdrawal. Who has no line has not consented.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, repeat
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt

from clients.arrowstream import StreamError, read_stream
from clients.cells import MAX_SUBJECT_CHARS
from clients.errors import ConsentError
from clients.tablefile import reader_of
from policies.relations import PURPOSES, Purposes, Relation, relate_purposes

HEADER: Final = ("subject", "purpose", "given", "withdrawn", "evidence")
MAX_TABLE_BYTES: Final = 2 << 30
MAX_CONSENTS: Final = 20_000_000
MAX_EVIDENCE_CHARS: Final = 1000
MAX_PURPOSES: Final = 1000

STANDS: Final = 0
NOT_GIVEN: Final = 1
WITHDRAWN: Final = 2
"""How a subject stands to a purpose at a moment; withdrawn is who had given before."""

NEVER: Final = np.iinfo(np.int64).max
_NOT_YET: Final = np.iinfo(np.int64).min
_PURPOSE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", re.ASCII)
_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT: Final = (
    rf"{_DAY}(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{3}}Z)?"  # the calendar: TRY_CAST
)

Moments = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Standings = npt.NDArray[np.uint8]
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Consents:
    """A table that was read, in the file's order; moments are milliseconds since 1970, UTC.

    Attributes:
        subjects: whose line it is; object [n].
        purposes: the names that occur.
        purpose: which of them a line is for, [n].
        withdrawn: `NEVER` where it is not.
        digest: SHA-256 of the file.
    """

    subjects: npt.NDArray[np.object_]
    purposes: tuple[str, ...]
    purpose: Codes
    given: Moments
    withdrawn: Moments
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Subjects:
    """Whose rows a product has.

    Attributes:
        numbers: each subject once, numbered in order of appearance.
        rows: the number of each row's subject, in the file's order.
    """

    numbers: Mapping[str, int]
    rows: Codes

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Subjects:
        """From a column of texts."""
        column = SubjectColumn()
        column.append(values)
        return column.read()


class SubjectColumn:
    """Numbers subjects while their column is read, part by part."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self._parts: list[Codes] = []

    def append(self, values: npt.NDArray[Any]) -> None:
        """The next rows' texts."""
        numbers = map(self._numbers.__getitem__, values)
        self._parts.append(np.fromiter(numbers, np.int32, len(values)))

    def read(self) -> Subjects:
        """All of it; nothing can be appended any more."""
        self._numbers.default_factory = None
        return Subjects(self._numbers, np.concatenate([np.empty(0, np.int32), *self._parts]))


class Standing:
    """One table held against one product's subjects; asked anew for each use."""

    def __init__(self, consents: Consents, subjects: Subjects) -> None:
        found = map(subjects.numbers.get, consents.subjects, repeat(-1))
        numbers = np.fromiter(found, np.int32, len(consents.subjects))
        ours = numbers >= 0
        self._subjects = subjects
        self._number = numbers[ours]
        self._purpose = consents.purpose[ours]
        self._given = consents.given[ours]
        self._withdrawn = consents.withdrawn[ours]
        self._purposes = consents.purposes

    def rows(self, purpose: str, now: datetime, *, purposes: Purposes = PURPOSES) -> Mask:
        """Which rows are of a subject whose consent to `purpose` stands at `now`."""
        standing = self.of_subjects(purpose, now, purposes=purposes) == STANDS
        mask: Mask = standing[self._subjects.rows]
        return mask

    def of_subjects(
        self, purpose: str, now: datetime, *, purposes: Purposes = PURPOSES
    ) -> Standings:
        """`STANDS`, `NOT_GIVEN` or `WITHDRAWN` for each subject, by its number."""
        at = milliseconds(now)
        relations = [relate_purposes(purpose, one, purposes) for one in self._purposes]
        covers = _among(relations, Relation.EQUAL, Relation.INSIDE)[self._purpose]
        touches = _among(relations, Relation.EQUAL, Relation.INSIDE, Relation.AROUND)[self._purpose]
        taken_back = self._withdrawn <= at
        given = covers & (self._given <= at)
        stands = given & ~taken_back
        known = len(self._subjects.numbers)
        last_given = np.full(known, _NOT_YET)
        np.maximum.at(last_given, self._number[stands], self._given[stands])
        last_withdrawn = np.full(known, _NOT_YET)
        ended = touches & taken_back
        np.maximum.at(last_withdrawn, self._number[ended], self._withdrawn[ended])
        found = np.full(known, NOT_GIVEN, dtype=np.uint8)
        found[self._number[given]] = WITHDRAWN
        found[last_given > last_withdrawn] = STANDS
        return found


def milliseconds(moment: datetime) -> int:
    """Since 1970, rounded down: a consent holds from its moment on, never before."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def stamp_of(path: Path) -> Stamp:
    """What changes when the file is written or replaced.

    Raises:
        ConsentError: there is no such file.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise ConsentError(f"{path}: expected a table of consents, got: {error.strerror}") from None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def read_consents(path: Path) -> Consents:
    """The whole table, every value checked.

    Raises:
        ConsentError: absent, too large, changed meanwhile, or not as the module says; the text
            holds no cell's value.
    """
    before = stamp_of(path)
    if before[2] > MAX_TABLE_BYTES:
        raise ConsentError(f"{path}: expected at most {MAX_TABLE_BYTES} bytes, got {before[2]}")
    digest = _checked_digest(path)
    lines = _Lines(path)
    for batch in _batches(path):
        lines.append(*batch)
    if stamp_of(path) != before:
        raise ConsentError(f"{path}: changed while it was read; run the round again")
    return lines.read(digest)


def _checked_digest(path: Path) -> str:
    """SHA-256 of a file whose first line is the header."""
    try:
        with path.open("rb") as file:
            line = file.readline(200).removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
            if line != ",".join(HEADER).encode():
                raise ConsentError(f"{path}: expected the header {','.join(HEADER)}, got another")
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConsentError(f"{path}: expected a readable file, got: {error.strerror}") from None


def _batches(path: Path) -> Iterator[list[npt.NDArray[Any]]]:
    """Of some lines at a time: subject, purpose, whether it ends, whether subject and evidence are
    sound, given and withdrawn; masked where there is none.
    """
    moments = ", ".join(
        f"CASE WHEN regexp_full_match({name}, '{_MOMENT}') "
        f"THEN epoch_ms(TRY_CAST({name} AS TIMESTAMP)) END AS {name}_ms"
        for name in ("given", "withdrawn")
    )
    query = (
        "SELECT subject, purpose, withdrawn IS NOT NULL AS ends, "  # noqa: S608 our own words
        f"length(subject) BETWEEN 1 AND {MAX_SUBJECT_CHARS} "
        "AND NOT regexp_matches(subject, '[\\x00-\\x1f\\x7f]') AS sound, "
        f"length(evidence) BETWEEN 1 AND {MAX_EVIDENCE_CHARS} AS told, {moments} "
        "FROM read_csv(?, columns=?, auto_detect=false, header=true, delim=',', quote='\"', "
        "escape='\"', strict_mode=true, null_padding=false, ignore_errors=false) "
        f"LIMIT {MAX_CONSENTS + 1}"
    )
    connection = reader_of(path)
    try:
        types = dict.fromkeys(HEADER, "VARCHAR")
        yield from read_stream(connection.sql(query, params=[str(path), types]))
    except (duckdb.Error, StreamError) as error:
        line = re.search(r"Line: (\d+)", str(error))  # the rest of the text quotes the line
        place = f"line {line[1]} is not one" if line else "something else"
        raise ConsentError(f"{path}: expected lines of five cells, got: {place}") from None
    finally:
        connection.close()


class _Lines:
    """Lines of a table as they are read, every value checked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._numbers: dict[object, int] = {}
        self._parts: list[tuple[npt.NDArray[Any], Codes, Moments, Moments]] = []

    def append(
        self,
        subject: npt.NDArray[Any],
        purpose: npt.NDArray[Any],
        ends: npt.NDArray[Any],
        sound: npt.NDArray[Any],
        told: npt.NDArray[Any],
        given_ms: npt.NDArray[Any],
        withdrawn_ms: npt.NDArray[Any],
    ) -> None:
        """The next lines."""
        first, self._count = self._count + 1, self._count + len(subject)
        if self._count > MAX_CONSENTS:
            raise ConsentError(f"{self._path}: expected at most {MAX_CONSENTS} lines, got more")
        given, late = _plain(given_ms)
        withdrawn, open_ended = _plain(withdrawn_ms)
        codes, unnamed = self._purposes(purpose)
        for what, bad in (
            (f"a subject of 1 to {MAX_SUBJECT_CHARS} plain characters", ~_true(sound)),
            ("the name of a purpose", unnamed),
            ("a day or moment of giving", late),
            ("a day or moment of withdrawing, or nothing", ends & open_ended),
            ("a withdrawal no earlier than the giving", ends & (withdrawn < given)),
            (f"evidence of 1 to {MAX_EVIDENCE_CHARS} characters", ~_true(told)),
        ):
            if bad.any():
                row = first + int(bad.argmax())
                raise ConsentError(f"{self._path}: row {row}: expected {what}, got something else")
        withdrawn = np.where(ends, withdrawn, NEVER)
        self._parts.append((np.ma.getdata(subject), codes, given, withdrawn))

    def _purposes(self, purpose: npt.NDArray[Any]) -> tuple[Codes, Mask]:
        """Their numbers, and where there is no name of one."""
        names, numbers = np.ma.getdata(purpose).tolist(), self._numbers
        for name in dict.fromkeys(names):
            numbers.setdefault(name, len(numbers))
        if len(numbers) > MAX_PURPOSES:
            raise ConsentError(f"{self._path}: expected at most {MAX_PURPOSES} purposes, got more")
        codes = np.fromiter(map(numbers.__getitem__, names), np.int32, len(names))
        known = np.array([_PURPOSE.fullmatch(str(one)) is not None for one in numbers], np.bool_)
        return codes, np.ma.getmaskarray(purpose) | ~known[codes]

    def read(self, digest: str) -> Consents:
        """All of them."""
        none = np.empty(0, np.object_), np.empty(0, np.int32), *[np.empty(0, np.int64)] * 2
        subjects, purposes, givens, withdrawals = zip(none, *self._parts, strict=True)
        return Consents(
            subjects=np.concatenate(subjects),
            purposes=tuple(map(str, self._numbers)),
            purpose=np.concatenate(purposes),
            given=np.concatenate(givens),
            withdrawn=np.concatenate(withdrawals),
            digest=digest,
        )


def _plain(values: npt.NDArray[Any]) -> tuple[Moments, Mask]:
    """The moments, and where there is none."""
    return np.ma.getdata(values).astype(np.int64), np.ma.getmaskarray(values)


def _true(values: npt.NDArray[Any]) -> Mask:
    return np.ma.getdata(values).astype(np.bool_) & ~np.ma.getmaskarray(values)


def _among(relations: list[Relation], *wanted: Relation) -> Mask:
    return np.array([relation in wanted for relation in relations], dtype=np.bool_)
