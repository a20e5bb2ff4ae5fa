"""Waiting for something that is away: how long between two tries, and what its owner is told.

A pause doubles from try to try up to a cap, and half of it is drawn at random, so that the nodes of
a space that was away do not all come back in the same moment. The owner reads a line when something
is lost, when the reason becomes another, and when it is back; the tries between are not told.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 10.0


class Backoff:
    """Pauses between tries, seconds.

    Args:
        first_s: the first pause at most.
        cap_s: no pause is longer.
        draw: a number from 0 to 1; a pause is between half and all of what is due.
    """

    def __init__(
        self,
        *,
        first_s: float = FIRST_PAUSE_S,
        cap_s: float = MAX_PAUSE_S,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._draw = draw
        self._due_s = first_s

    def next(self) -> float:
        """How long to wait before the next try."""
        due_s = min(self._due_s, self._cap_s)
        self._due_s = 2 * due_s
        return due_s * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """A try succeeded: the next pause is the first again."""
        self._due_s = self._first_s


class Presence:
    """Whether something that is needed is there, told at each change. Used by one thread.

    Args:
        what: its name in a sentence, such as `the SuperLink`.
        tell: where the lines go.
        clock: seconds, monotonic.
    """

    def __init__(
        self, what: str, tell: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._tell = tell
        self._clock = clock
        self._since: float | None = None
        self._why = ""

    @property
    def away(self) -> bool:
        """Whether the last that was heard is that it is away."""
        return self._since is not None

    def lost(self, why: str) -> None:
        """A try failed."""
        if self._since is None:
            self._since = self._clock()
            self._tell(f"waiting for {self._what}: {why}")
        elif why != self._why:
            self._tell(f"still waiting for {self._what}: {why}")
        self._why = why

    def back(self) -> None:
        """A try succeeded."""
        if self._since is not None:
            waited_s = self._clock() - self._since
            self._since, self._why = None, ""
            self._tell(f"{self._what} is there again after {waited_s:.0f} s")
