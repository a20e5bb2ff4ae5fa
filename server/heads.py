"""One watcher's queue of which only the newest matters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Heads(Generic[Item]):
    """Yields the newest item that was put since the last one, until closed.

    Args:
        leave: called once it is closed.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._changed = threading.Condition()
        self._newest: Item | None = None
        self._last: Item | None = None
        self._closed = False

    def put(self, item: Item) -> None:
        """Take the place of whatever was not taken yet; the same item again changes nothing."""
        with self._changed:
            if item is not self._last:
                self._newest = self._last = item
                self._changed.notify()

    def again(self, item: Item) -> None:
        """Yield it once more, unless a newer one was put meanwhile."""
        with self._changed:
            if self._newest is None:
                self._newest = item
                self._changed.notify()

    def close(self) -> None:
        """End the iteration; safe to call again, from any thread."""
        self._leave()
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._newest is not None)
                if self._closed:
                    return
                newest, self._newest = self._newest, None
            assert newest is not None
            yield newest
