"""Whether a running node can work: who answered it last, whether its sandbox lives. No secrets.

Ready means that a task could be served now: SuperLink and governance answered the last call to them
and not too long ago, and the sandbox's process is there. A node that is not ready is alive
all the same, and refuses what it cannot do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from clients.observing import TaskEnd, TaskFacts
from policies.canonical import Json
from policies.fields import instant

FRESH: Final = timedelta(seconds=45)
"""A contact older than this is none: the node asks each side at least every ten seconds."""


class Contact:
    """When another side last answered. Safe to share between threads.

    Args:
        clock: aware UTC now.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._turn = threading.Lock()
        self._last: datetime | None = None
        self._failed = False

    def answered(self) -> None:
        """It did, whatever it said."""
        now = self._clock()
        with self._turn:
            self._last, self._failed = now, False

    def failed(self) -> None:
        """It did not, or cannot be asked."""
        with self._turn:
            self._failed = True

    def told(self) -> Told:
        """How it stands now."""
        now = self._clock()
        with self._turn:
            fresh = self._last is not None and now - self._last <= FRESH
            return Told(connected=fresh and not self._failed, last=self._last)


@dataclass(frozen=True, slots=True)
class Told:
    """Attributes:
    connected: it answered the last call, and not too long ago.
    last: when it answered last; None if it never did.
    """

    connected: bool
    last: datetime | None

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        last = None if self.last is None else instant(self.last)
        return {"connected": self.connected, "last_contact": last}


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` tells.

    Attributes:
        sandbox: whether its process is there.
        tasks: how many are in work.
    """

    superlink: Told
    governance: Told
    sandbox: bool
    tasks: int

    @property
    def ready(self) -> bool:
        """Whether a task could be served now."""
        return self.superlink.connected and self.governance.connected and self.sandbox

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        return {
            "ready": self.ready,
            "superlink": self.superlink.to_json(),
            "governance": self.governance.to_json(),
            "sandbox": {"alive": self.sandbox},
            "tasks": self.tasks,
        }


class Vitals:
    """How this node stands; an `clients.observing.Observer` that counts tasks, and no more.

    Args:
        sandbox_alive: whether the sandbox's process is there; from any thread.
        clock: aware UTC now.
    """

    def __init__(self, *, sandbox_alive: Callable[[], bool], clock: Callable[[], datetime]) -> None:
        self.superlink = Contact(clock)
        self.governance = Contact(clock)
        self._sandbox_alive = sandbox_alive
        self._turn = threading.Lock()
        self._tasks = 0

    def readiness(self) -> Readiness:
        """As it is now; from any thread."""
        return Readiness(
            superlink=self.superlink.told(),
            governance=self.governance.told(),
            sandbox=self._sandbox_alive(),
            tasks=self._tasks,
        )

    def begun(self, flower_run: str, trace: str = "") -> None:
        """One more in work."""
        with self._turn:
            self._tasks += 1

    def admitted(self, facts: TaskFacts) -> None:
        """See `clients.observing.Observer`."""

    def step(self, name: str) -> None:
        """See `clients.observing.Observer`."""

    def ended(self, end: TaskEnd) -> None:
        """One less in work."""
        with self._turn:
            self._tasks -= 1
