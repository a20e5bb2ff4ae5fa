"""What happened to data, read from a log's entries: decisions, uses, and uses nobody signed for.

Each event puts together what several entries say: a receipt with the permit that it answers, a
verdict with its run. Judges nothing: `auditors.wholelog` says what breaks a rule. Memory grows with
runs, agreements and open permits, never with the entries.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from policies.entries import Entry

Body = Mapping[str, Any]
UNANSWERED: Final = ("no-reply", "no receipt of this node reached governance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Which round of which run an event belongs to."""

    run: str
    consumer: str
    purpose: str
    app: str
    round: int
    kind: str
    attempt: int

    def same(self, other: Round) -> bool:
        """Whether both are of one round, whatever the attempt."""
        return (self.run, self.kind, self.round) == (other.run, other.kind, other.round)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose data, under which agreement ("" where the log names none)."""

    participant: str
    product: str
    agreement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided for one product in one round."""

    entry: int
    time: str
    round: Round
    whose: Whose
    permitted: bool
    reasons: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """One member of a permit's cohort, with what is set aside for its use.

    Attributes:
        epsilon: of the product by then, this use included, at `delta`; "" where nothing bounds it.
    """

    entry: int
    time: str
    permit: str
    round: Round
    whose: Whose
    max_rows: int
    metered_s: int
    epsilon: str
    delta: str
    pays: str
    voucher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A use that the owner's node signed for.

    Attributes:
        without_consent: rows that the node left out for want of their subjects' consent; this and
            started, finished, environment are as its receipt says; None and "" where that cannot
            be read.
    """

    entry: int
    time: str
    permitted: Permitted
    rows: int
    held_back: int
    without_consent: int | None
    metered_s: int
    started: str
    finished: str
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A permit that no accepted receipt answers: it counts as used, since it may have been.

    Attributes:
        entry: the close or the abandonment that settled it; None where the log ends before.
        how: what settled it.
    """

    entry: int | None
    time: str
    permitted: Permitted
    code: str
    text: str
    how: Literal["closed", "abandoned", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A permit that is closed, or was abandoned."""

    entry: int
    time: str
    permit: str
    round: Round
    closed: bool
    result: bool
    accepted: int
    text: str


Event = Decided | Permitted | Used | Missing | Settled


@dataclass(slots=True)
class _Run:
    consumer: str
    purpose: str
    app: str
    agreements: list[str]
    by_product: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A permit that is not settled."""

    round: Round
    members: dict[tuple[str, str], Permitted]
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)


