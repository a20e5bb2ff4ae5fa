"""The node's end of the zygote: starts it, sends it a job, follows the job to its end.

Nothing read here is believed beyond its size: what a child wrote is parsed by `clients.sandbox`.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from clients.accelerator import HIDDEN
from clients.appstate import MAX_STATE_BYTES
from clients.errors import AppFailed, SandboxUnavailable
from clients.frames import FRAME, MAGIC, MAX_MESSAGE_BYTES

MAX_HEAD_BYTES: Final = 64 * 1024
UPDATE_SLACK_BYTES: Final = 1 << 20
TAIL_BYTES: Final = 8 * 1024
START_TIMEOUT_S: Final = 120.0
WARM_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.02
PIPE_BYTES: Final = 1 << 20
"""What a pipe for results holds: child and node take turns per piece of this size."""
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_TOLD_SIGNALS: Final = ("SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS")

Stop = Literal["", "cancelled", "timeout", "too-large", "cpu", "scratch"]


@dataclass(frozen=True, slots=True)
class Frame:
    """What a child wrote, taken apart: a JSON object, an update, a state; nothing is checked."""

    head: dict[str, Any]
    update: bytes
    state: bytes


@dataclass(slots=True)
class Ended:
    """How a job ended: why it was stopped from here, what it wrote, its wait status."""

    stopped: Stop = ""
    frame: bytearray = field(default_factory=bytearray)
    output: bytearray = field(default_factory=bytearray)
    status: int | None = None

    @property
    def tail(self) -> str:
        """The end of what the app printed."""
        return self.output[-TAIL_BYTES:].decode("utf-8", "replace")

    def parsed(self) -> Frame | None:
        """The frame, or None if it is not exactly one."""
        if len(self.frame) < FRAME.size:
            return None
        magic, head_bytes, update_bytes, state_bytes = FRAME.unpack_from(self.frame)
        start = FRAME.size + head_bytes
        end = start + update_bytes
        whole = end + state_bytes == len(self.frame)
        if magic != MAGIC or not whole or head_bytes > MAX_HEAD_BYTES:
            return None
        try:
            head = json.loads(self.frame[FRAME.size : start])
        except (ValueError, RecursionError):
            return None
        if type(head) is not dict:
            return None
        with memoryview(self.frame) as view:  # a slice of the array itself would be a copy more
            return Frame(head, bytes(view[start:end]), bytes(view[end:]))


@dataclass(frozen=True, slots=True)
class Zygote:
    """A running zygote and the one socket to it."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    @classmethod
    def start(cls, base: Path, preload: Sequence[str], *, site: Path | None = None) -> Zygote:
        """Start it and wait until it has imported what it should.

        Args:
            base: folder for its log and the children's scratch folders.
            site: folder of packages that apps find behind this program's own.

        Raises:
            SandboxUnavailable: it did not get ready; the text ends with its last words.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = base / f"zygote-{ours.fileno()}.log"
        modules = ("flwr.clientapp", *preload)
        place = "" if site is None else str(site)
        with theirs, log.open("wb") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "clients.zygote",
                    str(theirs.fileno()),
                    base,
                    place,
                    *modules,
                ],
                cwd=Path(__file__).parents[1],
                env=_environment(base),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        zygote = cls(process=process, control=ours)
        ours.settimeout(START_TIMEOUT_S)
        try:
            greeting = ours.recv(MAX_MESSAGE_BYTES)
        except OSError:
            greeting = b""
        if not greeting:
            zygote.close()
            words = log.read_text(encoding="utf-8", errors="replace")[-1000:]
            raise SandboxUnavailable(
                f"the sandbox did not start within {START_TIMEOUT_S:g} s: {words}"
            )
        return zygote

    def alive(self) -> bool:
        """Whether it can take a job."""
        return self.control.fileno() >= 0 and self.process.poll() is None

    def warm(self, modules: Sequence[str]) -> bool:
        """Have it import these ahead of all jobs; no job may be running.

        Returns:
            False if it did not answer in time, ended, or has threads now: it must be closed.
        """
        self.control.settimeout(WARM_TIMEOUT_S)
        try:
            self.control.send(json.dumps({"op": "warm", "modules": [*modules]}).encode())
            answer = self.control.recv(MAX_MESSAGE_BYTES)
        except OSError:
            return False
        finally:
            self.control.settimeout(START_TIMEOUT_S)
        return bool(answer) and json.loads(answer) == {"event": "warm", "threads": 1}

    def close(self) -> None:
        """It and its child are gone."""
        with self.control, suppress(OSError):
            self.control.send(b'{"op":"close"}')
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def run(
        self,
        head: Mapping[str, object],
        model: bytes,
        rows: int,
        state: bytes | None,
        timeout_s: float,
        signals: Sequence[threading.Event],
    ) -> Ended:
        """Run one job to its end: its child is gone when this returns.

        Args:
            head: the job, JSON values.
            rows: descriptor of a sealed file; stays the caller's.
            state: what the app kept; None where it may keep nothing.
            signals: any of them, once set, ends the job.

        Raises:
            AppFailed: the job's description is too large.
            SandboxUnavailable, OSError: the zygote was lost; it must be closed.
        """
        message = json.dumps({"op": "run", **head}).encode()
        if len(message) > MAX_MESSAGE_BYTES:
            raise AppFailed(
                f"run config: expected at most {MAX_MESSAGE_BYTES} bytes, got {len(message)}"
            )
        with ExitStack() as stack:
            sent = [sealed_file(data) for data in (model, state or b"")]
            for descriptor in sent:
                stack.callback(os.close, descriptor)
            sent.insert(1, rows)
            result = os.pipe2(os.O_CLOEXEC)
            with suppress(OSError):  # more than this user may have: smaller pieces then
                fcntl.fcntl(result[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            output = os.pipe2(os.O_CLOEXEC)
            for descriptor in (result[0], output[0]):
                os.set_blocking(descriptor, False)
                stack.callback(os.close, descriptor)
            try:
                socket.send_fds(self.control, [message], [*sent, result[1], output[1]])
            finally:
                os.close(result[1])
                os.close(output[1])
            limit = FRAME.size + MAX_HEAD_BYTES + len(model) + UPDATE_SLACK_BYTES
            limit += 0 if state is None else MAX_STATE_BYTES
            return self._follow(result[0], output[0], limit, timeout_s, signals)

    def _follow(
        self,
        result: int,
        output: int,
        limit: int,
        timeout_s: float,
        signals: Sequence[threading.Event],
    ) -> Ended:
        ended = Ended()
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            for source in (self.control, result, output):
                selector.register(source, selectors.EVENT_READ)
            while ended.status is None:
                for key, _ in selector.select(POLL_S):
                    if key.fileobj is self.control:
                        ended.status, why = self._status()
                        ended.stopped = ended.stopped or why
                    elif not _drain(key.fd, ended, result, limit):
                        selector.unregister(key.fd)
                stop = _reason(ended, deadline, limit, signals)
                if stop and not ended.stopped and ended.status is None:
                    ended.stopped = stop
                    deadline = time.monotonic() + END_TIMEOUT_S
                    self.control.send(b'{"op":"kill"}')
                elif ended.stopped and time.monotonic() > deadline:
                    raise SandboxUnavailable("the sandbox did not end its child")
        for source in (result, output):
            while _drain(source, ended, result, limit):
                pass
        if any(event.is_set() for event in signals):
            ended.stopped = "cancelled"
        return ended

    def _status(self) -> tuple[int, Stop]:
        """The child's wait status, and for what the zygote or the kernel ended it."""
        data = self.control.recv(MAX_MESSAGE_BYTES)
        if not data:
            raise SandboxUnavailable("its process ended")
        told = json.loads(data)
        return int(told["status"]), told["why"]


