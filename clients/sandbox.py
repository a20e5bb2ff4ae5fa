"""The sandbox as the node sees it: one job in, one checked result or one typed error out.

`Sandbox.start` is called before the node loads its keys (`clients.zygote` says why). A job's child
is one process; ending it ends the job, and `run` returns only when it is gone. Nothing survives
`close`; if the node is killed, the zygote sees its socket close and ends with its child.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np

from clients.appcall import Call, call_app, parse_metric, public_type
from clients.environments import Environment
from clients.errors import AppFailed, SandboxCancelled, SandboxUnavailable
from clients.jobs import Job, JobResult, cpu_seconds, read_result
from clients.launcher import START_TIMEOUT_S, Ended
from clients.preloading import MAX_MODULES
from clients.rowfile import MappedRows, RowFile
from clients.sdk import Rows
from clients.zygotes import Zygotes
from policies.receipt import Confinement
from policies.runconfig import config_to_json
from policies.tensors import pack_tensors, unpack_tensors

__all__ = ["InProcessUnsafeRunner", "Job", "JobResult", "Sandbox"]

PRELOAD: Final = ("torch",)
"""What the zygote imports ahead of all jobs, where it is installed."""

PROBE_MEMORY_BYTES: Final = 1 << 28
READING_TIMEOUT_S: Final = 20.0


class _PackedRows:
    """The file of the last job's rows: what the vault selected lies in one already."""

    def __init__(self) -> None:
        self._rows: Rows | None = None
        self._file: RowFile | None = None

    def file(self, rows: Rows) -> int:
        """A read-only descriptor, valid until the next call or as long as `rows` live."""
        if isinstance(rows, MappedRows):
            return rows.file.descriptor
        if self._rows is not rows or self._file is None:
            self._file = RowFile.of(rows)
            self._rows = rows
        return self._file.descriptor

    def close(self) -> None:
        """Let go of it."""
        self._rows = self._file = None


@dataclass(frozen=True, slots=True)
class _Staged:
    """An app's copy for its children, and what the zygote should import ahead of it."""

    folder: Path
    modules: tuple[str, ...]


