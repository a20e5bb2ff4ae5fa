"""The rules that an intact log must also keep, checked entry by entry in the log's order.

    permit-decided      a permit follows at once on the decision that it names, and is for exactly
                        those whom the decision permits, in its run, round, kind and attempt
    permit-agreed       it names only agreements that were concluded, and whose consent still stood
    permit-once         its id was never used before
    permit-reserves     it reserves for each member what its run states for one use
    voucher-covers      what it pays was left of the run's own voucher
    voucher-new         a voucher's id was never used before
    receipt-permitted   an accepted receipt answers a logged permit that is neither closed nor
                        abandoned, and whose masks are not released
    receipt-in-bounds   it is of an enrolled member of its cohort, once, with its consent standing
    close-chained       a round's close names the close before it and only accepted receipts
    close-answers       its weights are the rows of those receipts
    close-duties        with a result, all that is owed to those who took part is declared, and
                        borne out as far as the close can show it

What a release of masks must keep to is in `auditors.releases`.
What a receipt itself says is for `auditors.receipts`, whether each decision follows from the
policies in force for `auditors.wholelog`; here every document is taken as it stands. What is held
in memory grows with participants, agreements, runs, permit ids and releases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from auditors.reading import Read
from auditors.releases import Releases
from auditors.spending import Spending
from policies.errors import PolicyError
from policies.permit import CohortMember, PermitBody
from policies.post_duties import unfulfilled

Fault = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that an entry breaks, with what was expected and what stands there."""

    index: int
    rule: str
    text: str


def in_order(violations: Iterable[Violation]) -> tuple[Violation, ...]:
    """Violations in the log's order, each once."""
    return tuple(sorted(set(violations), key=attrgetter("index", "rule", "text")))


UNREADABLE: Final = (PolicyError, ValueError, TypeError, KeyError, RecursionError)
"""What reading a line that is no entry may end in."""
MALFORMED: Final = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    ArithmeticError,
    PolicyError,
)
"""What an entry in another form than governance writes may end in."""


def malformed(kind: str, error: Exception) -> str:
    """What is said of an entry in another form than governance writes."""
    return f"{kind}: {type(error).__name__}: {error}"[:500]


class _Issued:
    """A permit as logged, and who has answered it: entry and rows of the accepted receipt."""

    __slots__ = ("answered", "body", "members", "released")

    def __init__(self, body: PermitBody) -> None:
        self.body = body
        self.released: int | None = None
        self.members = {member.participant: member for member in reversed(body.cohort)}
        self.answered: dict[str, tuple[int, int]] = {}


