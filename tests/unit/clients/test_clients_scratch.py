"""Scratch folders: bounded by the kernel where mounts are allowed, looked at where they are not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hostile_app import write_app
from test_clients_sandbox import DROP, ROOT, job

from clients.confinement import unprivileged_user
from clients.errors import AppFailed, AppTimeout
from clients.jobs import cpu_seconds, read_result
from clients.launcher import Ended
from clients.scratch import SCRATCH_BYTES, SCRATCH_FILES, ScratchSpace

RUN = """
import json, sys
from clients.errors import SandboxError
from clients.sandbox import Sandbox
from tests.unit.clients.test_clients_sandbox import Path, job
with Sandbox.start(preload=()) as sandbox:
    print(sandbox.pid, sandbox.confinement.scratch, flush=True)
    for do in sys.argv[3:]:
        try:
            found = sandbox.run(job(Path(sys.argv[1]), do, timeout_s=float(sys.argv[2]))).metrics
        except SandboxError as error:
            found = str(error)
        print(json.dumps(found), flush=True)
"""


@pytest.fixture
def app() -> Iterator[Path]:
    """The app that cheats, in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="tds-scratch-") as folder:
        Path(folder).chmod(0o755)
        yield write_app(Path(folder) / "app")


def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/tmp",
            "TMPDIR": "/tmp",
            "PYTHONPATH": str(Path(__file__).parent),
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def test_without_mounts_a_full_folder_ends_the_job(app: Path) -> None:
    """As a user who may not mount; the next job works."""
    script = RUN if unprivileged_user() is None else DROP + RUN
    process = started(script, str(app), "60", "fill-files", "nothing")
    out, _ = process.communicate(timeout=120)
    first, *replies = out.splitlines()
    assert first.split()[1] == "watched"
    filled, then = map(json.loads, replies)
    assert filled == (
        f"the app was ended: expected at most {SCRATCH_FILES} files and {SCRATCH_BYTES} bytes in "
        "its scratch folder"
    )
    assert then == {"loss": 1.0}


def test_a_child_whose_node_hangs_ends_when_its_processor_time_is_up(app: Path) -> None:
    """The wall time is the node's to watch; stopped, it cannot."""
    with started(RUN, str(app), "3", "spin") as node:
        assert node.stdout is not None
        zygote = psutil.Process(int(node.stdout.readline().split()[0]))
        while not (children := zygote.children()):
            time.sleep(0.01)
        os.kill(node.pid, signal.SIGSTOP)
        try:
            _, alive = psutil.wait_procs(children, timeout=120)
        finally:
            os.kill(node.pid, signal.SIGCONT)
        assert alive == []
        # Whichever the node learns of first: that its own time is up, or why the child ended.
        assert "the app was ended: expected" in node.stdout.read()


@pytest.mark.parametrize(
    ("stopped", "error", "words"),
    [
        ("cpu", AppTimeout, "at most 31 s of processor time"),
        ("scratch", AppFailed, f"at most {SCRATCH_FILES} files and {SCRATCH_BYTES} bytes"),
    ],
)
def test_what_a_job_was_ended_for_is_told(stopped: str, error: type[Exception], words: str) -> None:
    assert cpu_seconds(30.0) == 31
    with pytest.raises(error, match=words):
        read_result(job(Path("/app"), "nothing"), Ended(stopped=stopped))  # type: ignore[arg-type]


def filled(place: Path, *, files: int = 0, folders: int = 0, size: int = 0) -> Path:
    for number in range(files):
        (place / f"f{number}").touch()
    for number in range(folders):
        (place / f"d{number}" / "inner").mkdir(parents=True)
    if size:
        with (place / "large").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    return place


@pytest.mark.parametrize(
    ("content", "over"),
    [
        ({}, False),
        ({"files": SCRATCH_FILES}, False),
        ({"files": SCRATCH_FILES + 1}, True),
        ({"folders": SCRATCH_FILES // 2 + 1}, True),
        ({"size": 1 << 20}, False),
        ({"size": SCRATCH_BYTES + (1 << 20)}, True),
    ],
)
def test_files_folders_and_bytes_are_counted(
    tmp_path: Path, content: dict[str, int], over: bool
) -> None:
    space = ScratchSpace(tmp_path, bounded=False)
    folder = filled(space.folder(), **content)
    assert space.over(folder) is over
    assert not ScratchSpace(tmp_path, bounded=True).over(folder)
    space.remove(folder)
    assert list(tmp_path.iterdir()) == []
