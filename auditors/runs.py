"""What the log has said so far of runs: how far each is, its open permit, and its transfers.

transfer-chained    a transfer's step names the one before it, so that none was left out
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditors.ledgerbook import Link, RunBook
from policies.canonical import digest_of
from policies.derived import NOTHING_DERIVED
from policies.permit import PermitBody
from policies.refusals import HELD, PASSED_OVER, held_reason
from policies.results import Reason
from policies.statements import RunSpec
from policies.sumterms import layout_of

Body = Mapping[str, Any]


@dataclass(slots=True)
class Transfer:
    """A transfer process, by its last step."""

    agreement: str
    run: str | None
    state: str
    by: str
    code: str
    reason: str
    entry: int
    number: int


@dataclass(slots=True)
class Open:
    """A permit that is neither closed nor abandoned.

    Attributes:
        accepted: what a close says of each accepted receipt, in the log's order.
        last: the code and text of each member's last refused reply.
        agreements: by participant; derived.
        released: whose masks were released; None before that.
    """

    body: PermitBody
    accepted: list[Body] = field(default_factory=list)
    last: dict[str, tuple[str, str]] = field(default_factory=dict)
    released: frozenset[str] | None = None
    agreements: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.agreements = {one.participant: one.agreement for one in self.body.cohort}

    @property
    def masked(self) -> bool:
        """Whether no sum is known before a release."""
        return self.body.secure_sum is not None

    @property
    def in_result(self) -> list[Body]:
        """The accepted receipts whose updates the round's result may hold."""
        if self.released is None:
            return self.accepted
        return [one for one in self.accepted if one["participant"] in self.released]


@dataclass(slots=True)
class Run:
    """A run as far as it went.

    Attributes:
        entry: log index of `RunOpened`.
        config: digest of its fused configuration.
        asked: kind, round and attempt that were decided last.
        architecture, floats: of the model, as its first permit says; "" before that, and None
            where it has no secure sum.
        model, derived, last_close: as the last close says; "" and None before it.
        evaluated: whether its evaluation round is closed.
        transfers: ids of the transfer processes that it is or was.
    """

    id: str
    entry: int
    consumer: str
    spec: RunSpec
    config: str
    state: str = "OPEN"
    asked: tuple[str, int, int] = ("", 0, 0)
    architecture: str = ""
    floats: int | None = None
    closed_rounds: int = 0
    model: str = ""
    derived: Mapping[str, Any] = field(default_factory=lambda: NOTHING_DERIVED)
    last_close: int | None = None
    evaluated: bool = False
    permit: Open | None = None
    transfers: list[str] = field(default_factory=list)

    @property
    def next_round(self) -> tuple[str, int]:
        """Kind and number of the round that is to be decided next."""
        train = self.closed_rounds < self.spec.rounds
        return "train" if train else "evaluate", self.closed_rounds + 1

    def attempt(self, kind: str, round_: int) -> int:
        """The number of the next attempt at a round."""
        return self.asked[2] + 1 if self.asked[:2] == (kind, round_) else 1


@dataclass(slots=True)
class Course:
    """What is told of a run in the end, also when it is completed; see `RunBook`."""

    run: Run
    decisions: int = 0
    permits: int = 0
    receipts: int = 0
    refused: int = 0
    abandoned: int = 0
    chain: list[Link] = field(default_factory=list)

    def book(self) -> RunBook:
        """As it stands now."""
        run, spec = self.run, self.run.spec
        return RunBook(
            run=run.id,
            consumer=run.consumer,
            purpose=spec.purpose,
            app=spec.app,
            agreements=tuple(spec.agreements),
            entry=run.entry,
            state=run.state,
            planned=spec.rounds,
            rounds=run.closed_rounds,
            decisions=self.decisions,
            permits=self.permits,
            receipts=self.receipts,
            refused=self.refused,
            abandoned=self.abandoned,
            chain=tuple(self.chain),
        )


