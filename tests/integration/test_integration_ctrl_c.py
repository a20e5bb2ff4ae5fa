"""`tds demo` interrupted or killed at any moment leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from integration_space import alive, cmdline, descendants, wait_for

from auditors.snapshot import Snapshot
from commands.children import python

pytestmark = pytest.mark.process

Moment = Callable[["Demo"], bool]


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs in a session of its own, and the processes it was seen to have started."""

    folder: Path
    process: subprocess.Popen[bytes]
    seen: set[psutil.Process]

    def look(self) -> None:
        """Remember who is there now: below the demo, or with its folder in the command line."""
        self.seen.update(descendants(self.process.pid))
        mine = (p for p in psutil.process_iter() if str(self.folder) in cmdline(p))
        self.seen.update(p for p in mine if p.pid != self.process.pid)

    def left(self) -> list[str]:
        """Command lines of those that still run."""
        self.look()
        return [cmdline(process) for process in alive(list(self.seen))]

    def await_none_left(self, *, timeout_s: float) -> None:
        """Returns once none runs; else fails with who is left and what its threads do."""
        end = time.monotonic() + timeout_s
        while left := self.left():
            assert time.monotonic() < end, f"after {timeout_s:g} s: {left}, {self.stacks()}"
            time.sleep(0.1)

    def stacks(self) -> dict[str, str]:
        """By log file, what was said last by those that still run: where each thread is."""
        for process in alive(list(self.seen)):
            process.send_signal(signal.SIGABRT)  # faulthandler's dump of all threads
        time.sleep(1.0)
        logs = {file.name: file.read_bytes()[-4000:] for file in self.folder.glob("**/logs/*.log")}
        aborted = {name: text for name, text in logs.items() if b"Fatal Python error" in text}
        return {name: text.decode(errors="replace") for name, text in aborted.items()}

    def has_started(self, count: int) -> bool:
        """Whether so many processes were seen."""
        return len(self.seen) >= count

    def log_has(self, kind: str) -> bool:
        """Whether the space's log has an entry of this type."""
        log = self.folder / "space" / "log"
        return (log / "checkpoint").exists() and any(
            f'"type":"{kind}"'.encode() in line for line in Snapshot.take(log).lines()
        )

    @property
    def output(self) -> str:
        """What the demo itself printed."""
        return (self.folder.parent / "demo.txt").read_text(encoding="utf-8")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A demo, just started."""
    folder = tmp_path / "demo"
    with (tmp_path / "demo.txt").open("wb") as output:
        process = subprocess.Popen(
            python("-m", "commands", "demo", "--folder", str(folder), "--rounds", "1000"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )
    found = Demo(folder=folder, process=process, seen=set())
    try:
        yield found
    finally:
        found.look()
        for left in (process, *alive(list(found.seen))):
            left.kill()
        process.wait()


def _superlink_starts(demo: Demo) -> bool:
    return (demo.folder / "space" / "logs" / "superlink.log").exists()


def _nodes_start(demo: Demo) -> bool:
    return any(demo.folder.glob("logs/node-*.log"))


def _rounds_run(demo: Demo) -> bool:
    return demo.log_has("RoundClosed")


@pytest.mark.parametrize(
    ("moment", "processes"),
    [
        pytest.param(_superlink_starts, 2, id="while the SuperLink starts"),
        pytest.param(_nodes_start, 3, id="while the nodes start"),
        pytest.param(_rounds_run, 13, id="while rounds run"),
    ],
)
def test_ctrl_c_leaves_no_process(demo: Demo, moment: Moment, processes: int) -> None:
    _wait_for(demo, moment, processes)
    # As a terminal does: to the whole foreground process group.
    os.killpg(demo.process.pid, signal.SIGINT)
    wait_for("the demo to end", lambda: demo.process.poll() is not None, timeout_s=30)
    assert demo.process.returncode == 130
    assert "interrupted; everything that was started has been ended" in demo.output
    assert "Traceback" not in demo.output
    demo.await_none_left(timeout_s=15)


def test_a_killed_demo_leaves_no_process(demo: Demo) -> None:
    _wait_for(demo, _rounds_run, 13)
    demo.process.kill()
    demo.process.wait()
    demo.await_none_left(timeout_s=60)


def _wait_for(demo: Demo, moment: Moment, processes: int) -> None:
    def ready() -> bool:
        demo.look()
        assert demo.process.poll() is None, demo.output
        return moment(demo) and demo.has_started(processes)

    wait_for(moment.__name__, ready, timeout_s=180)
