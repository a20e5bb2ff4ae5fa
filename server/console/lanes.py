"""A run as its page shows it: each enterprise a lane, each round a place on it. Without I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from policies.fields import parse_instant
from server.console.privacy import Loss, loss
from server.rows import ENDED, ReceiptRow, RoundRow, RunRow

SHOWN_ROUNDS: Final = 8
MAX_FIGURES: Final = 6
Outcome = Literal["refused", "at-work", "received", "left-out", "abandoned"]


@dataclass(frozen=True, slots=True)
class Place:
    """What came of one enterprise in one round.

    Attributes:
        code, text: the first reason where it did not take part, in governance's words.
        rows: used, by its receipt.
    """

    outcome: Outcome
    code: str = ""
    text: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class RoundCard:
    """One round, by its latest attempt; `seconds` from decision to close, None while it is open."""

    number: int
    kind: str
    attempt: int
    state: str
    quorum_met: bool | None
    figures: Mapping[str, float]
    counts: Mapping[Outcome, int]
    seconds: float | None

    @property
    def evaluation(self) -> bool:
        """Whether it is the evaluation after the last training round."""
        return self.kind == "evaluate"


@dataclass(frozen=True, slots=True)
class Lane:
    """An enterprise with one product: a place for each shown round, None where it was not asked."""

    participant: str
    product: str
    places: tuple[Place | None, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """A reason, once, with the round from which it holds."""

    participant: str
    since: RoundCard
    place: Place


@dataclass(frozen=True, slots=True)
class RunPicture:
    """All that the live part of the page shows.

    Attributes:
        rounds: oldest first.
        shown: the last of them, which the lanes' places are of.
        done, all_rounds: rounds closed, and rounds in all with the evaluation.
        left_s: seconds to go at the pace so far; None if it cannot be told.
        loss: of privacy; None where the run states none.
    """

    run: str
    state: str
    reason: str
    rounds: tuple[RoundCard, ...]
    shown: tuple[RoundCard, ...]
    lanes: tuple[Lane, ...]
    whys: tuple[Why, ...]
    done: int
    all_rounds: int
    left_s: float | None
    loss: Loss | None

    @property
    def figures(self) -> list[str]:
        """Names of the figures of any round, at most `MAX_FIGURES`."""
        return sorted({name for card in self.rounds for name in card.figures})[:MAX_FIGURES]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


def picture(
    run: RunRow, attempts: Sequence[RoundRow], receipts: Sequence[ReceiptRow]
) -> RunPicture:
    """The run's picture.

    Args:
        run: its reason as the reader may see it.
        attempts: oldest first.
        receipts: under these attempts' permits.
    """
    latest: dict[tuple[str, int], RoundRow] = {}
    for attempt in attempts:
        latest[attempt.kind, attempt.round] = attempt
    by_permit: dict[str, list[ReceiptRow]] = {}
    for receipt in receipts:
        by_permit.setdefault(receipt.permit_id, []).append(receipt)
    told = [(row, _places(row, by_permit.get(row.permit_id or "", []))) for row in latest.values()]
    rounds = tuple(_card(row, places.values()) for row, places in told)
    shown = [places for _, places in told[-SHOWN_ROUNDS:]]
    who = sorted({key for places in shown for key in places})
    spec = json.loads(run.spec)
    closed = [row for row in latest.values() if row.state == "CLOSED"]
    all_rounds = int(spec["rounds"]) + 1
    return RunPicture(
        run=run.id,
        state=run.state,
        reason=run.reason,
        rounds=rounds,
        shown=rounds[-SHOWN_ROUNDS:],
        lanes=tuple(Lane(*key, tuple(places.get(key) for places in shown)) for key in who),
        whys=tuple(_whys([(card, places) for card, (_, places) in zip(rounds, told, strict=True)])),
        done=len(closed),
        all_rounds=all_rounds,
        left_s=None if run.state in ENDED else _left(closed, all_rounds),
        loss=loss(spec, sum(1 for attempt in attempts if attempt.permit_id)),
    )


def _places(row: RoundRow, receipts: Iterable[ReceiptRow]) -> dict[tuple[str, str], Place]:
    found: dict[tuple[str, str], Place] = {}
    for verdict in json.loads(row.verdicts):
        key = verdict["participant"], verdict["product"]
        if verdict["permitted"]:
            found[key] = Place("abandoned" if row.state == "ABANDONED" else "at-work")
        else:
            reason = verdict["reasons"][0]
            found[key] = Place("refused", reason["code"], reason["text"])
    for one in receipts:
        key = one.participant, one.product
        known = found.get(key)
        if one.accepted:
            found[key] = Place("received", rows=one.rows_used)
        elif one.participant and (known is None or known.outcome != "received"):
            found[key] = Place("left-out", one.code, one.text)
    if row.close:
        _close(found, json.loads(row.close))
    return found


def _close(found: dict[tuple[str, str], Place], close: Mapping[str, Any]) -> None:
    """What the close says of those it leaves out, also of whom no receipt tells."""
    for out in close.get("left_out", []):
        key = out["participant"], out["product"]
        if found.get(key, Place("at-work")).outcome in ("at-work", "received"):
            found[key] = Place("left-out", out["code"], out["text"])
    for key, place in found.items():
        if place.outcome == "at-work":
            found[key] = Place("left-out", "no-reply", "no reply came")


def _card(row: RoundRow, places: Iterable[Place]) -> RoundCard:
    close: dict[str, Any] = json.loads(row.close) if row.close else {}
    counts: dict[Outcome, int] = {}
    for place in places:
        counts[place.outcome] = counts.get(place.outcome, 0) + 1
    return RoundCard(
        number=row.round,
        kind=row.kind,
        attempt=row.attempt,
        state=row.state,
        quorum_met=close.get("quorum_met"),
        figures={name: float(value) for name, value in close.get("metrics", {}).items()},
        counts=counts,
        seconds=_seconds(row.decided, row.closed),
    )


def _whys(
    told: Sequence[tuple[RoundCard, Mapping[tuple[str, str], Place]]],
) -> Iterable[Why]:
    """The last reason of each who is out of the newest round, and since when it holds."""
    if not told:
        return
    for key, place in sorted(told[-1][1].items()):
        if not place.code:
            continue
        since = told[-1][0]
        for card, places in reversed(told):
            before = places.get(key)
            if before is None or before.code != place.code:
                break
            since = card
        yield Why(key[0], since, place)


def _left(closed: Sequence[RoundRow], all_rounds: int) -> float | None:
    ends = [row.closed for row in closed if row.closed]
    if len(ends) < 2:
        return None
    span = _seconds(ends[0], ends[-1]) or 0.0
    return span / (len(ends) - 1) * max(0, all_rounds - len(closed))


def _seconds(start: str, end: str | None) -> float | None:
    if end is None:
        return None
    began: datetime = parse_instant(start)
    return (parse_instant(end) - began).total_seconds()
