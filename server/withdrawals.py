"""Telling everybody at once that a consent ended."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Final

from policies.canonical import Json, canonical_bytes
from policies.entries import parse_entry
from server.errors import TooMany
from server.rows import AgreementRow

MAX_WATCHERS: Final = 256
MAX_OF_ONE: Final = 8  # of one participant; a further one ends its oldest

Notice = dict[str, Json]
Wanted = Callable[[Notice], bool]
Told = Callable[[Notice], Notice]


def notice_of(agreement: AgreementRow) -> Notice:
    """What a watcher is told about an agreement whose consent was withdrawn."""
    return {
        "agreement": agreement.id,
        "participant": agreement.assigner,
        "product": agreement.product,
        "consumer": agreement.assignee,
        "withdrawal": agreement.withdrawal,
        "time": agreement.withdrawn,
        "index": agreement.withdrawal_entry,
    }


class Subscription:
    """One watcher's notices: first what stands already, then each new one, until it is closed."""

    def __init__(
        self,
        wanted: Wanted,
        before: list[Notice],
        leave: Callable[[], None],
        told: Told,
        owner: str,
    ) -> None:
        self.owner = owner
        self._wanted = wanted
        self._told = told
        self._leave = leave
        self._queue: queue.SimpleQueue[Notice | None] = queue.SimpleQueue()
        for notice in before:
            self.put(notice)

    def put(self, notice: Notice) -> None:
        """Add a notice if this watcher may see it."""
        if self._wanted(notice):
            self._queue.put(notice)

    def close(self) -> None:
        """End the iteration; safe to call again, from any thread."""
        self._leave()
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        """Canonical JSON documents, as they come."""
        while (notice := self._queue.get()) is not None:
            yield canonical_bytes(self._told(notice))


class Withdrawals:
    """All present watchers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: dict[int, Subscription] = {}
        self._next = 0
        self._closed = False

    def subscribe(
        self, wanted: Wanted, before: list[Notice], told: Told = dict, *, owner: str = ""
    ) -> Subscription:
        """A new watcher. Take `before` and call this under the journal's lock, so that no
        withdrawal falls between.

        Args:
            told: makes what this watcher gets of a notice; called in the watcher's own thread.
            owner: whose it is, so that nobody keeps all others from watching; "" is not counted.

        Raises:
            TooMany: `MAX_WATCHERS` are there already, or the service is stopping.
        """
        with self._lock:
            own = [one for one in self._watchers.values() if owner and one.owner == owner]
        for oldest in own[: max(0, len(own) - MAX_OF_ONE + 1)]:
            oldest.close()
        with self._lock:
            if self._closed or len(self._watchers) >= MAX_WATCHERS:
                raise TooMany(f"withdrawals: expected at most {MAX_WATCHERS} watchers; try later")
            number = self._next
            self._next += 1
            watcher = Subscription(wanted, before, lambda: self._forget(number), told, owner)
            self._watchers[number] = watcher
            return watcher

    @property
    def watching(self) -> int:
        """How many are there."""
        with self._lock:
            return len(self._watchers)

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """The journal's listener."""
        if kind != "ConsentWithdrawn":
            return
        entry = parse_entry(data)
        names = ("agreement", "participant", "product", "consumer", "withdrawal")
        notice: Notice = {name: entry.body[name] for name in names}
        notice |= {"time": entry.time, "index": index}
        with self._lock:
            watchers = list(self._watchers.values())
        for watcher in watchers:
            watcher.put(notice)

    def close(self) -> None:
        """End all watchers, and let no new one in."""
        with self._lock:
            self._closed = True
            watchers = list(self._watchers.values())
        for watcher in watchers:
            watcher.close()

    def _forget(self, number: int) -> None:
        with self._lock:
            self._watchers.pop(number, None)
