"""kill -9 of a node's parent, child and zygote in the middle of a use, with real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hostile_node import HostileNode, hostile_node
from test_clients_work import MODEL, Node

import clients
from clients.tasks import Done, Reply, Task
from policies.wire import Refusal

ROOT = Path(clients.__path__[0]).parent
HERE = Path(__file__).parent

STEPS = {
    "admitted": [],
    "recorded": ["UseFailed"],
    "started": ["UseStarted", "UseFailed"],
    "opened": ["UseStarted", "UseFailed"],
    "running": ["UseStarted", "UseFailed"],
    "ran": ["UseStarted", "UseFailed"],
    "checked": ["UseStarted", "UseFailed"],
    "receipted": ["UseStarted", "UseReceipted"],
    "finished": ["UseStarted", "UseReceipted"],
}
"""Where the parent is killed, and what its own log tells after the next start."""

OF_WORKER = re.compile(r'self\._step\("(\w+)"\)')


def test_the_table_has_every_step_of_the_worker() -> None:
    steps = OF_WORKER.findall((ROOT / "clients" / "work.py").read_text(encoding="utf-8"))
    assert set(STEPS) == {*steps, "running"}


@dataclass(frozen=True)
class Started:
    folder: Path
    process: subprocess.Popen[str]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Started]]:
    """A process a step, all starting at the same time."""
    nodes = {}
    for step in STEPS:
        folder = tmp_path_factory.mktemp(step)
        process = subprocess.Popen(
            [sys.executable, str(HERE / "killed_node.py"), str(folder), step],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        nodes[step] = Started(folder, process)
    yield nodes
    for node in nodes.values():
        node.process.kill()
        node.process.wait()
        assert node.process.stdout is not None
        node.process.stdout.close()


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_parent_loses_no_receipt_and_uses_no_permit_twice(
    started: dict[str, Started], step: str
) -> None:
    killed = started[step]
    zygote = psutil.Process(int(killed.line()))
    assert killed.line() == "at"
    below = [zygote, *zygote.children(recursive=True)]
    assert len(below) == (2 if step == "running" else 1)
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    assert psutil.wait_procs(below, timeout=10)[1] == [], "a process is left"

    node = Node(killed.folder)
    try:
        assert node.worker.recover() == (0 if step in ("admitted", "finished") else 1)
        assert node.types() == STEPS[step]
        assert node.state.unfinished() == []
        permit = (killed.folder / "permit").read_bytes()
        app = node.state.apps()[0].sha256
        config = {"do": "sleep" if step == "running" else "nothing"}
        again = node.worker.handle(Task("77", app, config, permit, MODEL))
        if step == "admitted":  # nothing was recorded, and nothing used: the permit is good
            assert isinstance(again, Done)
            return
        assert isinstance(again, Refusal)
        assert again.code == "permit-replayed"
        assert node.runner.jobs == []
    finally:
        node.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileNode]:
    with hostile_node(tmp_path_factory.mktemp("hostile")) as started:
        yield started


@pytest.mark.parametrize(("who", "code"), [("child", "app-failed"), ("zygote", "node-unavailable")])
def test_a_killed_child_or_zygote_fails_its_use_alone(
    node: HostileNode, who: str, code: str
) -> None:
    node.attack("nothing")  # the child that reads the app's sources came and went
    task = node.task("sleep")
    replies: list[Reply] = []
    worker = threading.Thread(target=lambda: replies.append(node.node.worker.handle(task)))
    worker.start()
    zygote = psutil.Process(node.sandbox.pid)
    while not (children := zygote.children()):
        time.sleep(0.02)
    os.kill(children[0].pid if who == "child" else zygote.pid, signal.SIGKILL)
    worker.join(20)
    assert [reply.code for reply in replies if isinstance(reply, Refusal)] == [code]
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert node.last_entry() == ("UseFailed", code)

    again = node.node.worker.handle(task)
    assert isinstance(again, Refusal)
    assert again.code == "permit-replayed"
    assert isinstance(node.attack("nothing"), Done)


@pytest.mark.parametrize("step", [step for step in STEPS if step != "running"])
def test_a_zygote_killed_at_any_other_step_is_replaced(node: HostileNode, step: str) -> None:
    """Only while the app runs is it needed; the child, too, is there only then."""
    killed: list[psutil.Process] = []

    def kill() -> None:
        zygote = psutil.Process(node.sandbox.pid)
        assert zygote.children() == []
        zygote.kill()
        while zygote.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        killed.append(zygote)

    task = node.task("nothing")
    entries = len(node.node.types())
    node.node.at[step] = kill
    try:
        reply = node.node.worker.handle(task)
    finally:
        del node.node.at[step]
    assert len(killed) == 1
    assert isinstance(reply, Done), reply
    assert node.node.types()[entries:] == ["UseStarted", "UseReceipted"]
    assert node.node.state.unfinished() == []
    assert isinstance(node.attack("nothing"), Done)
    left = [one for one in psutil.Process().children() if one.pid == killed[0].pid]
    assert left == []
    assert node.sandbox.pid != killed[0].pid
