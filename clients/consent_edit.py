"""What an owner does to a table of consents: give, withdraw, look.

The table is read whole and strictly before and after each edit, and takes the old one's place in
one step, mode 0600: a crash, or anything that is wrong, leaves the old one. Edits wait for nobody:
a second one meanwhile is refused, and so is one during which somebody else wrote the file.

An edit is in force for the next use that begins: the node looks at the table before each.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from clients.cells import MAX_SUBJECT_CHARS
from clients.consent import (
    MAX_EVIDENCE_CHARS,
    STANDS,
    Consents,
    Standing,
    Subjects,
    read_consents,
    stamp_of,
)
from clients.consent_lines import ConsentLine, line_end, may_be_of, records
from clients.errors import ConsentError
from clients.files import SECRET_MODE, rewrite_file
from policies.fields import instant
from policies.relations import PURPOSES, Relation, relate_purposes

WITHDRAWN_HERE: Final = "withdrawn with tds node consent"
_PURPOSE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_TOUCHING: Final = (Relation.EQUAL, Relation.INSIDE, Relation.AROUND)

Lines = Mapping[int, ConsentLine]


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of a subject's lines: some by their place replaced, some added at the end."""

    changed: Lines = field(default_factory=dict)
    added: Sequence[ConsentLine] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A line, and whether its subject's consent to its purpose stands now."""

    line: ConsentLine
    stands: bool


def give(path: Path, *, subject: str, purpose: str, evidence: str, now: datetime) -> Edit:
    """The subject's consent to the purpose stands from `now` on; no edit if it stood already.

    Raises:
        ConsentError, FileRefused: nothing was changed; the text holds no cell's value.
    """
    _check_cells(subject, purpose, evidence)
    if not evidence:
        raise ConsentError("evidence: expected what shows that it was given, got nothing")

    def plan(before: Consents, _lines: Lines) -> Edit:
        if _stands(before, subject, purpose, now):
            return Edit()
        return Edit(added=[ConsentLine(subject, purpose, instant(now), "", evidence)])

    def check(after: Consents) -> None:
        if not _stands(after, subject, purpose, now):
            raise ConsentError(
                f"{path}: expected this consent to stand once given, but a withdrawal of this "
                "subject's has the same or a later moment; see: tds node consent list"
            )

    return _edited(path, subject, plan, check)


def withdraw(
    path: Path, *, subject: str, purpose: str | None, evidence: str, now: datetime
) -> Edit:
    """From `now` on no consent of the subject's to the purpose stands; to none, without a purpose.

    Its open lines for this very purpose are withdrawn. Where there are only wider or narrower ones,
    a line is added that was withdrawn as it was given: the last word on the purpose.

    Raises:
        ConsentError, FileRefused: nothing was changed, also because nothing was open; the text
            holds no cell's value.
    """
    _check_cells(subject, purpose, evidence)

    def plan(_before: Consents, lines: Lines) -> Edit:
        open_ = {
            place: line
            for place, line in lines.items()
            if line.is_open(now)
            and (purpose is None or relate_purposes(purpose, line.purpose, PURPOSES) in _TOUCHING)
        }
        if not open_:
            raise ConsentError(
                f"{path}: expected a line of this subject with a consent that is not withdrawn, "
                "got none; nothing was changed. See: tds node consent list"
            )
        changed = {
            place: line.ended(now, evidence)
            for place, line in open_.items()
            if purpose is None or line.purpose == purpose
        }
        if changed or purpose is None:
            return Edit(changed=changed)
        last = instant(now)
        told = evidence or WITHDRAWN_HERE
        return Edit(added=[ConsentLine(subject, purpose, last, last, told)])

    def check(after: Consents) -> None:
        ends = {now, *_later(after, subject, now)}
        for one in after.purposes if purpose is None else (purpose,):
            if any(_stands(after, subject, one, end) for end in ends):
                raise ConsentError(
                    f"{path}: a wider or narrower consent of this subject begins after now and "
                    "would stand then; withdraw it too, or all of them without --purpose"
                )

    return _edited(path, subject, plan, check)


