"""Figures over time and over rounds, for plots: of bounded length however long the log is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from policies.fields import instant, parse_instant

MAX_POINTS: Final = 96
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


@dataclass(slots=True)
class Timeline:
    """How many uses each participant had, in slices of time that grow as the log does.

    Attributes:
        start_ms: of the first slice, since 1970; None before the first use.
        width_ms: of each slice; doubles whenever there would be more than `MAX_POINTS`.
        slices: uses in each slice, by participant.
    """

    start_ms: int | None = None
    width_ms: int = 1
    slices: dict[int, dict[str, int]] = field(default_factory=dict)

    def add(self, time: str, participant: str) -> None:
        """One use more. A clock that went backwards counts as standing at the first use."""
        moment = (parse_instant(time) - _EPOCH) // _MS
        if self.start_ms is None:
            self.start_ms = moment
        place = max(moment - self.start_ms, 0) // self.width_ms
        while place >= MAX_POINTS:
            self._double()
            place //= 2
        counts = self.slices.setdefault(place, {})
        counts[participant] = counts.get(participant, 0) + 1

    def _double(self) -> None:
        self.width_ms *= 2
        merged: dict[int, dict[str, int]] = {}
        for place, counts in self.slices.items():
            into = merged.setdefault(place // 2, {})
            for participant, uses in counts.items():
                into[participant] = into.get(participant, 0) + uses
        self.slices = merged

    def ends(self) -> list[str]:
        """When each slice ends, from the first to the last with a use."""
        if self.start_ms is None:
            return []
        last = max(self.slices)
        return [
            instant(_EPOCH + (self.start_ms + (n + 1) * self.width_ms) * _MS)
            for n in range(last + 1)
        ]

    def cumulative(self, participant: str) -> list[int]:
        """Uses until the end of each slice."""
        total, found = 0, []
        for place in range(max(self.slices, default=-1) + 1):
            total += self.slices.get(place, {}).get(participant, 0)
            found.append(total)
        return found


@dataclass(slots=True)
class Bar:
    """Some decisions in a row: how many verdicts permitted, and how many refused.

    Attributes:
        first, last: labels of the first and the last round in it.
        rounds: decisions in it.
    """

    first: str
    last: str
    rounds: int
    permitted: int
    refused: int


@dataclass(slots=True)
class Bars:
    """A bar for each decision, in the log's order; neighbours are joined where there are many."""

    bars: list[Bar] = field(default_factory=list)
    joined: int = 1

    def add(self, label: str, permitted: int, refused: int) -> None:
        """One decision more."""
        if self.bars and self.bars[-1].rounds < self.joined:
            last = self.bars[-1]
            last.last, last.rounds = label, last.rounds + 1
            last.permitted += permitted
            last.refused += refused
            return
        if len(self.bars) == MAX_POINTS:
            self._join()
        self.bars.append(Bar(label, label, 1, permitted, refused))

    def _join(self) -> None:
        self.joined *= 2
        pairs = zip(self.bars[::2], self.bars[1::2], strict=True)
        self.bars = [
            Bar(
                a.first,
                b.last,
                a.rounds + b.rounds,
                a.permitted + b.permitted,
                a.refused + b.refused,
            )
            for a, b in pairs
        ]