def describe_status(status: int | None) -> tuple[str, str]:
    """A wait status in words: those that may travel, and all of it for the owner.

    An exit code is the app's to choose; of how it ended only the name of a common signal travels.
    """
    code = os.waitstatus_to_exitcode(status or 0)
    if code >= 0:
        return "it exited", f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"signal {name}" if name in _TOLD_SIGNALS else "a signal", name


def _environment(base: Path) -> dict[str, str]:
    """All that the zygote and its children see of the node's environment: nothing."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(base),
        "TMPDIR": str(base),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        **HIDDEN,
    }


def sealed_file(data: bytes) -> int:
    """Descriptor of a file in memory that nobody can change any more."""
    descriptor = os.memfd_create("tds", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        seal(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def seal(descriptor: int) -> None:
    """From now on nobody can change this file in memory."""
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)


def _drain(source: int, ended: Ended, result: int, limit: int) -> bool:
    """Take what is there; False at the end, or when there is nothing now."""
    try:
        data = os.read(source, PIPE_BYTES)
    except BlockingIOError:
        return False
    if source == result:
        ended.frame += data[: max(0, limit + 1 - len(ended.frame))]
    else:
        ended.output += data
        del ended.output[: -2 * TAIL_BYTES]
    return bool(data)


def _reason(ended: Ended, deadline: float, limit: int, signals: Sequence[threading.Event]) -> Stop:
    if any(event.is_set() for event in signals):
        return "cancelled"
    if len(ended.frame) > limit:
        return "too-large"
    return "timeout" if time.monotonic() > deadline else ""