class Sandbox:
    """Runs jobs one after another in confined children of a zygote.

    Attributes:
        confinement: what held the probe child on this host, for receipts.
        pid: the zygote's process id.
    """

    confinement: Confinement

    def __init__(self, base: Path, preload: Sequence[str]) -> None:
        self._base = base
        self._apps: dict[tuple[Path, Environment | None], _Staged] = {}
        self._packed = _PackedRows()
        self._lock = threading.Lock()
        self._kill: threading.Event | None = None
        self._zygotes = Zygotes(base, preload)

    @classmethod
    def start(cls, *, preload: Sequence[str] = PRELOAD) -> Self:
        """A ready sandbox, measured by a probe child. Call it before any key is loaded.

        Args:
            preload: modules that the zygote imports where installed.

        Raises:
            SandboxUnavailable: the zygote did not start, or a required restriction failed.
        """
        base = Path(tempfile.mkdtemp(prefix="tds-sandbox-"))
        base.chmod(0o711)
        (base / "apps").mkdir(mode=0o755)
        try:
            sandbox = cls(base, preload)
        except BaseException:  # Ctrl-C, too
            shutil.rmtree(base, ignore_errors=True)
            raise
        try:
            sandbox._probe()
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._zygotes.plain.process.pid

    def alive(self) -> bool:
        """Whether the zygote's process is there; a job that finds none starts another."""
        return self._zygotes.plain.alive()

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        """Run one job to its end; a second caller waits.

        Args:
            cancelled: ends the job when set, from any thread.

        Raises:
            SandboxCancelled: it was ended by `cancelled`, `kill_current` or `close`.
            AppTimeout, AppFailed: the app did not return a result.
            SandboxUnavailable: the zygote was lost; the next job starts another.
        """
        with self._lock:
            kill = self._kill = threading.Event()
            try:
                signals = [kill] if cancelled is None else [kill, cancelled]
                staged = self._staged(job, signals)
                head = {
                    "kind": job.kind,
                    "app_dir": str(staged.folder),
                    "run_config": config_to_json(job.run_config),
                    "round": job.round,
                    "memory_bytes": job.memory_bytes,
                    "cpu_s": cpu_seconds(job.timeout_s),
                    "devices": [str(device) for device in job.devices],
                    "keeps_state": job.state is not None,
                }
                ended = self._exchange(head, job, signals, staged.modules)
            finally:
                self._kill = None
        return read_result(job, ended)

    def kill_current(self) -> None:
        """End the running job, if any, at once; its `run` raises `SandboxCancelled`."""
        kill = self._kill
        if kill is not None:
            kill.set()

    def close(self) -> None:
        """End the running job and the zygote; no process and no folder is left behind."""
        self.kill_current()
        with self._lock:
            self._zygotes.close()
            self._packed.close()
            shutil.rmtree(self._base, ignore_errors=True)

    def _exchange(
        self,
        head: Mapping[str, object],
        job: Job,
        signals: Sequence[threading.Event],
        modules: Sequence[str] = (),
    ) -> Ended:
        zygote = self._zygotes.of(job.environment, modules)
        try:
            rows = self._packed.file(job.rows)
            return zygote.run(head, job.model, rows, job.state, job.timeout_s, signals)
        except (OSError, SandboxUnavailable) as error:
            zygote.close()
            raise SandboxUnavailable(f"the sandbox was lost during a job: {error}") from error

    def _staged(self, job: Job, signals: Sequence[threading.Event]) -> _Staged:
        """A copy that the child's user can read, whatever folder the original lies in."""
        key = (job.app_dir, job.environment)
        known = self._apps.get(key)
        if known is None:
            place = self._base / "apps" / str(len(self._apps))
            shutil.copytree(job.app_dir, place, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            for part in (place, *place.rglob("*")):
                part.chmod(0o755 if part.is_dir() else 0o644)
            reading = replace(
                _NO_JOB, app_dir=place, environment=job.environment, timeout_s=READING_TIMEOUT_S
            )
            known = self._apps[key] = _Staged(place, self._modules(reading, signals))
        return known

    def _modules(self, reading: Job, signals: Sequence[threading.Event]) -> tuple[str, ...]:
        """What the app's sources name, read by a child without rows; nothing if that fails.

        Not read in this process: what a parser makes of a hostile source ends with the child.
        """
        frame = self._exchange(_reading_head("modules", reading), reading, signals).parsed()
        named = None if frame is None else frame.head.get("modules")
        if not isinstance(named, list):
            return ()
        return tuple(name for name in named if isinstance(name, str))[:MAX_MODULES]

    def _probe(self) -> None:
        probe = replace(_NO_JOB, app_dir=self._base / "apps")
        with self._lock:
            ended = self._exchange(_reading_head("probe", probe), probe, [])
        frame = ended.parsed()
        head = {} if frame is None else frame.head
        found = head.get("probe")
        if not isinstance(found, dict) or not (found["network"] and found["processes"]):
            raise SandboxUnavailable(
                f"sandbox probe: expected a confined child, got {head or ended.tail!r}; "
                "seccomp filters must be allowed, and as root also setuid; the interpreter and "
                f"{self._base} must be readable by nobody"
            )
        self.confinement = Confinement.measured(
            network="none",
            files="own" if found["files"] else "host",
            user="nobody" if found["root"] and found["uid"] != os.getuid() else "same",
            no_new_privileges=bool(found["no_new_privileges"]),
            memory_limit=bool(found["memory"]),
            scratch="bounded" if found["scratch"] else "watched",
        )


class InProcessUnsafeRunner:
    """Calls apps in this process: no isolation, no time limit, no memory limit.

    For simulations and tests only. The app's folder stays on `sys.path`, and two apps whose
    packages have the same name cannot be run by one process.
    """

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        """As `Sandbox.run`, except that `cancelled` is looked at before and after only.

        Raises:
            SandboxCancelled, AppFailed: as `Sandbox.run`.
        """
        folder = str(job.app_dir.resolve())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        if job.environment is not None and str(job.environment.site) not in sys.path:
            sys.path.append(str(job.environment.site))
        call = Call(
            app_dir=job.app_dir,
            kind=job.kind,
            model=job.model,
            run_config=job.run_config,
            round=job.round,
            state=job.state,
        )
        _stop_if(cancelled)
        try:
            reply = call_app(call, job.rows)
        except Exception as error:
            raise AppFailed(f"the app raised {public_type(error)}", detail=repr(error)) from error
        _stop_if(cancelled)
        return JobResult(
            update=unpack_tensors(reply.update) if reply.update else None,
            metrics={name: parse_metric(text) for name, text in reply.metrics.items()},
            stderr_tail="",
            state=reply.state,
        )


_NONE: Final = np.zeros(0, dtype=np.int64)
_EMPTY: Final = np.zeros((0, 1), dtype=np.float32)
_NO_JOB: Final = Job(
    app_dir=Path("/"),
    kind="evaluate",
    model=pack_tensors({"x": _NONE}),
    rows=Rows(_EMPTY, _NONE, _EMPTY, _NONE, ("x",), ("0", "1")),
    run_config={},
    round=1,
    timeout_s=START_TIMEOUT_S,
    memory_bytes=PROBE_MEMORY_BYTES,
)
"""Of a child that runs no app: it has no rows."""


def _reading_head(kind: str, job: Job) -> dict[str, object]:
    return {
        "kind": kind,
        "app_dir": str(job.app_dir),
        "memory_bytes": job.memory_bytes,
        "cpu_s": cpu_seconds(job.timeout_s),
        "devices": [],
    }


def _stop_if(cancelled: threading.Event | None) -> None:
    if cancelled is not None and cancelled.is_set():
        raise SandboxCancelled("the job was ended from outside; nothing of it was kept")
