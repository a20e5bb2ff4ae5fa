"""Replaying a whole log: every decision made once more, from nothing but the entries before it.

For each entry, in the log's order, this rebuilds what governance knew there (`auditors.register`,
`auditors.runs`) and checks that what it wrote follows: statements (`auditors.statements`),
decisions with their left values, reports and cohorts (`auditors.rounds`), permits, closes and
ends (`auditors.outcomes`), the ε of permits by another method (`auditors.budgets`), receipts and
spending (`auditors.rules`). A fault names its entry and
rule; after it the replay goes on from what the log says, so that one fault is not told many times.
Three rules are of all entries: `entry-readable`, that they have the form that governance writes,
`entry-whole`, that parts of a long entry are all there, and `registered-first`, that what they are
about was registered, concluded or enrolled before.

What a log cannot show, and what is checked instead:

- **who was online**: a decision's `nodes` is taken as it stands, and who is not in it is refused
- **what the clock said**: an entry's time is taken as it stands, unless it goes back
  (`auditors.clock`); the moment that a decision was made at must follow from it and from the
  decisions before it
- **what a second engine said**: an alarm is taken as it stands, but for our own half of it; that
  nothing was alarming where no alarm stands cannot be seen
- **refused receipts**: only their digest is logged, so that it cannot be seen whether the refusal
  was right; that it is repeated in the close can
- **the model that a round made**: updates never reach governance; that each round begins with the
  model of the one before, and that nothing but a round with a result changes it, is checked
- **the masks of a secure sum**: that a release names exactly those whose consent stood is checked;
  that the sums handed out were of their masks, who opens the round sees
- **the run's fused configuration**: the app's bundle is not in the log; the permit must name the
  configuration that the run was opened with
- **what was never logged**, such as a withdrawal that governance swallowed: that stands in the
  node's own log

Works on the entries as they stand: call `auditors.verify.verify_folder` first to know that nobody
changed them. Memory grows with participants, agreements, runs, permit ids and closes, not with
entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from auditors.budgets import check_budgets
from auditors.clock import Clock
from auditors.ledgerbook import Book, agreement_book
from auditors.outcomes import check_close, check_ended, check_opened, check_permit
from auditors.pending import Pending
from auditors.reading import ALARM, REPORTS, Read, Turns, kind_of, read_entry
from auditors.receipts import Receipts
from auditors.register import KINDS as REGISTERED
from auditors.register import Register, Unregistered
from auditors.rounds import Fault, Known, check_decision, check_turn
from auditors.rules import MALFORMED, UNREADABLE, Rules, Violation, in_order, malformed
from auditors.runs import Run, Runs
from auditors.statements import check_new, check_statement
from policies.errors import AccountError

_PARTS: Final = frozenset({"EntryPart", "EntryWhole"})


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


class Replay:
    """One pass over a log.

    Args:
        receipts: who looks at what receipts say; None where another share does.
    """

    def __init__(self, turns: Turns, receipts: Receipts | None) -> None:
        self.rules = Rules()
        self._turns = turns
        self._receipts = receipts
        self._register = Register()
        self._runs = Runs()
        self._known = Known(self._register, self._runs, self.rules.spending)
        self._clock = Clock()
        self._pending = Pending()
        self._alarms: list[dict[str, Any]] = []
        self._decided: Read | None = None
        self._counts = dict.fromkeys(("RoundDecided", "PermitIssued", "ReceiptAccepted"), 0)
        self._entries = 0
        self._before = -1
        self._unreadable = False

    @property
    def violations(self) -> list[Violation]:
        """Those so far."""
        return self.rules.violations

    def result(self) -> Replayed:
        """What was found; the log ends here."""
        self._settle("")
        return Replayed(
            entries=self._entries,
            decisions=self._counts["RoundDecided"],
            permits=self._counts["PermitIssued"],
            receipts=self._counts["ReceiptAccepted"],
            violations=in_order(self.violations),
            book=self._book(),
            unreadable=self._unreadable,
        )

    def _book(self) -> Book:
        register = self._register
        agreements = {
            id: agreement_book(one, register.given(one.agreement.target))
            for id, one in register.agreements.items()
        }
        runs = {id: course.book() for id, course in self._runs.courses.items()}
        return Book(self._entries, agreements, self.rules.spending.books(), runs)

    def take(self, index: int, line: bytes) -> None:
        """One entry, in the log's order."""
        self._entries += 1
        kind = kind_of(line)
        own = self._turns.owns(kind)
        if kind == REPORTS:
            self._settle(kind)
            if own and not self._pending.add(index, line):
                self.rules.broken(index, "report-named", "expected a decision after its reports")
                self._forget(self._taken())
        else:
            self._look(index, kind, line, own)
        self._before = index

    def _look(self, index: int, kind: str, line: bytes, own: bool) -> None:
        mine = self._receipts is not None or kind != "ReceiptAccepted"
        try:
            entry = read_entry(line, own=own and mine)
        except UNREADABLE as error:
            self._unread(index, str(error))
            return
        self._settle(entry.type)
        read = Read(index, self._before, line, own, entry)
        if entry.type in self._counts:
            self._counts[entry.type] += 1
        try:
            for rule, text in self._faults(read):
                if own:
                    self.rules.broken(index, rule, text)
        except Unregistered as error:
            if own:
                self.rules.broken(index, "registered-first", f"{entry.type}: {error}")
        except MALFORMED as error:
            if own:
                self.rules.broken(index, "entry-readable", malformed(entry.type, error))
        self.rules.look(read)
        self._signed(read)
        if entry.type == "PermitIssued":
            self._decided = None

    def _signed(self, read: Read) -> None:
        if self._receipts is None:
            return
        try:
            for rule, text in self._receipts.look(read):
                self.rules.broken(read.index, rule, text)
        except MALFORMED as error:
            if read.entry.type == "ReceiptAccepted":
                text = malformed(read.entry.type, error)
                self.rules.broken(read.index, "entry-readable", text)

    def _unread(self, index: int, text: str) -> None:
        self._unreadable = True
        self.rules.broken(index, "entry-readable", text[:500])

    def _taken(self) -> Pending:
        pending, self._pending = self._pending, Pending()
        return pending

    def _forget(self, pending: Pending) -> None:
        """Reports that a decision was, or should have been, made of."""
        for index, text in pending.close():
            self._unread(index, text)

    def _settle(self, kind: str) -> None:
        """What must follow at once: a decision on its reports, a permit on its decision."""
        if self._decided is not None and kind != "PermitIssued":
            decided, self._decided = self._decided, None
            if decided.own:
                self._without_permit(decided)
        if kind not in (REPORTS, ALARM, "RoundDecided"):
            if self._pending or self._alarms:
                text = "expected a decision at once after its reports and alarms, got none"
                self.rules.broken(self._before, "report-named", text)
                self._forget(self._taken())
            self._alarms = []

    def _without_permit(self, decided: Read) -> None:
        try:
            verdicts = decided.body["decision"]["verdicts"]
            names = [one["participant"] for one in verdicts if one["permitted"]]
        except MALFORMED:
            return  # named as it was read
        if names:
            text = f"expected a permit for {', '.join(names)} at once after it, got none"
            self.rules.broken(decided.index, "permit-follows", text[:500])

    # -- what each type of entry must follow from, and means -----------------------------------

    def _faults(self, read: Read) -> Iterable[Fault]:
        """What an entry breaks, as far as it is one's own to see; takes it in, whatever that is."""
        yield from self._clock.step(read.index, read.entry.time)
        kind, register = read.entry.type, self._register
        if kind in REGISTERED:
            new = list(check_new(register, read.entry)) if read.own else ()
            register.take(kind, read.index, read.entry.time, read.body)
            yield from new
            if read.own:
                yield from check_statement(register, read.entry)
            return
        look = _LOOKS.get(kind)
        if look is not None:
            yield from look(self, read)
        elif kind == "OfferPublished" and read.own:
            yield from check_statement(register, read.entry)
        elif kind in _PARTS:
            text = "expected it among the parts of one entry and their last line (policies.parts)"
            yield "entry-whole", f"{kind}: {text}"

    def _run(self, read: Read) -> Run:
        run = self._runs.known.get(read.body["run"])
        if run is None:
            id = read.body["run"]
            raise KeyError(f"{id!r:.80}: expected a run that is opened and not completed")
        return run

    def _opened(self, read: Read) -> Iterable[Fault]:
        try:
            if read.own:
                yield from check_opened(self._register, self._runs, read.body)
        finally:
            self._runs.opened(read.index, read.body)

    def _resumed(self, read: Read) -> Iterable[Fault]:
        self._run(read).state = "OPEN"
        return ()

    def _ended(self, read: Read) -> Iterable[Fault]:
        run = self._run(read)
        try:
            if read.own:
                yield from check_ended(run, read.body)
        finally:
            self._runs.ended(run, read.body)

    def _transfer(self, read: Read) -> Iterable[Fault]:
        try:
            if read.own:
                yield from self._runs.check_transfer(read.body)
        finally:
            self._runs.transfer(read.index, read.body)

    def _alarm(self, read: Read) -> Iterable[Fault]:
        self._alarms.append(read.body)
        return ()

    def _decision(self, read: Read) -> Iterable[Fault]:
        pending = self._taken()
        alarms, self._alarms = self._alarms, []
        try:
            run = self._run(read)
            self._decided = read
            try:
                if read.own:
                    yield from check_turn(self._known, run, read.body)
                    yield from check_decision(self._known, run, read, pending, alarms)
            finally:
                self._runs.decided(run, read.entry.time, read.body)
        finally:
            self._forget(pending)

    def _permit(self, read: Read) -> Iterable[Fault]:
        run, permit = self._run(read), read.permit
        self._runs.permitted(run, permit)
        try:
            if read.own:
                yield from check_budgets(self._register, permit)
            if self._decided is not None and read.own:  # else `auditors.rules` says so
                yield from check_permit(self._register, run, self._decided, read)
        finally:
            self._register.reserve(permit)

    def _accepted(self, read: Read) -> Iterable[Fault]:
        run, body = self._run(read), read.body
        if run.permit is None or run.permit.body.id != body["permit_id"]:
            return  # named by `auditors.rules`
        self._runs.accepted(run, body)
        agreement = run.permit.agreements.get(body["participant"])
        if agreement is not None:
            try:
                self._register.commit(body["permit_id"], agreement, body["metered_s"])
            except AccountError as error:
                yield "receipt-in-bounds", f"{body['participant']}: {error}"

    def _refused(self, read: Read) -> Iterable[Fault]:
        self._runs.refused(self._run(read), read.body)
        return ()

    def _released(self, read: Read) -> Iterable[Fault]:
        self._runs.released(self._run(read), read.body)
        return ()

    def _closed(self, read: Read) -> Iterable[Fault]:
        run, body = self._run(read), read.body
        open_ = run.permit
        try:
            if not read.own:
                return
            if open_ is None or open_.body.id != body["permit_id"]:
                text = f"{run.id}: expected the close of its open permit, got {body['permit_id']}"
                yield "close-follows", text
            else:
                yield from check_close(self._register, run, open_, body)
        finally:
            self._runs.closed(run, read.index, body)
            if open_ is not None:
                self._register.keep(open_.body)

    def _abandoned(self, read: Read) -> Iterable[Fault]:
        run, body = self._run(read), read.body
        open_ = run.permit
        self._runs.abandoned(run)
        if open_ is None or open_.body.id != body["permit_id"]:
            yield "close-follows", f"{run.id}: expected an open permit, got {body['permit_id']}"
        if open_ is not None:
            self._register.keep(open_.body)


_LOOKS: Final[Mapping[str, Callable[[Replay, Read], Iterable[Fault]]]] = MappingProxyType(
    {
        "RunOpened": Replay._opened,
        "RunResumed": Replay._resumed,
        "RunEnded": Replay._ended,
        "TransferStep": Replay._transfer,
        ALARM: Replay._alarm,
        "RoundDecided": Replay._decision,
        "PermitIssued": Replay._permit,
        "ReceiptAccepted": Replay._accepted,
        "ReceiptRefused": Replay._refused,
        "MasksReleased": Replay._released,
        "RoundClosed": Replay._closed,
        "RoundAbandoned": Replay._abandoned,
    }
)