class Events:
    """Reads entries in the log's order."""

    def __init__(self) -> None:
        self._products: dict[str, str] = {}
        self._runs: dict[str, _Run] = {}
        self._open: dict[str, _Open] = {}

    def take(self, index: int, entry: Entry) -> Iterator[Event]:
        """What one entry says happened; nothing for most types.

        Raises:
            lines.MALFORMED: a body in another form than governance writes.
        """
        body: Body = entry.body
        if entry.type == "AgreementConcluded":
            self._products[body["agreement"]] = body["product"]
        elif entry.type == "RunOpened":
            spec = body["spec"]
            self._runs[body["run"]] = _Run(
                body["consumer"], spec["purpose"], spec["app"], list(spec["agreements"])
            )
        elif entry.type == "RoundDecided":
            yield from self._decided(index, entry)
        elif entry.type == "PermitIssued":
            yield from self._permitted(index, entry)
        elif entry.type == "ReceiptAccepted":
            yield from self._used(index, entry)
        elif entry.type == "ReceiptRefused":
            open_ = self._open.get(body["permit_id"])
            if open_ is not None:
                open_.refused[body["participant"]] = (body["code"], body["text"])
        elif entry.type in ("RoundClosed", "RoundAbandoned"):
            yield from self._settled(index, entry)

    def end(self, time: str) -> Iterator[Missing]:
        """The log ends here: permits that nothing settled yet."""
        for open_ in self._open.values():
            yield from _missing(open_, None, time, "open", {})

    def _decided(self, index: int, entry: Entry) -> Iterator[Decided]:
        body: Body = entry.body
        run = self._runs.get(body["run"]) or _Run("", "", "", [])
        round_ = _round(body, run.consumer, run.purpose, run.app)
        for verdict in body["decision"]["verdicts"]:
            yield Decided(
                entry=index,
                time=entry.time,
                round=round_,
                whose=Whose(
                    participant=verdict["participant"],
                    product=verdict["product"],
                    agreement=self._agreement(run, verdict["product"]),
                ),
                permitted=verdict["permitted"] is True,
                reasons=tuple((one["code"], one["text"]) for one in verdict["reasons"]),
            )

    def _agreement(self, run: _Run, product: str) -> str:
        """Under which of its run's agreements a product is asked for."""
        if not run.by_product:
            run.by_product = {self._products.get(one, ""): one for one in run.agreements}
        return run.by_product.get(product, "")

    def _permitted(self, index: int, entry: Entry) -> Iterator[Permitted]:
        body: Body = entry.body
        round_ = _round(body, body["consumer"], body["purpose"], body["app"])
        open_ = _Open(round_, {})
        for member in body["cohort"]:
            one = Permitted(
                entry=index,
                time=entry.time,
                permit=body["id"],
                round=round_,
                whose=Whose(
                    participant=member["participant"],
                    product=member["product"],
                    agreement=member["agreement"],
                ),
                max_rows=member["max_rows"],
                metered_s=member["metered_s"],
                epsilon=member["epsilon"],
                delta=body["privacy"]["delta"] if body["privacy"] is not None else "",
                pays=member["pays"],
                voucher=body["voucher"],
            )
            open_.members[member["participant"], member["product"]] = one
            yield one
        self._open[body["id"]] = open_

    def _used(self, index: int, entry: Entry) -> Iterator[Used]:
        body: Body = entry.body
        open_ = self._open.get(body["permit_id"])
        place = body["participant"], body["product"]
        member = open_.members.pop(place, None) if open_ else None
        if member is None:
            return  # named by the rules: no open permit, or a second receipt
        signed = _signed(body["envelope"])
        yield Used(
            entry=index,
            time=entry.time,
            permitted=member,
            rows=body["rows_used"],
            held_back=body["rows_held_back"],
            without_consent=without_consent(signed),
            metered_s=body["metered_s"],
            started=str(signed.get("started", "")),
            finished=str(signed.get("finished", "")),
            environment=_environment(signed.get("confinement")),
        )

    def _settled(self, index: int, entry: Entry) -> Iterator[Event]:
        body: Body = entry.body
        open_ = self._open.pop(body["permit_id"], None)
        if open_ is None:
            return  # named by the rules
        closed = entry.type == "RoundClosed"
        left = {one["participant"]: one for one in body["left_out"]} if closed else {}
        how: Literal["closed", "abandoned"] = "closed" if closed else "abandoned"
        why = UNANSWERED if closed else ("abandoned", str(body.get("reason", "")))
        yield from _missing(open_, index, entry.time, how, left, why)
        yield Settled(
            entry=index,
            time=entry.time,
            permit=body["permit_id"],
            round=open_.round,
            closed=closed,
            result=closed and body["quorum_met"] is True,
            accepted=len(body["accepted"]) if closed else 0,
            text="" if closed else str(body.get("reason", "")),
        )


def _round(body: Body, consumer: str, purpose: str, app: str) -> Round:
    return Round(
        run=body["run"],
        consumer=consumer,
        purpose=purpose,
        app=app,
        round=body["round"],
        kind=body["kind"],
        attempt=body["attempt"],
    )


def _missing(
    open_: _Open,
    index: int | None,
    time: str,
    how: Literal["closed", "abandoned", "open"],
    left: Mapping[str, Body],
    why: tuple[str, str] = UNANSWERED,
) -> Iterator[Missing]:
    for (participant, _), member in open_.members.items():
        code, text = open_.refused.get(participant, why)
        if participant in left:
            code, text = left[participant]["code"], left[participant]["text"]
        yield Missing(entry=index, time=time, permitted=member, code=code, text=text, how=how)


def _signed(envelope: str) -> Body:
    """What a receipt says; that its owner signed it is for `auditors.rules` to check."""
    try:
        outer = orjson.loads(base64.b64decode(envelope))
        found = orjson.loads(base64.b64decode(outer["payload"]))
    except (ValueError, TypeError, KeyError):
        return {}
    return found if isinstance(found, dict) else {}


def without_consent(receipt: Body) -> int | None:
    """Rows that a receipt says were left out; None where it does not say."""
    found = receipt.get("rows_without_consent")
    return found if type(found) is int and found >= 0 else None


def _environment(confinement: object) -> str:
    """What held the sandbox, in words of the receipt; "" where it does not say."""
    if not isinstance(confinement, dict):
        return ""
    return ", ".join(f"{name}: {_word(confinement[name])}" for name in sorted(confinement))


def _word(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, "") if isinstance(value, bool) else str(value)
