"""The facts of an audit report, from the log's entries alone.

Who used whose data, when, for what, under which agreement and with what privacy loss; who was
refused and why; when withdrawals took effect; what is missing. The entries are read once, as a
stream: memory grows with participants, products, agreements and runs, and every list of single
happenings is bounded (`Listed`); the whole lists are for `auditors.report_csv`.

Facts, not judgements: what breaks a rule `auditors.wholelog` says, and `auditors.verify` that
nobody changed the entries. Both results stand in the report beside the facts (`Checked`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from auditors.errors import AuditInputError
from auditors.ledgerbook import NOTHING, Book
from auditors.lines import MALFORMED, quick_entry
from auditors.report_events import Decided, Event, Events, Missing, Settled, Used
from auditors.report_groups import Refusal, UseGroup, round_label
from auditors.report_register import Register
from auditors.report_registered import Registered
from auditors.report_runs import RunBook, RunFacts
from auditors.report_scope import MAX_LISTED, Checked, Listed, Scope
from auditors.report_series import Bars, Timeline
from auditors.report_withdrawals import Withdrawal, Withdrawals
from policies.entries import Entry
from policies.values import decimal_text

MAX_GROUPS: Final = 20_000

# The largest entries, by the end of their one spelling; the decisions after them say it all.
_REPORTS: Final = b',"type":"ReportsMade"}'


@dataclass(slots=True)
class Facts:
    """Everything; see the module.

    Attributes:
        types: entries by type, of the whole log.
        unreadable: entries in another form than governance writes.
        book: budgets as the replay added them up, over the whole log: a budget has no period.
        earned: units of uses with an accepted receipt, by agreement, over the whole log.
        sessions: uses with an accepted receipt, one by one.
        missing_why: permits without an accepted receipt, by code.
        refused_replies: replies that were refused, by code.
        abandoned, no_result: permits that were settled without a result.
        dropped_groups: groups of uses or refusals beyond `MAX_GROUPS`.
    """

    checked: Checked
    scope: Scope
    register: Registered
    first: str = ""
    last: str = ""
    entries: int = 0
    types: Counter[str] = field(default_factory=Counter)
    unreadable: Listed[int] = field(default_factory=Listed)
    uses: dict[tuple[str, ...], UseGroup] = field(default_factory=dict)
    refusals: dict[tuple[str, ...], Refusal] = field(default_factory=dict)
    dropped_groups: int = 0
    runs: dict[str, RunFacts] = field(default_factory=dict)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    book: Book = NOTHING
    earned: dict[str, Decimal] = field(default_factory=dict)
    permitted: int = 0
    refused: int = 0
    sessions: Listed[Used] = field(default_factory=Listed)
    missing: Listed[Missing] = field(default_factory=Listed)
    missing_why: Counter[str] = field(default_factory=Counter)
    abandoned: Listed[Settled] = field(default_factory=Listed)
    no_result: Listed[Settled] = field(default_factory=Listed)
    alarms: Listed[dict[str, object]] = field(default_factory=Listed)
    timeline: Timeline = field(default_factory=Timeline)
    bars: Bars = field(default_factory=Bars)

    @property
    def use_count(self) -> int:
        """Uses with an accepted receipt."""
        return sum(one.trained + one.evaluated for one in self.uses.values())


def collect(
    lines: Iterable[tuple[int, bytes]], checked: Checked, scope: Scope, book: Book = NOTHING
) -> Facts:
    """Read a log's entries and put the facts together.

    Args:
        lines: as `auditors.lines.log_lines` gives them.
        book: of the replay of these entries.

    Raises:
        AuditInputError: the scope names a participant or run that the log does not know.
    """
    collector = _Collector(checked, scope, book)
    for index, line in lines:
        collector.take(index, line)
    return collector.end()


class _Collector:
    def __init__(self, checked: Checked, scope: Scope, book: Book) -> None:
        self._register = Register()
        self._events = Events()
        self._withdrawals = Withdrawals()
        self._runs = RunBook()
        self._scope = scope
        self._facts = Facts(checked, scope, self._register.now, book=book)

    def take(self, index: int, line: bytes) -> None:
        facts = self._facts
        facts.entries += 1
        if line.endswith(_REPORTS):
            facts.types["ReportsMade"] += 1
            return
        try:
            entry = quick_entry(line)
            facts.first, facts.last = facts.first or entry.time, entry.time
            facts.types[entry.type] += 1
            self._register.take(index, entry)
            self._withdrawals.take(index, entry)
            self._runs.take(index, entry)
            self._see(index, entry)
        except MALFORMED:
            facts.unreadable.add(index)

    def end(self) -> Facts:
        facts, scope = self._facts, self._scope
        for event in self._events.end(facts.last):
            self._happened(event)
        register = facts.register
        if scope.participant and scope.participant not in register.participants:
            raise AuditInputError(
                f"{scope.participant!r:.80}: expected a participant in the log, got none"
            )
        if scope.run and scope.run not in self._runs.runs:
            raise AuditInputError(f"{scope.run!r:.80}: expected a run in the log, got none")
        facts.runs = {
            id: run for id, run in self._runs.runs.items() if not scope.run or id == scope.run
        }
        facts.withdrawals = [
            one
            for one in self._withdrawals.found.values()
            if scope.has(one.time, scope.run, one.participant, one.consumer)
        ]
        return facts

    def _see(self, index: int, entry: Entry) -> None:
        decided: list[Decided] = []
        for event in self._events.take(index, entry):
            if isinstance(event, Decided):
                decided.append(event)
            self._happened(event)
        if entry.type == "EnginesDisagreed":
            self._alarm(index, entry)
        mine = [one for one in decided if self._mine(one.time, one.round.run, one)]
        if mine:
            permitted = sum(one.permitted for one in mine)
            label = _label(mine[0])
            self._facts.bars.add(label, permitted, len(mine) - permitted)

    def _mine(self, time: str, run: str, event: Decided) -> bool:
        return self._scope.has(time, run, event.whose.participant, event.round.consumer)

    def _happened(self, event: Event) -> None:
        self._withdrawals.see(event)
        facts = self._facts
        if isinstance(event, Decided):
            if self._mine(event.time, event.round.run, event):
                self._decided(event)
        elif isinstance(event, Settled):
            round_ = event.round
            if self._scope.has(event.time, round_.run, self._scope.participant):
                if not event.closed:
                    facts.abandoned.add(event)
                elif not event.result:
                    facts.no_result.add(event)
        elif isinstance(event, Used | Missing):
            if isinstance(event, Used) and event.permitted.pays != "0":
                self._earn(event)
            whose, round_ = event.permitted.whose, event.permitted.round
            if not self._scope.has(event.time, round_.run, whose.participant, round_.consumer):
                return
            if isinstance(event, Used):
                self._used(event)
            else:
                facts.missing.add(event)
                facts.missing_why[event.code] += 1

    def _decided(self, event: Decided) -> None:
        facts = self._facts
        if event.permitted:
            facts.permitted += 1
            return
        facts.refused += 1
        for code, text in event.reasons:
            self._refused(event, code, text)

    def _refused(self, event: Decided, code: str, text: str) -> None:
        refusals, whose = self._facts.refusals, event.whose
        key = (whose.participant, whose.product, event.round.run, code)
        found = refusals.get(key)
        if found is None:
            if len(refusals) >= MAX_GROUPS:
                self._facts.dropped_groups += 1
                return
            refusals[key] = Refusal(
                participant=whose.participant,
                product=whose.product,
                consumer=event.round.consumer,
                run=event.round.run,
                code=code,
                text=text,
                count=1,
                first_round=_label(event),
                first=event.time,
                first_entry=event.entry,
                last_round=_label(event),
                last=event.time,
                last_entry=event.entry,
            )
            return
        found.count += 1
        found.text = text
        found.last, found.last_entry, found.last_round = event.time, event.entry, _label(event)

    def _earn(self, event: Used) -> None:
        agreement, earned = event.permitted.whose.agreement, self._facts.earned
        earned[agreement] = earned.get(agreement, Decimal(0)) + Decimal(event.permitted.pays)

    def _used(self, event: Used) -> None:
        member = event.permitted
        self._facts.timeline.add(event.time, member.whose.participant)
        self._facts.sessions.add(event)
        group = self._group(event)
        if group is None:
            self._facts.dropped_groups += 1
            return
        if member.round.kind == "train":
            group.rows_least = min(group.rows_least, event.rows) if group.trained else event.rows
            group.rows_most = max(group.rows_most, event.rows)
            group.rows_total += event.rows
            group.trained += 1
        else:
            group.evaluated += 1
        group.leave_out(event.without_consent)
        group.metered_s += event.metered_s
        group.epsilon, group.delta = member.epsilon, member.delta
        group.pays = _sum(group.pays, member.pays)
        if event.environment not in group.environments and len(group.environments) < 8:
            group.environments.append(event.environment)
        group.last, group.last_entry = event.time, event.entry

    def _group(self, event: Used) -> UseGroup | None:
        uses, member = self._facts.uses, event.permitted
        whose, round_ = member.whose, member.round
        key = (whose.participant, whose.product, whose.agreement, round_.run)
        if key not in uses:
            if len(uses) >= MAX_GROUPS:
                return None
            uses[key] = UseGroup(
                participant=whose.participant,
                product=whose.product,
                agreement=whose.agreement,
                run=round_.run,
                consumer=round_.consumer,
                purpose=round_.purpose,
                app=round_.app,
                first=event.time,
                first_entry=event.entry,
            )
        return uses[key]

    def _alarm(self, index: int, entry: Entry) -> None:
        body = entry.body
        if self._scope.has(entry.time, str(body["run"]), str(body["participant"])):
            self._facts.alarms.add({"entry": index, "time": entry.time, **body})


def _label(event: Decided) -> str:
    return round_label(event.round.kind, event.round.round, event.round.attempt)


def _sum(one: str, other: str) -> str:
    return decimal_text(Decimal(one) + Decimal(other))


def most_used(facts: Facts) -> Mapping[str, int]:
    """Uses of the data of each owner, the most used first; `MAX_LISTED` owners at most."""
    counted: Counter[str] = Counter()
    for group in facts.uses.values():
        counted[group.participant] += group.trained + group.evaluated
    most = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return dict(most[:MAX_LISTED])


def owned(facts: Facts) -> Iterator[str]:
    """Agreements of the scope's participant; all where it names none."""
    for id, contract in facts.register.contracts.items():
        if facts.scope.participant in ("", contract.assigner, contract.assignee):
            yield id
