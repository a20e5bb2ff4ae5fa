"""How much a node does at once: so many tasks, and so much memory for all of their apps together.

A task takes a place first, then the memory that its permit allows its app, and gives both back when
it is over, however that ends. What is not there is not lent: the sum never passes the ceiling.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clients.errors import ClientError

GIB: Final = 1 << 30
TASKS_WITH_ROOM: Final = 2
_ROOM_FOR_TWO: Final = 4 * GIB
_UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": GIB}
_SIZE: Final = re.compile(r"([1-9][0-9]{0,18})(|KiB|MiB|GiB)", re.ASCII)
_CGROUP: Final = Path("/sys/fs/cgroup")


class Room:
    """Places and memory. Safe to share between threads.

    Args:
        tasks: how many may be in work at once.
        memory_bytes: for all of their apps together.
        alone: let a task that asks for more than all have it while no other has any.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *,
        tasks: int = 1,
        memory_bytes: int,
        alone: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tasks = tasks
        self.memory_bytes = memory_bytes
        self._alone = alone
        self._clock = clock
        self._changed = threading.Condition()
        self._in_work = 0
        self._lent = 0
        self._runs: set[str] = set()

    def enter(self) -> int:
        """Take a place; how many are taken by now, or 0 if none was free."""
        with self._changed:
            if self._in_work >= self.tasks:
                return 0
            self._in_work += 1
            return self._in_work

    def leave(self) -> None:
        """Give a place back."""
        with self._changed:
            self._in_work -= 1
            self._changed.notify_all()

    def begin_run(self, run: str) -> None:
        """Returns when no other task of this run is in work: they are handled one after another."""
        with self._changed:
            while run in self._runs:
                self._changed.wait()
            self._runs.add(run)

    def end_run(self, run: str) -> None:
        """The next task of this run may begin."""
        with self._changed:
            self._runs.discard(run)
            self._changed.notify_all()

    def fits(self, memory_bytes: int) -> bool:
        """Whether so much could ever be had."""
        return self._alone or memory_bytes <= self.memory_bytes

    def take(self, memory_bytes: int, *, wait_s: float = 0.0) -> bool:
        """Take memory, waiting for it if need be; False if it was not to be had in time."""
        end = self._clock() + wait_s
        with self._changed:
            while not self._free(memory_bytes):
                left = end - self._clock()
                if left <= 0 or not self.fits(memory_bytes):
                    return False
                self._changed.wait(left)
            self._lent += memory_bytes
            return True

    def give_back(self, memory_bytes: int) -> None:
        """Give memory back."""
        with self._changed:
            self._lent -= memory_bytes
            self._changed.notify_all()

    def _free(self, memory_bytes: int) -> bool:
        if self._lent + memory_bytes <= self.memory_bytes:
            return True
        return self._alone and self._lent == 0


def room_of(*, memory: str = "", tasks: int = 0, available: int | None = None) -> Room:
    """The room that an owner asks for.

    Args:
        memory: such as `4GiB`; half of what this machine or its cgroup has if empty, and then one
            task alone may have more.
        tasks: how many at once; if 0, two where there are 4 GiB for apps, else one.
        available: bytes; as found if None.

    Raises:
        ClientError: no size.
    """
    if memory:
        ceiling = parse_size(memory)
    else:
        ceiling = (memory_of_host() if available is None else available) // 2
    chosen = tasks or (TASKS_WITH_ROOM if ceiling >= _ROOM_FOR_TWO else 1)
    return Room(tasks=chosen, memory_bytes=ceiling, alone=not memory)


def parse_size(text: str) -> int:
    """Bytes of `512MiB`, `4GiB` or a plain number.

    Raises:
        ClientError
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ClientError(f"memory: expected a size such as 4GiB or 512MiB, got {text[:40]!r}")
    return int(found[1]) * _UNITS[found[2]]


def memory_of_host(cgroups: Path = _CGROUP, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes that this process can have: of the machine, or what its cgroups (v2) allow."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    place = next((line[3:] for line in lines if line.startswith("0::/")), "/")
    folder = cgroups / place.lstrip("/")
    while folder.is_relative_to(cgroups):
        try:
            text = (folder / "memory.max").read_text(encoding="ascii").strip()
        except OSError:
            text = ""
        if text.isdecimal():
            limits.append(int(text))
        if folder == cgroups:
            break
        folder = folder.parent
    return min(limits)
