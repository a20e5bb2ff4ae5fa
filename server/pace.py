"""When the round loop looks for replies, and where a round's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from server.exchange import Reply

_SLEEP_THROUGH: Final = 0.5  # more feeds back: who looks late learns to look later
_FINENESS: Final = 0.05


@dataclass(frozen=True, slots=True)
class RoundTiming:
    """Seconds of wall time that a round spent in each part.

    Attributes:
        governance: in calls to governance (steps 2 to 4, 9 and 10), the network included.
        exchange: from sending the model until the last reply or the deadline (steps 5 to 8).
    """

    total: float
    governance: float
    exchange: float


class Lap:
    """Adds up the seconds spent inside `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._began


class Watch:
    """Where a round's time goes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.governance = Lap()
        self.exchange = Lap()

    def read(self) -> RoundTiming:
        """The round until now."""
        return RoundTiming(
            total=time.monotonic() - self._began,
            governance=self.governance.seconds,
            exchange=self.exchange.seconds,
        )


class Pace:
    """When to look for replies, learnt from the round before: every look costs the SuperLink."""

    def __init__(self, poll_s: float) -> None:
        self._least_s = poll_s
        self.poll_s = poll_s
        self.first_look_s = 0.0

    def learn(self, replies: Iterable[Reply]) -> None:
        """Take in when this round's replies came."""
        came = [reply.after_s for reply in replies if reply.receipt]
        if came:
            self.first_look_s = _SLEEP_THROUGH * min(came)
            self.poll_s = max(self._least_s, _FINENESS * max(came))
