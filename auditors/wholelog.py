"""Replaying a whole log: every decision made once more, from nothing but the entries before it.

For each entry, in the log's order, this rebuilds what governance knew there (`auditors.register`,
`auditors.runs`) and checks that what it wrote follows: statements (`auditors.statements`),
decisions with their left values, reports and cohorts (`auditors.rounds`), permits, closes and
ends (`auditors.outcomes`), receipts and spending (`auditors.rules`). A fault names its entry and
rule; after it the replay goes on from what the log says, so that one fault is not told many times.

What a log cannot show, and what is checked instead:

- **who was online**: a decision's `nodes` is taken as it stands, and who is not in it is refused
- **what the clock said**: an entry's time is taken as it stands; the moment that a decision was
  made at must follow from it and from the decisions before it
- **what a second engine said**: an alarm is taken as it stands, but for our own half of it; that
  nothing was alarming where no alarm stands cannot be seen
- **refused receipts**: only their digest is logged, so that it cannot be seen whether the refusal
  was right; that it is repeated in the close can
- **the model that a round made**: updates never reach governance; that each round begins with the
  model of the one before, and that nothing but a round with a result changes it, is checked
- **the run's fused configuration**: the app's bundle is not in the log; the permit must name the
  configuration that the run was opened with
- **what was never logged**, such as a withdrawal that governance swallowed: that stands in the
  node's own log

Works on the entries as they stand: call `auditors.verify.verify_folder` first to know that nobody
changed them. Memory grows with participants, agreements, runs and permit ids, not with entries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from auditors.ledgerbook import Book, agreement_book
from auditors.outcomes import check_close, check_ended, check_opened, check_permit
from auditors.register import Register
from auditors.rounds import Fault, Known, check_decision, check_turn
from auditors.rules import Rules, Violation
from auditors.runs import Run, Runs
from auditors.snapshot import Snapshot
from auditors.statements import check_new, check_statement
from policies.entries import Entry, parse_entry
from policies.errors import AccountError, PolicyError
from policies.permit import PermitBody

MAX_VIOLATIONS: Final = 10_000
PROGRESS_EVERY: Final = 1024
_MAX_PENDING: Final = 10_000  # entries with a decision's reports; more candidates no round has
_MALFORMED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    ArithmeticError,
    PolicyError,
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was replayed.

    Attributes:
        entries, decisions, permits, receipts: how many there are.
        violations: in the log's order; `MAX_VIOLATIONS` at most, and the replay ends with them.
        book: what was added up by then.
        unreadable: whether an entry could not be parsed at all.
    """

    entries: int
    decisions: int
    permits: int
    receipts: int
    violations: tuple[Violation, ...]
    book: Book
    unreadable: bool = False


def replay_share(
    snapshot: Snapshot, share: int = 0, shares: int = 1, progress: Progress | None = None
) -> Replayed:
    """Replay a log; of what takes time, only one share.

    What each entry means is taken in by every share; decisions, signatures and spellings are looked
    at by one of them each. Together the shares find what one alone would.

    Args:
        share: from 0 to `shares` - 1.
        progress: called now and then with the entries that are done and those in all.

    Raises:
        AuditInputError, IntegrityBroken: the folder cannot be read, or a line has no end.
    """
    replay = _Replay(lambda number: (number * 0x9E3779B1 >> 16) % shares == share)
    total = snapshot.size
    for index, line in snapshot.entries():
        replay.take(index, line)
        if progress is not None and index % PROGRESS_EVERY == 0:
            progress(index, total)
        if len(replay.rules.violations) >= MAX_VIOLATIONS:
            break
    replay.end()
    if progress is not None:
        progress(total, total)
    return replay.result()


