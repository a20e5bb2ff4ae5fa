"""From one entry of a log back to what it rests on, and forward to what followed from it.

The log is read twice as a stream: once to find which entries belong to the one that is asked for,
once to fetch these. Memory grows with what is registered and with open permits, never with the
entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from auditors.errors import AuditInputError, RuleViolated
from auditors.explain_links import Key, begins, rests_on
from auditors.lines import MALFORMED, quick_entry
from policies.entries import Entry, parse_entry
from policies.errors import DocumentError

MAX_RESTS: Final = 300
MAX_FOLLOWED: Final = 40
_REPORTS: Final = b',"type":"ReportsMade"}'
_ALARM: Final = b',"type":"EnginesDisagreed"}'
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """An entry that belongs to the one that is asked for."""

    index: int
    entry: Entry


@dataclass(slots=True)
class Trail:
    """What one entry rests on, and what followed from it.

    Attributes:
        rests: earlier entries, the newest first; `more_rests` is how many are left out.
        followed: later entries, the first of them; `types` counts all by type.
    """

    index: int
    entry: Entry
    rests: list[Link] = field(default_factory=list)
    more_rests: int = 0
    followed: list[Link] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)


def follow(read: Callable[[], Iterable[tuple[int, bytes]]], index: int) -> Trail:
    """The trail of one entry.

    Args:
        read: gives the log's lines from the beginning, each time it is called.

    Raises:
        AuditInputError: there is no such entry.
        RuleViolated: it is no entry, or one in another form than governance writes.
    """
    finder = _Finder(index)
    size = 0
    for size, (at, line) in enumerate(read(), 1):  # noqa: B007  # counted for the error
        finder.take(at, line)
    if finder.entry is None:
        text = f"expected an entry from 0 to {size - 1}, got {index}" if size else "it is empty"
        raise AuditInputError(f"the log: {text}")
    found = {at: line for at, line in read() if at in finder.wanted}
    rests = list(_links(finder.rests[:MAX_RESTS], found))
    return Trail(
        index=index,
        entry=finder.entry,
        rests=rests,
        more_rests=max(len(finder.rests) - MAX_RESTS, 0),
        followed=list(_links(finder.followed, found)),
        types=finder.types,
    )


def _links(places: Iterable[int], lines: Mapping[int, bytes]) -> Iterator[Link]:
    """The entries there; what cannot be read is not told of."""
    for at in places:
        with suppress(DocumentError):
            yield Link(at, quick_entry(lines[at]))


def _read(index: int, line: bytes) -> Entry:
    try:
        return parse_entry(line)
    except DocumentError as error:
        raise RuleViolated(index, "entry-readable", str(error)) from error


class _Finder:
    """One pass over the log."""

    def __init__(self, index: int) -> None:
        self.entry: Entry | None = None
        self.rests: list[int] = []
        self.followed: list[int] = []
        self.types: Counter[str] = Counter()
        self._index = index
        self._where: dict[Key, int] = {}
        self._reports: list[int] = []
        self._permits: dict[str, _Permit] = {}
        self._runs: dict[str, list[str]] = {}
        self._products: dict[str, str] = {}

    @property
    def wanted(self) -> set[int]:
        """Whose lines are to be fetched."""
        return {*self.rests[:MAX_RESTS], *self.followed}

    def take(self, at: int, line: bytes) -> None:
        reports = line.endswith(_REPORTS)
        if reports:
            self._reports.append(at)
            if at != self._index:
                return
        try:
            entry = _read(at, line) if at == self._index else quick_entry(line)
            keys = [*rests_on(entry), *self._beyond(entry)]
            places = [self._where[key] for key in dict.fromkeys(keys) if key in self._where]
            if entry.type in ("RoundDecided", "EnginesDisagreed"):
                places = [*self._reports, *places]
            self._place(at, entry, sorted(set(places), reverse=True))
            for key in begins(at, entry):
                self._where[key] = at
            self._learn(entry)
        except MALFORMED as error:
            if at == self._index:
                text = f"{type(error).__name__}: {error}"
                raise RuleViolated(at, "entry-readable", text) from error
        finally:
            if not reports and not line.endswith(_ALARM):
                self._reports = []

    def _place(self, at: int, entry: Entry, places: list[int]) -> None:
        if at == self._index:
            self.entry, self.rests = entry, places
        elif self._index in places:
            self.types[entry.type] += 1
            if len(self.followed) < MAX_FOLLOWED:
                self.followed.append(at)

    def _beyond(self, entry: Entry) -> Iterator[Key]:
        """Keys of what is named by an entry that this one names."""
        body: Body = entry.body
        if entry.type == "RoundDecided":
            mine = {self._products.get(one, ""): one for one in self._runs.get(body["run"], ())}
            for verdict in body["decision"]["verdicts"]:
                agreement = mine.get(verdict["product"], "")
                yield ("agreement", agreement)
                yield ("withdrawn", agreement)
        permit = self._permits.get(str(body.get("permit_id")))
        if permit is not None and entry.type in ("ReceiptAccepted", "ReceiptRefused"):
            agreement = permit.agreements.get(str(body["participant"]), "")
            yield ("agreement", agreement)
            yield ("withdrawn", agreement)
            yield ("decision", body["run"])
            yield ("run", body["run"])

    def _learn(self, entry: Entry) -> None:
        body: Body = entry.body
        if entry.type == "AgreementConcluded":
            self._products[body["agreement"]] = body["product"]
        elif entry.type == "RunOpened":
            self._runs[body["run"]] = list(body["spec"]["agreements"])
        elif entry.type == "PermitIssued":
            members = {one["participant"]: one["agreement"] for one in body["cohort"]}
            self._permits[body["id"]] = _Permit(members, [("permit", body["id"])])
        elif entry.type in ("ReceiptAccepted", "ReceiptRefused", "MasksReleased"):
            permit = self._permits.get(body["permit_id"])
            if permit is not None:
                permit.keys += begins(0, entry)
        elif entry.type in ("RoundClosed", "RoundAbandoned"):
            self._settle(body)
        elif entry.type == "RoundDecided":
            self._where.pop(("alarm", body["run"]), None)

    def _settle(self, body: Body) -> None:
        """Nothing names a settled permit, its receipts, or a close but the newest any more."""
        permit = self._permits.pop(body["permit_id"], None)
        for key in permit.keys if permit is not None else ():
            self._where.pop(key, None)
        if body.get("previous") is not None:
            self._where.pop(("close", str(body["previous"])), None)


@dataclass(slots=True)
class _Permit:
    """An open permit: agreements by participant, and the keys that end with it."""

    agreements: dict[str, str]
    keys: list[Key]
