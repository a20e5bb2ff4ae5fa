"""Child processes that never outlive us: ended on exit and Ctrl-C, and by the kernel if we die."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from commands import tether
from commands.errors import CommandFailed


@dataclass(frozen=True, slots=True)
class Child:
    """A started process and where its output goes.

    Attributes:
        log: its output; one started again under the same name goes on in the same file.
        log_start: where this process's own output begins in it, bytes.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int = 0

    def output(self) -> str:
        """What this process wrote so far."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.log_start)
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""

    def last_words(self, lines: int = 8) -> str:
        """The end of its output, for an error message."""
        return "\n".join(self.output().strip().splitlines()[-lines:]) or "(no output)"


@dataclass(slots=True)
class Children:
    """Starts processes, each in its own process group, and ends them in reverse order.

    Args:
        logs: folder for their outputs, one file a process.
    """

    logs: Path
    _running: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None
    ) -> Child:
        """Start a process; secrets go in files, never into `command` or `env`.

        Raises:
            CommandFailed: the program is not there.
        """
        program = shutil.which(command[0])
        if program is None:
            raise CommandFailed(
                f"{name}: expected the program {command[0]}, got none on the PATH; "
                "install tdspace into a virtual environment and start `tds` from there"
            )
        log = self.logs / f"{name}.log"
        with log.open("ab") as output, _uninterrupted():
            log_start = output.tell()
            process = subprocess.Popen(
                [*_tethered(os.getpid()), program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                process_group=0,
            )
            child = Child(name=name, process=process, log=log, log_start=log_start)
            self._running.append(child)
        return child

    def check(self) -> None:
        """Raise CommandFailed when a process has ended by itself, with its last words."""
        for child in self._running:
            code = child.process.poll()
            if code is not None:
                raise CommandFailed(
                    f"{child.name} ended with code {code}; the end of {child.log}:\n"
                    f"{child.last_words()}"
                )

    def wait_until(self, what: str, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait for a condition while all processes live.

        Raises:
            CommandFailed: a process ended, or `timeout_s` passed.
        """
        end = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise CommandFailed(f"waited {timeout_s:g} s for {what}, in vain; see {self.logs}")
            time.sleep(0.05)

    def stop(self, child: Child, *, timeout_s: float = 8.0) -> None:
        """End one process, politely first."""
        self._running = [other for other in self._running if other is not child]
        _end([child], timeout_s)

    def kill(self, child: Child) -> None:
        """End one process as a crash would (SIGKILL)."""
        self._running = [other for other in self._running if other is not child]
        child.process.kill()
        child.process.wait()

    def stop_all(self, *, timeout_s: float = 8.0) -> None:
        """End all: SIGTERM to every process, then SIGKILL to the groups that remain."""
        running, self._running = self._running[::-1], []
        _end(running, timeout_s)


def _end(children: Sequence[Child], timeout_s: float) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    end = time.monotonic() + timeout_s
    for child in children:
        try:
            child.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back: between a process's start and its entry in the list of those
    to end, an interruption would leave it behind."""
    if threading.current_thread() is not threading.main_thread():  # signals come to that one only
        yield
        return
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def _tethered(parent: int) -> list[str]:
    """What to put before a program so that the kernel ends it when the parent dies."""
    return [sys.executable, "-I", "-S", tether.__file__, str(parent)]


def port_answers(address: str) -> bool:
    """Whether something accepts TCP connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that are free now; they were all held at once, so they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [int(held.getsockname()[1]) for held in sockets]
    finally:
        for held in sockets:
            held.close()


def python(*arguments: str) -> list[str]:
    """A command line for this interpreter."""
    return [sys.executable, *arguments]
