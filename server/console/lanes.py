"""A run as its page shows it: each enterprise a lane, each round a place on it. Without I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from policies.fields import parse_instant
from server.console.places import UNDER_WAY, Outcome, Place, places_of, terms_of
from server.console.privacy import Loss, loss, spent_after
from server.released import Released
from server.rows import ENDED, ReceiptRow, RoundRow, RunRow

SHOWN_ROUNDS: Final = 8
MAX_FIGURES: Final = 6
PACE_OF: Final = 5
"""Closes that the pace is taken from: the last of them, since rounds change in length."""


@dataclass(frozen=True, slots=True)
class RoundCard:
    """One round, by its latest attempt.

    Attributes:
        seconds: from decision to close, None while it is open.
        size_bytes: masked updates received in it; None where updates are not masked.
        spent: ε of the run until here as decimal text; "" without a bound, None without privacy.
    """

    number: int
    kind: str
    attempt: int
    state: str
    quorum_met: bool | None
    figures: Mapping[str, float]
    counts: Mapping[Outcome, int]
    seconds: float | None
    size_bytes: int | None = None
    spent: str | None = None

    @property
    def evaluation(self) -> bool:
        """Whether it is the evaluation after the last training round."""
        return self.kind == "evaluate"

    def count(self, *outcomes: Outcome) -> int:
        """How many places have one of these outcomes."""
        return sum(self.counts.get(one, 0) for one in outcomes)

    @property
    def under_way(self) -> int:
        """How many were permitted and have not replied."""
        return self.count(*UNDER_WAY)


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
        size_bytes: masked updates received in all attempts; None where updates are not masked.
        newest: when the last decision or close was; "" before the first.
        until: when an open permit ends, so that this picture is no longer true; None for never.
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
    size_bytes: int | None
    newest: str
    until: datetime | None

    @property
    def figures(self) -> list[str]:
        """Names of the figures of any round, at most `MAX_FIGURES`."""
        return sorted({name for card in self.rounds for name in card.figures})[:MAX_FIGURES]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    @property
    def late(self) -> bool:
        """Whether the newest round's permit has ended and the round is still open."""
        return bool(self.rounds) and not self.ended and self.rounds[-1].count("overdue") > 0


@dataclass(frozen=True, slots=True)
class _Told:
    card: RoundCard
    places: Mapping[tuple[str, str], Place]
    until: datetime | None


def picture(
    run: RunRow,
    attempts: Sequence[RoundRow],
    receipts: Sequence[ReceiptRow],
    opened: Mapping[str, Released],
    *,
    now: datetime,
) -> RunPicture:
    """The run's picture.

    Args:
        run: its reason as the reader may see it.
        attempts: oldest first.
        receipts: under these attempts' permits.
        opened: the releases of their masks, by permit id.
    """
    by_permit: dict[str, list[ReceiptRow]] = {}
    for receipt in receipts:
        by_permit.setdefault(receipt.permit_id, []).append(receipt)
    spec = json.loads(run.spec)
    spent = spent_after(spec)
    told: dict[tuple[str, int], _Told] = {}
    permits, sizes = 0, []
    for row in attempts:
        id = row.permit_id or ""
        permits += bool(id)
        one = _tell(row, by_permit.get(id, []), opened.get(id), permits, spent=spent, now=now)
        told[row.kind, row.round] = one
        sizes.append(one.card.size_bytes)
    latest = {(row.kind, row.round): row for row in attempts}
    rounds = tuple(one.card for one in told.values())
    shown = [one.places for one in [*told.values()][-SHOWN_ROUNDS:]]
    who = sorted({key for places in shown for key in places})
    closed = [row for row in latest.values() if row.state == "CLOSED"]
    all_rounds = int(spec["rounds"]) + 1
    made = RunPicture(
        run=run.id,
        state=run.state,
        reason=run.reason,
        rounds=rounds,
        shown=rounds[-SHOWN_ROUNDS:],
        lanes=tuple(Lane(*key, tuple(places.get(key) for places in shown)) for key in who),
        whys=tuple(_whys([*told.values()])),
        done=len(closed),
        all_rounds=all_rounds,
        left_s=None,
        loss=loss(spec, permits),
        size_bytes=_sum(sizes),
        newest=max((row.closed or row.decided for row in attempts), default=""),
        until=next((one.until for one in reversed(told.values()) if one.until), None),
    )
    return made if made.ended or made.late else _with_time_left(made, attempts, closed)


def _tell(
    row: RoundRow,
    receipts: Sequence[ReceiptRow],
    opened: Released | None,
    permits: int,
    *,
    spent: Callable[[int], str | None],
    now: datetime,
) -> _Told:
    """One attempt; `permits` are those of the run until this one."""
    terms = terms_of(row)
    places = places_of(row, receipts, opened, expires=terms.expires, now=now)
    close: dict[str, Any] = json.loads(row.close) if row.close else {}
    counts: dict[Outcome, int] = {}
    for place in places.values():
        counts[place.outcome] = counts.get(place.outcome, 0) + 1
    arrived = sum(1 for one in receipts if one.accepted)
    card = RoundCard(
        number=row.round,
        kind=row.kind,
        attempt=row.attempt,
        state=row.state,
        quorum_met=close.get("quorum_met"),
        figures={name: float(value) for name, value in close.get("metrics", {}).items()},
        counts=counts,
        seconds=_seconds(row.decided, row.closed),
        size_bytes=None if terms.vector_bytes is None else arrived * terms.vector_bytes,
        spent=spent(permits),
    )
    coming = terms.expires is not None and terms.expires > now
    return _Told(card, places, terms.expires if coming else None)


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [one for one in sizes if one is not None]
    return sum(known) if known else None


def _whys(told: Sequence[_Told]) -> Iterable[Why]:
    """The last reason of each who is out of the newest round, and since when it holds."""
    if not told:
        return
    for key, place in sorted(told[-1].places.items(), key=lambda item: item[0]):
        if not place.code:
            continue
        since = told[-1].card
        for one in reversed(told):
            before = one.places.get(key)
            if before is None or before.code != place.code:
                break
            since = one.card
        yield Why(key[0], since, place)


def _with_time_left(
    made: RunPicture, attempts: Sequence[RoundRow], closed: Sequence[RoundRow]
) -> RunPicture:
    """With the time to go at the pace of the last closes, the first round's from its asking."""
    ends = [row.closed for row in closed if row.closed]
    if not ends:
        return made
    marks = [attempts[0].decided, *ends] if len(ends) == 1 else ends
    marks = marks[-PACE_OF - 1 :]
    span = _seconds(marks[0], marks[-1]) or 0.0
    left = span / (len(marks) - 1) * max(0, made.all_rounds - made.done)
    return replace(made, left_s=left)


def _seconds(start: str, end: str | None) -> float | None:
    if end is None:
        return None
    began: datetime = parse_instant(start)
    return (parse_instant(end) - began).total_seconds()
