"""One call of an app: what goes in, what comes out, and how an ended child's words are read.

Nothing that a child wrote is believed beyond its form: the app may have written all of it.
"""

from __future__ import annotations

import builtins
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from clients.appcall import AppResultError, parse_metric
from clients.appstate import MAX_STATE_BYTES, unpack_state
from clients.environments import Environment
from clients.errors import AppFailed, AppTimeout, SandboxCancelled, SandboxUnavailable
from clients.launcher import UPDATE_SLACK_BYTES, Ended, describe_status
from clients.scratch import SCRATCH_BYTES, SCRATCH_FILES
from clients.sdk import Rows, SdkError
from policies.errors import DocumentError
from policies.permit import Kind
from policies.runconfig import ConfigValue
from policies.tensors import Tensors, unpack_tensors


@dataclass(frozen=True, slots=True)
class Job:
    """One call of an app under a permit.

    Attributes:
        app_dir: the installed bundle; its content must not change while the sandbox lives.
        model: incoming model, safetensors bytes.
        timeout_s: wall seconds.
        memory_bytes: address space that the app may use on top of the interpreter's.
        devices: files of an accelerator that it may open (clients.accelerator).
        state: what the app kept after the last round of this run; None where it may keep nothing.
        environment: packages that it was approved with; None for this program's own only.
    """

    app_dir: Path
    kind: Kind
    model: bytes
    rows: Rows
    run_config: Mapping[str, ConfigValue]
    round: int
    timeout_s: float
    memory_bytes: int
    devices: tuple[Path, ...] = ()
    state: bytes | None = None
    environment: Environment | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """What the app returned; egress is still to be checked.

    Attributes:
        update: None for an evaluation.
        stderr_tail: the last 8 KiB that the app printed; for the node's own log only.
        state: what the app keeps; of the right form, and never to leave the node.
    """

    update: Tensors | None
    metrics: dict[str, float | int]
    stderr_tail: str
    state: bytes = b""


def cpu_seconds(wall_s: float) -> int:
    """Processor time that a job of so many seconds may take, of all its threads together.

    The libraries of a child are told to use one thread (clients.launcher): whoever starts more and
    keeps several processors busy for the whole of it takes more than the permit speaks of.
    """
    return math.ceil(wall_s) + 1


class Runner(Protocol):
    """`clients.sandbox.Sandbox`, or a fake."""

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        """One job to its end; SandboxCancelled soon after `cancelled` is set."""


def read_result(job: Job, ended: Ended) -> JobResult:
    """The result of a job that ended.

    Raises:
        SandboxCancelled, AppTimeout, AppFailed: it gave none; the text may travel.
        SandboxUnavailable: the child could not be confined.
    """
    if ended.stopped == "cancelled":
        raise SandboxCancelled("the job was ended from outside; nothing of it was kept")
    if ended.stopped == "timeout":
        raise AppTimeout(f"the app was ended: expected a result within {job.timeout_s:g} s")
    if ended.stopped == "cpu":
        allowed = cpu_seconds(job.timeout_s)
        raise AppTimeout(f"the app was ended: expected at most {allowed} s of processor time")
    if ended.stopped == "scratch":
        raise AppFailed(
            f"the app was ended: expected at most {SCRATCH_FILES} files and {SCRATCH_BYTES} bytes "
            "in its scratch folder"
        )
    if ended.stopped == "too-large":
        raise AppFailed(
            f"expected a reply about as large as the model ({len(job.model)} bytes), and a state "
            f"of at most {0 if job.state is None else MAX_STATE_BYTES} bytes, got more"
        )
    frame = ended.parsed()
    if frame is None:
        told, seen = describe_status(ended.status)
        raise AppFailed(
            f"the app's process ended without a result ({told}); it may "
            f"have needed more than {job.memory_bytes} bytes of memory",
            detail=f"{seen}\n{ended.tail}",
        )
    head, update, state = frame.head, frame.update, frame.state
    if head.get("ok") is not True:
        raise _failure(job, head, ended.tail)
    if len(update) > len(job.model) + UPDATE_SLACK_BYTES or (state and job.state is None):
        raise AppFailed("expected no larger update, and no state where none may be kept")
    try:
        unpack_state(state)  # its form: another must not wait for the next round
        if bool(update) != (job.kind == "train"):
            raise AppFailed("expected arrays when training, none when evaluating, got otherwise")
        return JobResult(
            update=unpack_tensors(update) if update else None,
            metrics={str(name): parse_metric(text) for name, text in head["metrics"].items()},
            stderr_tail=ended.tail,
            state=state,
        )
    except (DocumentError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise AppFailed("the app's reply cannot be read", detail=repr(error)[:500]) from error


def _failure(job: Job, head: Mapping[str, Any], tail: str) -> AppFailed | SandboxUnavailable:
    """The error of a failed child. All of `head` may be the app's own doing: what travels is a type
    that Python or Flower defines, and a line that the app's source has."""
    name, file, line, text = (head.get(key) for key in ("type", "file", "line", "text"))
    if head.get("stage") == "confinement":
        return SandboxUnavailable(f"the sandbox could not confine its child: {text}")
    place = ""
    source = job.app_dir / str(file)
    if isinstance(line, int) and file and source.resolve().is_relative_to(job.app_dir.resolve()):
        lines = source.read_bytes().count(b"\n") + 1 if source.is_file() else 0
        place = f" at {file}:{line}" if 1 <= line <= lines else ""
    kind = name if _is_public_type(name) else "something"
    return AppFailed(f"the app raised {kind}{place}", detail=f"{text}\n{tail}")


def _is_public_type(name: object) -> bool:
    """What `clients.appcall.public_type` can return."""
    known = getattr(builtins, str(name), None)
    ours = (AppResultError.__name__, SdkError.__name__)
    return name in ours or (isinstance(known, type) and issubclass(known, BaseException))
