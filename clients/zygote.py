"""The zygote: a small process that has imported what apps need and forks one child per job.

It is started before the node loads its keys, by exec with a clean environment and one descriptor,
so that no child can inherit a secret: a fork carries its parent's memory. It never runs an app's
code, stays single-threaded, and ends when the node's end of its socket closes, however that ended.

What it shares with its children it makes ready once: imports (what apps name: clients.preloading),
first uses (clients.warmup), and torch without its compiler (clients.deferral). What it hears and
says: clients.frames.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import mmap
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from clients.accelerator import HIDDEN, OWN_THREADS, READABLE, held_bytes
from clients.appcall import Call, call_app, failure_place, map_rows, public_type
from clients.confinement import (
    User,
    confine,
    enter_empty_network,
    open_to_others,
    unprivileged_user,
)
from clients.deferral import defer_compiler
from clients.frames import DESCRIPTORS, FRAME, MAGIC, MAX_MESSAGE_BYTES
from clients.preloading import (
    forget_own,
    import_ahead,
    read_modules,
    trusted_packages,
    wanted,
)
from clients.probe import measure, python_folders
from clients.scratch import ScratchSpace
from clients.sdk import Rows
from clients.warmup import warm_up
from policies.runconfig import config_from_json
from policies.tensors import Buffer

MAX_TEXT: Final = 500
RESULT_FD: Final = 3
WATCH_S: Final = 0.1
REMOVALS: Final = 20
REMOVAL_PAUSE_S: Final = 0.05

_SYSTEM_READABLE: Final = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom"),
    *("/dev/zero", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)


@dataclass(frozen=True, slots=True)
class _Host:
    """What is the same for every child.

    Attributes:
        user: whom it becomes, if not the node's own user.
        readable: what it may read besides its app.
        searching: whether that user needs help to reach the interpreter.
        trusted: packages that may be imported ahead of an app.
    """

    user: User | None
    readable: tuple[Path, ...]
    searching: bool
    trusted: frozenset[str]

    @classmethod
    def here(cls, packages: Sequence[Path]) -> _Host:
        """As this process finds it.

        Args:
            packages: folders on `sys.path` besides the interpreter's.
        """
        user = unprivileged_user()
        needed = (*python_folders(), *packages)
        return cls(
            user=user,
            readable=(*needed, *map(Path, _SYSTEM_READABLE)),
            searching=user is not None and not all(map(open_to_others, needed)),
            trusted=trusted_packages(packages),
        )


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    pidfd: int
    scratch: Path
    memory_bytes: int | None
    """What it may hold, where no limit of the kernel's says so: looked at while it runs."""
    cpu_s: int


def main(arguments: Sequence[str]) -> None:
    """Run until the node closes its end.

    Args:
        arguments: descriptor of the socket, base folder, folder of further packages or "", names
            of modules to import ahead.
    """
    control = socket.socket(fileno=int(arguments[0]))
    base = Path(arguments[1])
    os.chdir("/")
    packages = [Path(arguments[2])] if arguments[2] else []
    # Behind ours, which nothing there can hide; `.pth` files there do nothing.
    sys.path += map(str, packages)
    for name in arguments[3:]:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)
    defer_compiler()
    warm_up()
    host = _Host.here(packages)
    if host.user is not None:
        enter_empty_network()
    space = ScratchSpace.make(base)
    # What is there now is shared by all children: the collector must not touch (copy) it.
    gc.collect()
    gc.freeze()
    _tell(control, {"event": "ready"})
    _serve(control, base, host, space)


def _serve(control: socket.socket, base: Path, host: _Host, space: ScratchSpace) -> None:
    child: _Child | None = None
    why = ""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            watched = child is not None and not (space.bounded and child.memory_bytes is None)
            ready = {key.fd for key, _ in selector.select(WATCH_S if watched else None)}
            if child is not None and _holds_too_much(child):
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            if child is not None and not why and space.over(child.scratch):
                why = "scratch"
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            if child is not None and child.pidfd in ready:
                selector.unregister(child.pidfd)
                status, out_of_time = _bury(child, space)
                told = {"event": "ended", "status": status, "why": why or out_of_time}
                child, why = None, ""
                _tell(control, told)
            if control.fileno() not in ready:
                continue
            try:
                data, fds, _, _ = socket.recv_fds(control, MAX_MESSAGE_BYTES, DESCRIPTORS)
            except ConnectionResetError:  # the node died before it read what it was sent
                data, fds = b"", []
            request = json.loads(data) if data else {"op": "orphaned"}
            if request["op"] == "warm":
                threads = import_ahead(wanted(request["modules"], host.trusted))
                _tell(control, {"event": "warm", "threads": threads})
            elif request["op"] == "run":
                child = _start(control, request, fds, space, host)
                selector.register(child.pidfd, selectors.EVENT_READ)
            elif child is not None:
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            if request["op"] in ("close", "orphaned"):
                if child is not None:
                    _bury(child, space)
                space.close()
                if request["op"] == "orphaned":
                    _remove(base)
                return


