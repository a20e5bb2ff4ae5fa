"""A run as its page shows it: each enterprise a lane, each round a place on it. Without I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from policies.fields import parse_instant
from server.console.places import UNDER_WAY, Outcome, Place, places_of, terms_of
from server.console.privacy import Loss, loss
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
    def values(self) -> dict[str, tuple[RoundCard, float]]:
        """The newest value of each of these figures, with its round."""
        newest = {
            name: (card, value) for card in self.rounds for name, value in card.figures.items()
        }
        return {name: newest[name] for name in self.figures}

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    @property
    def late(self) -> bool:
        """Whether the newest round's permit has ended and the round is still open."""
        return bool(self.rounds) and not self.ended and self.rounds[-1].count("overdue") > 0


@dataclass(frozen=True, slots=True)
class Told:
    """One attempt, told.

    Attributes:
        until: when its open permit ends; None where that tells nothing any more.
        decided, closed: moments as they are logged.
        permitted: whether it has a permit.
        over: whether nothing about it will change.
    """

    card: RoundCard
    places: Mapping[tuple[str, str], Place]
    until: datetime | None
    decided: str
    closed: str | None
    permitted: bool
    over: bool


def tell(
    row: RoundRow,
    receipts: Sequence[ReceiptRow],
    opened: Released | None,
    *,
    spent: str | None,
    now: datetime,
) -> Told:
    """One attempt.

    Args:
        receipts: under its permit.
        opened: the release of its masks.
        spent: ε of the run with this attempt's permit.
    """
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
        spent=spent,
    )
    coming = terms.expires is not None and terms.expires > now
    return Told(
        card=card,
        places=places,
        until=terms.expires if coming else None,
        decided=row.decided,
        closed=row.closed,
        permitted=bool(row.permit_id),
        over=row.state != "AUTHORIZED",
    )


def picture(run: RunRow, told: Sequence[Told]) -> RunPicture:
    """The run's picture.

    Args:
        run: its reason as the reader may see it.
        told: its attempts, oldest first.
    """
    spec = json.loads(run.spec)
    by_round = {(one.card.kind, one.card.number): one for one in told}
    latest = [*by_round.values()]
    rounds = tuple(one.card for one in latest)
    shown = [one.places for one in latest[-SHOWN_ROUNDS:]]
    who = sorted({key for places in shown for key in places})
    closed = [one.closed for one in latest if one.card.state == "CLOSED" and one.closed]
    made = RunPicture(
        run=run.id,
        state=run.state,
        reason=run.reason,
        rounds=rounds,
        shown=rounds[-SHOWN_ROUNDS:],
        lanes=tuple(Lane(*key, tuple(places.get(key) for places in shown)) for key in who),
        whys=tuple(_whys(latest)),
        done=len(closed),
        all_rounds=int(spec["rounds"]) + 1,
        left_s=None,
        loss=loss(spec, sum(1 for one in told if one.permitted)),
        size_bytes=_sum(one.card.size_bytes for one in told),
        newest=max((one.closed or one.decided for one in told), default=""),
        until=told[-1].until if told else None,
    )
    if made.ended or made.late or not closed:
        return made
    marks = [told[0].decided, *closed] if len(closed) == 1 else closed[-PACE_OF - 1 :]
    pace = (_seconds(marks[0], marks[-1]) or 0.0) / (len(marks) - 1)
    return replace(made, left_s=pace * max(0, made.all_rounds - made.done))


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [one for one in sizes if one is not None]
    return sum(known) if known else None


def _whys(told: Sequence[Told]) -> Iterable[Why]:
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


def _seconds(start: str, end: str | None) -> float | None:
    if end is None:
        return None
    began: datetime = parse_instant(start)
    return (parse_instant(end) - began).total_seconds()
