"""What many ask for at the same moment, made once.

An entry of the log wakes all pages that follow a run. The first of them makes the drawing, in a
thread; the others wait for it, and whoever comes later gets it as long as nothing changed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from starlette.concurrency import run_in_threadpool

Made = TypeVar("Made")
MAX_KEPT: Final = 256


class Shared(Generic[Made]):
    """Values by key, each of a version; the newest version of the last keys is kept.

    `get` is for one event loop, `kept` and `keep` are for any thread.
    """

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Hashable, Made]] = OrderedDict()
        self._making: dict[Hashable, tuple[Hashable, asyncio.Task[Made]]] = {}

    def kept(self, key: Hashable, version: Hashable) -> Made | None:
        """The value, if it was made of this version."""
        with self._lock:
            known = self._kept.get(key)
        return known[1] if known is not None and known[0] == version else None

    def keep(self, key: Hashable, version: Hashable, made: Made) -> Made:
        """Keep a value that was made of this version; the value."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = version, made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made

    async def get(self, key: Hashable, version: Hashable, make: Callable[[], Made]) -> Made:
        """The value of this version; what `make` raises goes to all who wait for it.

        Args:
            version: as it was before `make` looks: what changes meanwhile is of the next version.
        """
        known = self.kept(key, version)
        if known is not None:
            return known
        making = self._making.get(key)
        if making is None or making[0] != version:
            task = asyncio.ensure_future(self._make(key, version, make))
            task.add_done_callback(_retrieved)
            making = self._making[key] = version, task
        # Who waits may go away; the value is for the others.
        return await asyncio.shield(making[1])

    async def _make(self, key: Hashable, version: Hashable, make: Callable[[], Made]) -> Made:
        try:
            return self.keep(key, version, await run_in_threadpool(make))
        finally:
            if self._making.get(key, (None, None))[0] == version:
                del self._making[key]


def _retrieved(task: asyncio.Task[Made]) -> None:
    """An error is for those who wait; where nobody waits any more it is nobody's."""
    if not task.cancelled():
        task.exception()
