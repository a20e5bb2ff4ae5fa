"""What each withdrawal of a consent changed: the last use before it, the first decision after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auditors.report_events import Decided, Event, Missing, Permitted, Used
from policies.entries import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A use or a decision: its entry, time and place in its run."""

    entry: int
    time: str
    run: str
    round: int
    kind: str


@dataclass(slots=True, kw_only=True)
class Withdrawal:
    """The end of one consent.

    Attributes:
        reason: commitment to why, as the owner signed it; "" without one.
        last_use: the last accepted receipt under the agreement before it; None if there was none.
        in_flight: permits under it that were open then; `refused_in_flight` those of them that no
            accepted receipt answered.
        first_decision: the first one after it on a run under the agreement; None if none followed.
        permitted: whether that decision permitted the product; `codes` are its reasons.
        permits_after, uses_after: what should never be; anything but 0 breaks a rule.
    """

    agreement: str
    participant: str
    product: str
    consumer: str
    withdrawal: str
    reason: str
    entry: int
    time: str
    last_use: Moment | None
    in_flight: int
    refused_in_flight: int = 0
    first_decision: Moment | None = None
    permitted: bool | None = None
    codes: tuple[str, ...] = ()
    permits_after: int = 0
    uses_after: int = 0


class Withdrawals:
    """Takes in entries and what they say happened; memory grows with agreements."""

    def __init__(self) -> None:
        self.found: dict[str, Withdrawal] = {}
        self._last: dict[str, Moment] = {}
        self._open: dict[str, int] = {}

    def take(self, index: int, entry: Entry) -> None:
        """`ConsentWithdrawn`; the first one of an agreement counts.

        Raises:
            lines.MALFORMED: a body in another form than governance writes.
        """
        body: Mapping[str, Any] = entry.body
        if entry.type != "ConsentWithdrawn" or body["agreement"] in self.found:
            return
        self.found[body["agreement"]] = Withdrawal(
            agreement=body["agreement"],
            participant=body["participant"],
            product=body["product"],
            consumer=body["consumer"],
            withdrawal=body["withdrawal"],
            reason=body.get("reason") or "",
            entry=index,
            time=entry.time,
            last_use=self._last.get(body["agreement"]),
            in_flight=self._open.get(body["agreement"], 0),
        )

    def see(self, event: Event) -> None:
        """What happened after or before."""
        if isinstance(event, Decided):
            self._decided(event)
        elif isinstance(event, Permitted):
            agreement = event.whose.agreement
            self._open[agreement] = self._open.get(agreement, 0) + 1
            if agreement in self.found:
                self.found[agreement].permits_after += 1
        elif isinstance(event, Used):
            self._used(event)
        elif isinstance(event, Missing):
            agreement = event.permitted.whose.agreement
            self._open[agreement] -= 1
            found = self.found.get(agreement)
            if found is not None and event.permitted.entry < found.entry:
                found.refused_in_flight += 1

    def _decided(self, event: Decided) -> None:
        found = self.found.get(event.whose.agreement)
        if found is not None and found.first_decision is None:
            found.first_decision = Moment(
                entry=event.entry,
                time=event.time,
                run=event.round.run,
                round=event.round.round,
                kind=event.round.kind,
            )
            found.permitted = event.permitted
            found.codes = tuple(code for code, _ in event.reasons)

    def _used(self, event: Used) -> None:
        member = event.permitted
        agreement = member.whose.agreement
        self._open[agreement] -= 1
        self._last[agreement] = Moment(
            entry=event.entry,
            time=event.time,
            run=member.round.run,
            round=member.round.round,
            kind=member.round.kind,
        )
        if agreement in self.found:
            self.found[agreement].uses_after += 1