def _tell(control: socket.socket, event: Mapping[str, object]) -> None:
    """Say it to the node; one that died is found out at the next reading, and cleaned up after."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        control.send(json.dumps(event).encode())


def _remove(base: Path) -> None:
    """Remove what a node that died left; another of its zygotes may be about the same."""
    for _ in range(REMOVALS):
        shutil.rmtree(base, ignore_errors=True)
        if not base.exists():
            return
        time.sleep(REMOVAL_PAUSE_S)


def _start(
    control: socket.socket,
    request: Mapping[str, Any],
    fds: Sequence[int],
    space: ScratchSpace,
    host: _Host,
) -> _Child:
    scratch = space.folder()
    if host.user is not None:
        os.chown(scratch, host.user.uid, host.user.gid)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        control.close()
        _child(request, fds, scratch, parent, host, space)
    for descriptor in fds:
        os.close(descriptor)
    return _Child(
        pid=pid,
        pidfd=os.pidfd_open(pid),
        scratch=scratch,
        memory_bytes=request["memory_bytes"] if request["devices"] else None,
        cpu_s=request["cpu_s"],
    )


def _holds_too_much(child: _Child) -> bool:
    limit = child.memory_bytes
    return limit is not None and held_bytes(child.pid) > held_bytes(os.getpid()) + limit


def _bury(child: _Child, space: ScratchSpace) -> tuple[int, str]:
    """Its wait status, and "cpu" where it was killed for the time that it took."""
    _, status, used = os.wait4(child.pid, 0)
    os.close(child.pidfd)
    space.remove(child.scratch)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    # The kernel looks at whole seconds, and a little before they are full.
    spent = used.ru_utime + used.ru_stime > child.cpu_s - 0.1
    return status, "cpu" if killed and spent else ""


# -- the child ---------------------------------------------------------------------------------


def _child(
    request: Mapping[str, Any],
    fds: Sequence[int],
    scratch: Path,
    parent: int,
    host: _Host,
    space: ScratchSpace,
) -> None:
    """Confine, run, report, exit: never returns."""
    stage = "confinement"
    code = 1
    app_dir = Path(request["app_dir"])
    try:
        sent = _take_over(fds, scratch)
        files = _confine(request, app_dir, scratch, parent, host)
        if request["kind"] == "probe":
            found = measure(app_dir, memory_bytes=request["memory_bytes"], files=files)
            found["scratch"] = space.bounded
            _report({"ok": True, "metrics": {}, "probe": found})
        elif request["kind"] == "modules":
            named = wanted(read_modules(app_dir), host.trusted)
            _report({"ok": True, "metrics": {}, "modules": named})
        else:
            stage = "app"
            forget_own(app_dir, host.trusted)
            _run(request, app_dir, sent)
        code = 0
    except BaseException as error:  # noqa: BLE001 the process's edge: everything is reported
        file, line = failure_place(error, app_dir)
        text = f"{type(error).__name__}: {error}"[:MAX_TEXT]
        failure = {"type": public_type(error), "file": file[:200], "line": line}
        _report({"ok": False, "stage": stage, "text": text, **failure})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _confine(
    request: Mapping[str, Any], app_dir: Path, scratch: Path, parent: int, host: _Host
) -> bool:
    devices = tuple(map(Path, request["devices"]))
    for name in HIDDEN if devices else ():
        del os.environ[name]
    return confine(
        parent=parent,
        memory_bytes=request["memory_bytes"],
        cpu_s=request["cpu_s"],
        user=host.user,
        readable=(app_dir, *host.readable, *(READABLE if devices else ())),
        devices=(*devices, OWN_THREADS) if devices else (),
        searching=host.searching,
        scratch=scratch,
    )


@dataclass(frozen=True, slots=True)
class _Sent:
    """What came in files beside the request."""

    model: Buffer
    rows: Rows
    state: bytes


def _take_over(fds: Sequence[int], scratch: Path) -> _Sent:
    """Read what was sent, then keep only null, the output pipe twice, and the result pipe."""
    os.setsid()
    model_fd, rows_fd, state_fd, result_fd, output_fd = fds
    sent = _Sent(_mapped(model_fd), map_rows(rows_fd), _content(state_fd))
    null = os.open(os.devnull, os.O_RDWR)
    # Moved out of the way first, so that no dup2 below closes what is still needed.
    kept = [fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in (null, output_fd, output_fd, result_fd)]
    for target, descriptor in enumerate(kept):
        os.dup2(descriptor, target)
    os.closerange(RESULT_FD + 1, 1 << 20)
    os.chdir(scratch)
    os.environ.update(HOME=str(scratch), TMPDIR=str(scratch))
    tempfile.tempdir = None
    return sent


def _mapped(descriptor: int) -> mmap.mmap:
    """A sealed file, without a copy."""
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)


def _content(descriptor: int) -> bytes:
    if os.fstat(descriptor).st_size == 0:  # which cannot be mapped
        return b""
    with _mapped(descriptor) as view:
        return bytes(view)


def _run(request: Mapping[str, Any], app_dir: Path, sent: _Sent) -> None:
    sys.path[0] = str(app_dir)
    sys.dont_write_bytecode = True
    _draw_anew(devices=bool(request["devices"]))
    call = Call(
        app_dir=app_dir,
        kind=request["kind"],
        model=sent.model,
        run_config=config_from_json(request["run_config"]),
        round=request["round"],
        state=sent.state if request["keeps_state"] else None,
    )
    reply = call_app(call, sent.rows)
    _report({"ok": True, "metrics": reply.metrics}, reply.update, reply.state)


def _draw_anew(*, devices: bool) -> None:
    """Give the child random numbers of its own: what it inherited is the same for every job."""
    np.random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.default_generator.seed()
        if devices:
            torch.cuda.seed_all()  # takes effect when the app first uses a device


def _report(record: Mapping[str, object], update: bytes = b"", state: bytes = b"") -> None:
    head = json.dumps(record).encode()
    with os.fdopen(RESULT_FD, "wb", closefd=False) as pipe:
        pipe.write(FRAME.pack(MAGIC, len(head), len(update), len(state)) + head)
        pipe.write(update)
        pipe.write(state)


if __name__ == "__main__":
    main(sys.argv[1:])
