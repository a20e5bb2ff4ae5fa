"""Finding entries by whom, what, which run, which purpose and when they are about.

Finds in the entries as they stand. That nothing is missing among them is shown by verifying the
whole log first (`auditors.verify.verify_folder`), and by nothing less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from auditors.errors import RuleViolated
from auditors.lines import log_lines
from auditors.summary import summary_of
from policies.entries import Entry, parse_entry
from policies.errors import PolicyError
from policies.fields import parse_instant

# Which fields of an entry's body, however deep, name what is looked for.
_PARTICIPANT: Final = frozenset(
    {"participant", "assigner", "assignee", "consumer", "owner", "auditor"}
)
_PRODUCT: Final = frozenset({"product", "target"})
_AGREEMENT: Final = frozenset({"agreement", "agreements"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for; everything that is given must fit.

    Attributes:
        agreement: and so the consent to it: given, used and withdrawn.
        purpose: of a run; all entries of such a run fit.
        type: of the entry.
        since, until: aware; from the first moment until just before the second.
    """

    participant: str | None = None
    product: str | None = None
    agreement: str | None = None
    run: str | None = None
    purpose: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that fits, and what it says in one line."""

    index: int
    time: str
    type: str
    summary: str


def find_entries(folder: Path, wanted: Wanted, *, size: int | None = None) -> Iterator[Found]:
    """The entries that fit, in the log's order.

    Args:
        folder: the log's folder, or a copy.
        size: how many lines to look at, as `verify_folder` returned it; None is all.

    Raises:
        AuditInputError, IntegrityBroken: the folder cannot be read, or a line has no end.
        RuleViolated: an entry cannot be read.
    """
    finder = _Finder(wanted)
    for index, line in log_lines(folder, size):
        try:
            entry = parse_entry(line)
        except PolicyError as error:
            raise RuleViolated(index, "entry-readable", str(error)) from error
        if finder.fits(entry):
            yield Found(index, entry.time, entry.type, summary_of(entry))


@dataclass(slots=True)
class _Finder:
    """What earlier entries say of the runs and permits that later ones only name."""

    wanted: Wanted
    purposes: dict[str, str] = field(default_factory=dict)
    agreements: dict[str, frozenset[str]] = field(default_factory=dict)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)

    def fits(self, entry: Entry) -> bool:
        """Take the entry in; whether it is one that is wanted."""
        body: Mapping[str, Any] = entry.body
        self._learn(entry.type, body)
        if self.wanted.type is not None and self.wanted.type != entry.type:
            return False
        return self._in_time(entry.time) and self._named(body) and self._of_run(body)

    def _learn(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "RunOpened" and isinstance(body.get("spec"), dict):
            spec, run = body["spec"], str(body.get("run"))
            self.purposes[run] = str(spec.get("purpose"))
            self.agreements[run] = frozenset(map(str, spec.get("agreements", ())))
        if kind == "AgreementConcluded":
            place = str(body.get("assigner")), str(body.get("product"))
            self.places[str(body.get("agreement"))] = place
        elif kind == "ProductRegistered":
            self.places[str(body.get("product"))] = (str(body.get("participant")), "")

    def _in_time(self, time: str) -> bool:
        since, until = self.wanted.since, self.wanted.until
        if since is None and until is None:
            return True
        moment = parse_instant(time)
        return (since is None or since <= moment) and (until is None or moment < until)

    def _named(self, body: Mapping[str, Any]) -> bool:
        wanted = self.wanted
        if wanted.participant is None and wanted.product is None and wanted.agreement is None:
            return True
        people, products, agreements = (
            set(_values(body, keys)) for keys in (_PARTICIPANT, _PRODUCT, _AGREEMENT)
        )
        people |= {self.places[one][0] for one in products if one in self.places}
        if wanted.participant is not None and wanted.participant not in people:
            return False
        if wanted.product is not None and wanted.product not in products:
            return False
        if wanted.agreement is None or wanted.agreement in agreements:
            return True
        # A decision and a close name products; their run says under which agreements.
        under = self.agreements.get(str(body.get("run")), frozenset())
        _, product = self.places.get(wanted.agreement, ("", ""))
        return wanted.agreement in under and product in products

    def _of_run(self, body: Mapping[str, Any]) -> bool:
        run = body.get("run")
        if self.wanted.run is not None and not (
            isinstance(run, str) and run.startswith(self.wanted.run)
        ):
            return False
        return self.wanted.purpose is None or self.wanted.purpose == (
            self.purposes.get(str(run)) or body.get("purpose")
        )


def _values(value: object, keys: frozenset[str]) -> Iterator[str]:
    """Every string that stands under one of these keys, alone or in a list."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in keys:
                yield from (
                    one
                    for one in (item if isinstance(item, list) else [item])
                    if isinstance(one, str)
                )
            yield from _values(item, keys)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, keys)
