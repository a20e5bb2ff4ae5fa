"""Several sandboxes as one runner: each job has one to itself.

The first is started before the node has a key (clients.sandbox); each further one when so many
tasks are in work for the first time, by exec with a clean environment like the first, so that it
has none either. It must hold its children as the first does: what receipts say of confinement was
measured there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, Self

from clients.errors import SandboxUnavailable
from clients.jobs import Job, JobResult
from policies.receipt import Confinement


class SlotPort(Protocol):
    """What is asked of a sandbox; `clients.sandbox.Sandbox` is one."""

    confinement: Confinement

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        """One job to its end."""

    def alive(self) -> bool:
        """Whether its process is there."""

    def close(self) -> None:
        """Nothing of it is left."""


class _Slot:
    """A sandbox, and what it ran last."""

    def __init__(self, sandbox: SlotPort) -> None:
        self.sandbox: Final = sandbox
        self.busy = False
        self.rows = 0
        self.app = ""


class Slots:
    """A runner of up to `most` jobs at once. Safe to share between threads.

    Args:
        first: started already.
        start: makes another; SandboxUnavailable.
        most: sandboxes in all.
    """

    def __init__(self, first: SlotPort, *, start: Callable[[], SlotPort], most: int) -> None:
        self._first = first
        self._start = start
        self._most = most
        self._changed = threading.Condition()
        self._starting = threading.Lock()
        self._slots = [_Slot(first)]
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, tasks: int) -> None:
        """There are sandboxes for so many tasks when this returns, `most` at most.

        Raises:
            SandboxUnavailable: another could not be started, or confines less than the first.
        """
        with self._starting:
            while len(self._slots) < min(tasks, self._most):
                fresh = self._start()
                if fresh.confinement != self._first.confinement:
                    fresh.close()
                    raise SandboxUnavailable(
                        f"another sandbox: expected it to hold its children as the first does "
                        f"({self._first.confinement}), got {fresh.confinement}"
                    )
                with self._changed:
                    closed = self._closed
                    self._slots.append(_Slot(fresh))
                    self._changed.notify_all()
                if closed:
                    fresh.close()
                    raise SandboxUnavailable("the node is shutting down")

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        """As `Sandbox.run`, in one that is free; waits for one."""
        with self._taken(job) as sandbox:
            return sandbox.run(job, cancelled=cancelled)

    def alive(self) -> bool:
        """Whether every sandbox's process is there."""
        with self._changed:
            return all(slot.sandbox.alive() for slot in self._slots)

    def close(self) -> None:
        """End all jobs and all sandboxes but the first, which is its starter's."""
        with self._changed:
            self._closed = True
            others = [slot.sandbox for slot in self._slots[1:]]
        for sandbox in others:
            sandbox.close()

    @contextmanager
    def _taken(self, job: Job) -> Iterator[SlotPort]:
        with self._changed:
            while (slot := self._free(job)) is None:
                self._changed.wait()
            slot.busy = True
            slot.rows, slot.app = id(job.rows), str(job.app_dir)
        try:
            yield slot.sandbox
        finally:
            with self._changed:
                slot.busy = False
                self._changed.notify_all()

    def _free(self, job: Job) -> _Slot | None:
        """A free one, best that which has these rows packed and this app staged."""
        free = [slot for slot in self._slots if not slot.busy]
        wanted = id(job.rows), str(job.app_dir)
        return max(free, key=lambda s: (s.rows == wanted[0]) + (s.app == wanted[1]), default=None)