class Rules:
    """What the log has said so far."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._signers: set[str] = set()
        self._agreements: dict[str, str] = {}
        self._withdrawn: dict[str, int] = {}
        self._permits: dict[str, _Issued] = {}
        self._open: dict[str, list[str]] = {}
        self._permit_ids: dict[str, int] = {}
        self._last_close: dict[str, int] = {}
        self._releases = Releases()
        self.spending = Spending()
        self._decision: Read | None = None

    def broken(self, index: int, rule: str, text: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(index=index, rule=rule, text=text))

    def look(self, read: Read) -> None:
        """Take one entry in, and if it is one's own, note what it breaks.

        A body in another form than governance writes breaks a rule too.
        """
        look = _LOOKS.get(read.entry.type)
        if look is None:
            return
        try:
            for rule, text in look(self, read):
                if read.own:
                    self.broken(read.index, rule, text)
        except (KeyError, TypeError, ValueError, PolicyError) as error:
            if read.own:
                self.broken(read.index, "entry-readable", malformed(read.entry.type, error))

    def _enrolled(self, read: Read) -> Iterable[Fault]:
        if read.body["receipt_key"]:
            self._signers.add(read.body["participant"])
        return ()

    def _concluded(self, read: Read) -> Iterable[Fault]:
        self._agreements[read.body["agreement"]] = read.body["product"]
        return ()

    def _consent_ended(self, read: Read) -> Iterable[Fault]:
        self._withdrawn.setdefault(read.body["agreement"], read.index)
        return ()

    def _opened(self, read: Read) -> Iterable[Fault]:
        self.spending.opened(read.body)
        return ()

    def _issued(self, read: Read) -> Iterable[Fault]:
        return self.spending.issued(read.index, read.body)

    def _decided(self, read: Read) -> Iterable[Fault]:
        self._decision = read
        return ()

    def _permitted(self, read: Read) -> Iterable[Fault]:
        permit, before = read.permit, self._permit_ids.get(read.permit.id)
        self._permit_ids.setdefault(permit.id, read.index)
        digest = read.body_digest
        self._permits[digest] = _Issued(permit)
        self._open.setdefault(permit.id, []).append(digest)
        yield from self.spending.reserved(permit)
        yield from self._releases.permitted(permit)
        if not read.own:
            return
        for text in self._undecided(read):
            yield "permit-decided", f"{permit.id}: {text}"
        if before is not None:
            yield "permit-once", f"{permit.id}: expected a new id, it stands in entry {before}"
        for member in permit.cohort:
            for text in self._disagreements(member):
                yield "permit-agreed", f"{permit.id}, {member.participant}: {text}"

    def _undecided(self, read: Read) -> Iterator[str]:
        permit, made = read.permit, self._decision
        if made is None or made.index != read.before or made.decision_digest != permit.decision:
            yield f"expected the decision {permit.decision[:16]}… in entry {read.before}"
            return
        decided = made.body
        expected = tuple(decided[name] for name in ("run", "round", "kind", "attempt"))
        got = (permit.run, permit.round, permit.kind, permit.attempt)
        if expected != got:
            yield f"expected run, round, kind and attempt {expected}, got {got}"
        verdicts = decided["decision"]["verdicts"]
        taking = [(one["participant"], one["product"]) for one in verdicts if one["permitted"]]
        cohort = [(member.participant, member.product) for member in permit.cohort]
        if taking != cohort:
            yield f"expected the {len(taking)} whom the decision permits, got {len(cohort)} others"
            return
        reports = [str(one["report"]) for one in verdicts if one["permitted"]]
        for member, report in zip(permit.cohort, reports, strict=True):
            if member.report != report:
                yield (
                    f"{member.participant}: expected the report {report[:16]}… that it was "
                    f"permitted by, got {member.report[:16]}…"
                )

    def _disagreements(self, member: CohortMember) -> Iterator[str]:
        product = self._agreements.get(member.agreement)
        if product != member.product:
            yield (
                f"expected a concluded agreement {member.agreement} about {member.product}, "
                f"got {'none' if product is None else 'one about ' + product}"
            )
        if member.agreement in self._withdrawn:
            at = self._withdrawn[member.agreement]
            yield f"expected a standing consent, it was withdrawn in entry {at}"

    def _accepted(self, read: Read) -> Iterable[Fault]:
        body = read.body
        issued = self._permits.get(body["permit"])
        if issued is None:
            text = f"expected an open permit with digest {body['permit'][:16]}…, got none"
            yield "receipt-permitted", text
            return
        if issued.released is not None:
            text = f"expected receipts before the release in entry {issued.released}"
            yield "receipt-permitted", f"{body['participant']}: {text}, got one after it"
        member = issued.members.get(body["participant"])
        if member is None or member.participant not in self._signers:
            text = "expected an enrolled member of the permit's cohort"
            yield "receipt-in-bounds", f"{body['participant']}: {text}"
            return
        for text in self._out_of_turn(issued, member):
            yield "receipt-in-bounds", f"{member.participant}: {text}"
        issued.answered.setdefault(member.participant, (read.index, body["rows_used"]))

    def _out_of_turn(self, issued: _Issued, member: CohortMember) -> Iterator[str]:
        if member.participant in issued.answered:
            at, _ = issued.answered[member.participant]
            yield f"expected one receipt for {issued.body.id}, entry {at} is one"
        if member.agreement in self._withdrawn:
            at = self._withdrawn[member.agreement]
            yield f"consent was withdrawn in entry {at}, before this use"

    def _released(self, read: Read) -> Iterable[Fault]:
        body = read.body
        issued = self._permits.get(body["permit"])
        permit = issued.body if issued is not None else None
        standing = set()
        if issued is not None:
            standing = {
                name
                for name in issued.answered
                if issued.members[name].agreement not in self._withdrawn
            }
            issued.released = read.index
        yield from self._releases.take(read.index, body, permit, standing)

    def _abandoned(self, read: Read) -> Iterable[Fault]:
        self._settle(read.body["permit_id"])
        return ()

    def _settle(self, permit_id: str) -> None:
        """A permit that is closed or abandoned: no receipt answers it any more."""
        for digest in self._open.pop(permit_id, ()):
            self._permits.pop(digest, None)

    def _closed(self, read: Read) -> Iterable[Fault]:
        body = read.body
        before = self._last_close.get(body["run"])
        self._last_close[body["run"]] = read.index
        issued = self._permits.get(body["permit"])
        if issued is not None:
            self._settle(issued.body.id)
        if not read.own:
            return
        if body["previous"] != before:
            text = f"expected the previous close in entry {before}, got {body['previous']}"
            yield "close-chained", f"{body['run']}: {text}"
        yield from _undone(issued, body)
        answered = issued.answered if issued is not None else {}
        for item in body["accepted"]:
            found = answered.get(item["participant"])
            if found is None:
                text = "expected an accepted receipt for what is aggregated, got none"
                yield "close-answers", f"{item['participant']}: {text}"
            elif found[1] != item["rows"]:
                text = f"expected the {found[1]} rows of its accepted receipt, got {item['rows']}"
                yield "close-answers", f"{item['participant']}: {text}"


_LOOKS: Final[Mapping[str, Callable[[Rules, Read], Iterable[Fault]]]] = MappingProxyType(
    {
        "ParticipantEnrolled": Rules._enrolled,
        "AgreementConcluded": Rules._concluded,
        "ConsentWithdrawn": Rules._consent_ended,
        "RunOpened": Rules._opened,
        "VoucherIssued": Rules._issued,
        "RoundDecided": Rules._decided,
        "PermitIssued": Rules._permitted,
        "ReceiptAccepted": Rules._accepted,
        "MasksReleased": Rules._released,
        "RoundAbandoned": Rules._abandoned,
        "RoundClosed": Rules._closed,
    }
)


def _undone(issued: _Issued | None, body: dict[str, Any]) -> Iterator[Fault]:
    """What is owed after a round with a result, and not declared in its close."""
    if issued is None or not body["quorum_met"]:
        return
    taking_part = {item["participant"] for item in body["accepted"]}
    owed = unfulfilled(
        issued.body, taking_part, body["duties"], metrics=body["metrics"], model=body["model"]
    )
    for text in owed:
        yield "close-duties", f"{issued.body.id}: expected it declared: {text}"
