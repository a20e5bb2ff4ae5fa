"""What a node's process tells of itself in its folder, for `tds node status` beside it.

`running.json` is replaced whole when something in it changes and stays when the node ends. Whether
a process is up says the lock on `running.lock`, which the kernel takes back however that one ended:
the node holds it shared, and who asks tries to have it alone.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

from pydantic import Field

from clients.errors import FileRefused
from clients.files import read_file, replace_file
from clients.records import SeenCheckpoint
from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.fields import Document, Instant, Version, instant

MAX_BYTES: Final = 16 * 1024

Environment = Literal["isolated", "confined", "process"]
Text = Annotated[str, Field(max_length=200)]


class RunningRecord(Document):
    """`running.json`.

    Attributes:
        pid: of the process that wrote it.
        started: when that began.
        environment: the level of confinement, as measured (`policies.receipt.Confinement`).
        confinement: what it is made of, for people.
        tasks, memory_bytes: how many tasks it serves at once, and what all of their apps may have.
        health: where it answers questions about its health; "" where it does not.
        seen_size: entries of the space's log under the last checkpoint accepted; 0 before one.
        seen: when it was accepted; null where that is not known.
    """

    version: Version
    pid: Annotated[int, Field(ge=1)]
    started: Instant
    environment: Environment
    confinement: Text
    tasks: Annotated[int, Field(ge=1)]
    memory_bytes: Annotated[int, Field(ge=0)]
    health: Text
    seen_size: Annotated[int, Field(ge=0)]
    seen: Instant | None


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of a node's process.

    Attributes:
        up: whether one runs now.
        record: as the one that runs wrote it, or the last that did; None if there was none.
    """

    up: bool
    record: RunningRecord | None


class SeenPort(Protocol):
    """The node's memory of the space's log; `clients.state.NodeState` is one."""

    def last_seen(self) -> SeenCheckpoint | None:
        """The largest checkpoint accepted so far."""


class RunningFile:
    """The record of this process. Safe to share between threads.

    Args:
        path: `running.json`.
        record: as it is at the start; what it says of checkpoints is found out.
        state: where the last checkpoint stands.
        clock: aware UTC now.
    """

    def __init__(
        self,
        path: Path,
        record: RunningRecord,
        *,
        state: SeenPort,
        clock: Callable[[], datetime],
    ) -> None:
        self._path = path
        self._state = state
        self._clock = clock
        self._turn = threading.Lock()
        size, before = self._size(), _read(path)
        seen = before.seen if before is not None and before.seen_size == size else None
        self._record = record.model_copy(update={"seen_size": size, "seen": seen})
        self._write()

    def look(self) -> None:
        """Take note of a checkpoint that was accepted; called soon after each change of state.

        Raises:
            FileRefused, StateUnavailable
        """
        with self._turn:
            size = self._size()
            if size != self._record.seen_size:
                update = {"seen_size": size, "seen": instant(self._clock())}
                self._record = self._record.model_copy(update=update)
                self._write()

    def _size(self) -> int:
        seen = self._state.last_seen()
        return 0 if seen is None else seen.size

    def _write(self) -> None:
        replace_file(self._path, canonical_bytes(self._record.to_json()))


@contextmanager
def held_up(path: Path) -> Iterator[None]:
    """While the block lasts, `read_running` finds a process that is up.

    Args:
        path: `running.lock`, made if absent.

    Raises:
        FileRefused
    """
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def read_running(*, record: Path, lock: Path) -> Running:
    """What is known of the node's process.

    Raises:
        FileRefused: the lock cannot be asked.
    """
    up = False
    if lock.exists():
        descriptor = _open(lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            up = True
        finally:
            os.close(descriptor)
    return Running(up=up, record=_read(record))


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise FileRefused(f"{path}: cannot be opened: {error.strerror}") from error


def _read(path: Path) -> RunningRecord | None:
    """The record; None where there is none that this version understands."""
    try:
        data = read_file(path, max_bytes=MAX_BYTES)
        return RunningRecord.from_json(parse_json(data, max_bytes=MAX_BYTES))
    except (FileRefused, DocumentError):
        return None