class Runs:
    """How far each run is.

    Attributes:
        known: all that have not completed, which nothing follows upon.
        courses: of all.
    """

    def __init__(self) -> None:
        self.known: dict[str, Run] = {}
        self.courses: dict[str, Course] = {}
        self.last_decided: str | None = None
        self._transfers: dict[str, Transfer] = {}

    def held(self, run: Run) -> dict[str, Reason]:
        """By agreement, why a run's transfer stops its use."""
        found = [(id, self._transfers[id]) for id in run.transfers]
        found = [
            (id, one)
            for id, one in found
            if one.run == run.id and one.state in HELD and one.code not in PASSED_OVER
        ]
        return {
            one.agreement: held_reason(
                id=id, by=one.by, state=one.state, entry=one.entry, reason=one.reason
            )
            for id, one in sorted(found, key=lambda item: item[1].entry)
        }

    # -- entries ---------------------------------------------------------------------------------

    def opened(self, index: int, body: Body) -> None:
        """`RunOpened`."""
        spec, config = RunSpec.from_json(body["spec"]), digest_of(body["config"])
        run = Run(body["run"], index, body["consumer"], spec, config)
        self.known[run.id] = run
        self.courses[run.id] = Course(run)

    def decided(self, run: Run, time: str, body: Body) -> None:
        """`RoundDecided`."""
        run.asked = (body["kind"], body["round"], body["attempt"])
        self.courses[run.id].decisions += 1
        self.last_decided = max(time, self.last_decided or time)

    def permitted(self, run: Run, permit: PermitBody) -> None:
        """`PermitIssued`."""
        run.permit = Open(permit)
        self.courses[run.id].permits += 1
        if not run.architecture:
            run.architecture = permit.architecture
            run.floats = layout_of(permit).floats if permit.secure_sum is not None else None

    def accepted(self, run: Run, body: Body) -> None:
        """`ReceiptAccepted` that answers the run's open permit."""
        assert run.permit is not None
        self.courses[run.id].receipts += 1
        run.permit.accepted.append(
            {
                "participant": body["participant"],
                "product": body["product"],
                "rows": body["rows_used"],
                "receipt": body["receipt"],
            }
        )

    def released(self, run: Run, body: Body) -> None:
        """`MasksReleased`."""
        if run.permit is not None and run.permit.body.id == body["permit_id"]:
            run.permit.released = frozenset(one for group in body["groups"] for one in group)

    def refused(self, run: Run, body: Body) -> None:
        """`ReceiptRefused`."""
        self.courses[run.id].refused += 1
        if run.permit is not None and run.permit.body.id == body["permit_id"]:
            run.permit.last[body["participant"]] = (body["code"], body["text"])

    def closed(self, run: Run, index: int, body: Body) -> None:
        """`RoundClosed`."""
        run.last_close, run.derived, run.permit = index, body["derived"], None
        if body["kind"] == "train":
            run.closed_rounds, run.model = body["round"], body["model"]
        else:
            run.evaluated = True
        self.courses[run.id].chain.append(
            Link(
                entry=index,
                kind=body["kind"],
                round=body["round"],
                model=body["model"],
                result=body["quorum_met"],
                accepted=len(body["accepted"]),
            )
        )

    def abandoned(self, run: Run) -> None:
        """`RoundAbandoned`."""
        run.permit = None
        self.courses[run.id].abandoned += 1

    def ended(self, run: Run, body: Body) -> None:
        """`RunEnded`; one that is completed is forgotten."""
        run.state = body["state"]
        if run.state == "COMPLETED":
            del self.known[run.id]
            for id in run.transfers:
                self._transfers.pop(id, None)

    def check_transfer(self, body: Body) -> Iterator[tuple[str, str]]:
        """Whether `TransferStep` goes on from the transfer's step before it."""
        before = self._transfers.get(body["transfer"])
        if before is None:
            return  # the first, or of a run that is completed
        expected, got = (before.state, before.number + 1), (body["before"], body["number"])
        if expected != got:
            text = f"expected step {expected[1]} from {expected[0]}, got {got[1]} from {got[0]}"
            yield "transfer-chained", f"{body['transfer']}: {text}"

    def transfer(self, index: int, body: Body) -> None:
        """`TransferStep`."""
        before = self._transfers.get(body["transfer"])
        if before is None and body["before"] is not None:
            return  # of a run that is completed
        carrier = body["run"] if body["run"] is not None else before.run if before else None
        self._transfers[body["transfer"]] = Transfer(
            agreement=body["agreement"],
            run=carrier,
            state=body["state"],
            by=body["by"],
            code=body["code"],
            reason=body["reason"],
            entry=index,
            number=body["number"],
        )
        run = self.known.get(carrier) if carrier is not None else None
        if run is not None and body["transfer"] not in run.transfers:
            run.transfers.append(body["transfer"])
