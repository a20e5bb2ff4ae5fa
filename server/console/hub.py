"""Telling open pages that something happened to a run.

Governance tells of each entry once it is durable, under its lock and from any thread; a page waits
in its server's loop. Between them stands one event for each watcher: a burst of entries wakes it
once, and what a run looks like is drawn once for all who watch it (`server.console.live`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from policies.entries import parse_entry
from policies.errors import PolicyError
from server.errors import TooMany

MAX_WATCHERS: Final = 200
MAX_WATCHERS_OF_ONE: Final = 12
MAX_RUNS: Final = 4096
_ABOUT_RUNS: Final = frozenset(
    {
        "RunOpened",
        "RunResumed",
        "RunEnded",
        "RoundDecided",
        "PermitIssued",
        "ReceiptAccepted",
        "ReceiptRefused",
        "MasksReleased",
        "RoundClosed",
        "RoundAbandoned",
        "TransferStep",
    }
)


SPACE: Final = ""
"""The topic of the space's page, which looks by itself: no entry tells who is connected."""


@dataclass(eq=False, slots=True)
class Watcher:
    """One open page; `run` is what it follows, `owner` tells whose session it is of."""

    run: str
    owner: str
    loop: asyncio.AbstractEventLoop
    changed: asyncio.Event

    def wake(self) -> None:
        """From any thread; a loop that has ended needs nobody woken."""
        try:
            self.loop.call_soon_threadsafe(self.changed.set)
        except RuntimeError:
            return


class Hub:
    """All watchers, and the newest entry about each run. Safe to share between threads.

    Attributes:
        closed: the service stops; watchers end.
        newest: index of the newest entry of any kind; -1 before the first since the start.
    """

    def __init__(self) -> None:
        self.closed = False
        self.newest = -1
        self._lock = threading.Lock()
        self._watchers: set[Watcher] = set()
        self._newest: dict[str, int] = {}

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """The journal's listener."""
        self.newest = index
        if kind not in _ABOUT_RUNS:
            return
        try:
            run = parse_entry(data).body.get("run")
        except PolicyError:  # the journal applied it: not ours to judge
            return
        if not isinstance(run, str):
            return
        with self._lock:
            self._newest.pop(run, None)
            self._newest[run] = index  # the newest last
            if len(self._newest) > MAX_RUNS:
                del self._newest[next(iter(self._newest))]
            woken = [one for one in self._watchers if one.run == run]
        for one in woken:
            one.wake()

    @property
    def pages(self) -> int:
        """How many watch."""
        with self._lock:
            return len(self._watchers)

    def version(self, run: str) -> int:
        """Grows with each entry about the run; -1 before the first since the start."""
        with self._lock:
            return self._newest.get(run, -1)

    @contextmanager
    def watching(self, run: str, owner: str) -> Iterator[Watcher]:
        """A watcher, within a running loop.

        Raises:
            TooMany: of all, or of this session.
        """
        watcher = Watcher(run, owner, asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            own = sum(1 for one in self._watchers if one.owner == owner)
            if self.closed or len(self._watchers) >= MAX_WATCHERS or own >= MAX_WATCHERS_OF_ONE:
                raise TooMany("pages that follow a run: expected fewer; close some, try later")
            self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def close(self) -> None:
        """End all watchers; safe to call again."""
        with self._lock:
            self.closed = True
            woken = list(self._watchers)
        for one in woken:
            one.wake()