def list_consents(
    path: Path, *, subject: str | None, now: datetime, limit: int
) -> tuple[list[Listed], int]:
    """The first lines, of one subject or of all, and how many there are.

    Raises:
        ConsentError: the table cannot be read.
    """
    table = read_consents(path)
    subjects = Subjects.of(table.subjects)
    standing = Standing(table, subjects)
    of = {
        purpose: standing.of_subjects(purpose, now) == STANDS
        for purpose in (table.purposes if limit else ())
    }
    found: list[Listed] = []
    count = 0
    for _, line in _lines_of(path, subject):
        count += 1
        if len(found) < limit:
            stands = bool(of[line.purpose][subjects.numbers[line.subject]])
            found.append(Listed(line, stands))
    return found, count


def _edited(
    path: Path,
    subject: str,
    plan: Callable[[Consents, Lines], Edit],
    check: Callable[[Consents], None],
) -> Edit:
    path = path.resolve()
    with _alone(path):
        stamp = stamp_of(path)
        _check_owner(path)
        edit = plan(read_consents(path), dict(_lines_of(path, subject)))
        if not edit.changed and not edit.added:
            return edit

        def checked(fresh: Path) -> None:
            check(read_consents(fresh))
            if stamp_of(path) != stamp:
                raise ConsentError(
                    f"{path}: it was written by something else meanwhile; nothing was changed, "
                    "run this again"
                )

        rewrite_file(path, _rewritten(path, edit), check=checked)
        return edit


def _rewritten(path: Path, edit: Edit) -> Iterator[bytes]:
    end = b"\n"
    with path.open("rb") as file:
        for place, record in enumerate(records(file, path)):
            if place == 0:
                end = line_end(record) or b"\n"
            line = edit.changed.get(place)
            if line is not None:
                yield line.encode(line_end(record) or end)
            else:
                yield record if line_end(record) else record + end
    for line in edit.added:
        yield line.encode(end)


def _lines_of(path: Path, subject: str | None) -> Iterator[tuple[int, ConsentLine]]:
    """With their place among the records; the header is at 0."""
    try:
        with path.open("rb") as file:
            for place, record in enumerate(records(file, path)):
                if place == 0 or not record.strip():
                    continue
                if subject is None or may_be_of(record, subject):
                    line = ConsentLine.parse(record)
                    if subject is None or line.subject == subject:
                        yield place, line
    except OSError as error:
        raise ConsentError(f"{path}: expected a readable file, got: {error.strerror}") from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other edit of this table while it is held; the lock file stays, empty."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET_MODE)
    except OSError as error:
        raise ConsentError(f"{lock}: cannot be made: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"{path}: somebody else edits it just now; run this again"
            raise ConsentError(text) from None
        yield
    finally:
        os.close(descriptor)


def _check_owner(path: Path) -> None:
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise ConsentError(
            f"{path}: expected a file of this user's, got one of user {owner}, who could not read "
            "it any more; run this as that user"
        )


def _check_cells(subject: str, purpose: str | None, evidence: str) -> None:
    if not 1 <= len(subject) <= MAX_SUBJECT_CHARS or _CONTROL.search(subject):
        raise ConsentError(
            f"subject: expected 1 to {MAX_SUBJECT_CHARS} plain characters, got something else"
        )
    if purpose is not None and not _PURPOSE.fullmatch(purpose):
        raise ConsentError("purpose: expected a name such as medical-research, got something else")
    if len(evidence) > MAX_EVIDENCE_CHARS or _CONTROL.search(evidence):
        raise ConsentError(
            f"evidence: expected at most {MAX_EVIDENCE_CHARS} plain characters, got something else"
        )


def _stands(table: Consents, subject: str, purpose: str, now: datetime) -> bool:
    """Whether this consent stands, by the rule that the node itself applies."""
    standing = Standing(table, Subjects.of(np.array([subject], dtype=object)))
    return bool(standing.of_subjects(purpose, now)[0] == STANDS)


def _later(table: Consents, subject: str, now: datetime) -> list[datetime]:
    """The moments after `now` at which the subject's consents begin."""
    given = np.unique(table.given[table.subjects == subject]).tolist()
    at = [datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=one) for one in given]
    return [one for one in at if one > now]