class _Replay:
    """One pass over a log.

    Args:
        own: whether an entry's share is this one.
    """

    def __init__(self, own: Callable[[int], bool]) -> None:
        self.rules = Rules()
        self._own = own
        self._register = Register()
        self._runs = Runs()
        self._known = Known(self._register, self._runs, self.rules.spending)
        self._reports: list[bytes] = []
        self._alarms: list[dict[str, Any]] = []
        self._decided: tuple[int, Entry] | None = None
        self._counts = dict.fromkeys(("RoundDecided", "PermitIssued", "ReceiptAccepted"), 0)
        self._entries = 0
        self._unreadable = False

    def result(self) -> Replayed:
        """What was found."""
        return Replayed(
            entries=self._entries,
            decisions=self._counts["RoundDecided"],
            permits=self._counts["PermitIssued"],
            receipts=self._counts["ReceiptAccepted"],
            violations=tuple(self.rules.violations),
            book=self._book(),
            unreadable=self._unreadable,
        )

    def _book(self) -> Book:
        agreements = {id: agreement_book(one) for id, one in self._register.agreements.items()}
        runs = {id: course.book() for id, course in self._runs.courses.items()}
        return Book(self._entries, agreements, self.rules.spending.books(), runs)

    def end(self) -> None:
        """The log ends here."""
        self._settle(self._entries, "")

    def take(self, index: int, line: bytes) -> None:
        """One entry, in the log's order."""
        self._entries += 1
        entry = self._parsed(index, line)
        if entry is None:
            return
        self._settle(index, entry.type)
        if entry.type in self._counts:
            self._counts[entry.type] += 1
        if entry.type == "ReportsMade":
            self._keep(index, line)
        try:
            for rule, text in self._faults(index, entry):
                self.rules.broken(index, rule, text)
        except _MALFORMED as error:
            text = f"{entry.type}: {type(error).__name__}: {error}"
            self.rules.broken(index, "entry-readable", text[:500])
        self.rules.look(index, entry, signatures=self._own(index))
        if entry.type == "PermitIssued":
            self._decided = None

    def _parsed(self, index: int, line: bytes) -> Entry | None:
        try:
            if self._own(index):
                return parse_entry(line)
            entry = json.loads(line)  # another share sees to it that this is its one spelling
            return Entry(type=entry["type"], time=entry["time"], body=entry["body"])
        except (PolicyError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._unreadable = True
            self.rules.broken(index, "entry-readable", str(error)[:500])
            return None

    def _keep(self, index: int, line: bytes) -> None:
        if len(self._reports) < _MAX_PENDING:
            self._reports.append(line)
        else:
            self.rules.broken(index, "report-named", "expected a decision after its reports")
            self._reports = []

    def _settle(self, index: int, kind: str) -> None:
        """What must follow at once: a decision on its reports, a permit on its decision."""
        if self._decided is not None and kind != "PermitIssued":
            at, decided = self._decided
            self._decided = None
            try:
                verdicts: Any = decided.body["decision"]
                names = [v["participant"] for v in verdicts["verdicts"] if v["permitted"]]
            except _MALFORMED:
                return  # named as it was read
            if names:
                text = f"expected a permit for {', '.join(names)} in entry {at + 1}, got none"
                self.rules.broken(at, "permit-follows", text[:500])
        if kind not in ("ReportsMade", "EnginesDisagreed", "RoundDecided"):
            if self._reports or self._alarms:
                text = "expected a decision at once after its reports and alarms, got none"
                self.rules.broken(index - 1, "report-named", text)
            self._reports, self._alarms = [], []

    # -- what each type of entry must follow from, and means -----------------------------------

    def _faults(self, index: int, entry: Entry) -> Iterable[Fault]:
        take = getattr(self._register, entry.type, None)
        if take is not None:
            yield from check_new(self._register, entry)
            take(index, entry.time, entry.body)
            # After the entry was taken in, so that each share goes on alike whatever this raises.
            if self._own(index):
                yield from check_statement(self._register, entry)
            return
        look = getattr(self, f"_on_{entry.type}", None)
        if look is not None:
            yield from look(index, entry, entry.body)

    def _run(self, body: dict[str, Any]) -> Run:
        run = self._runs.known.get(body["run"])
        if run is None:
            raise KeyError(f"{body['run']!r:.80}: expected a run that is opened and not completed")
        return run

    def _on_RunOpened(  # noqa: N802
        self, index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        yield from check_opened(self._register, body)
        self._runs.opened(index, body)

    def _on_RunResumed(  # noqa: N802
        self, _index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        self._run(body).state = "OPEN"
        return ()

    def _on_RunEnded(  # noqa: N802
        self, _index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        run = self._run(body)
        yield from check_ended(run, body)
        self._runs.ended(run, body)

    def _on_TransferStep(  # noqa: N802
        self, index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        self._runs.transfer(index, body)
        return ()

    def _on_EnginesDisagreed(  # noqa: N802
        self, _index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        self._alarms.append(body)
        return ()

    def _on_RoundDecided(  # noqa: N802
        self, index: int, entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        lines, self._reports = self._reports, []
        alarms, self._alarms = self._alarms, []
        run = self._run(body)
        self._decided = (index, entry)
        try:
            yield from check_turn(self._known, run, body)
            if self._own(index):
                made = (json.loads(line)["body"]["reports"] for line in lines)
                reports = list(chain.from_iterable(made))
                yield from check_decision(self._known, run, entry, reports, alarms)
        finally:
            self._runs.decided(run, entry.time, body)

    def _on_PermitIssued(  # noqa: N802
        self, _index: int, entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        run, permit = self._run(body), PermitBody.from_json(body)
        self._runs.permitted(run, permit)
        try:
            if self._decided is not None:  # else `auditors.rules` says so
                yield from check_permit(self._register, run, self._decided[1], entry)
        finally:
            self._register.reserve(permit)

    def _on_ReceiptAccepted(  # noqa: N802
        self, _index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        run = self._run(body)
        if run.permit is None or run.permit.body.id != body["permit_id"]:
            return  # named by `auditors.rules`
        self._runs.accepted(run, body)
        for member in run.permit.body.cohort:
            if member.participant == body["participant"]:
                try:
                    self._register.commit(body["permit_id"], member.agreement, body["metered_s"])
                except AccountError as error:
                    yield "receipt-in-bounds", f"{member.participant}: {error}"

    def _on_ReceiptRefused(  # noqa: N802
        self, _index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        self._runs.refused(self._run(body), body)
        return ()

    def _on_RoundClosed(  # noqa: N802
        self, index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        run = self._run(body)
        open_ = run.permit
        try:
            if open_ is None or open_.body.id != body["permit_id"]:
                text = f"{run.id}: expected the close of its open permit, got {body['permit_id']}"
                yield "close-follows", text
            else:
                yield from check_close(self._register, run, open_, body)
        finally:
            if open_ is not None:
                self._register.keep(open_.body)
            self._runs.closed(run, index, body)

    def _on_RoundAbandoned(  # noqa: N802
        self, _index: int, _entry: Entry, body: dict[str, Any]
    ) -> Iterable[Fault]:
        run = self._run(body)
        open_ = run.permit
        self._runs.abandoned(run)
        if open_ is None or open_.body.id != body["permit_id"]:
            text = f"{run.id}: expected an open permit, got {body['permit_id']}"
            yield "close-follows", text
        if open_ is not None:
            self._register.keep(open_.body)
