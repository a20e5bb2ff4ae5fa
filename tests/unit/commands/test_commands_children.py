"""Child processes end with us, whatever way we end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest

import commands
from commands.children import Child, Children, free_ports, port_answers, python
from commands.errors import CommandFailed

SLEEP = ("sleep", "60")
STUBBORN = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
DIES = ("sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done; echo boom >&2; exit 3")
PARENT = """
import sys, time
from pathlib import Path
from commands.children import Children

with Children(logs=Path(sys.argv[1])) as children:
    for name in ("one", "two"):
        print(children.start(name, ["sleep", "60"]).process.pid, flush=True)
    time.sleep(60)
"""


def gone(pid: int) -> bool:
    """Whether the process has ended; nobody may have taken note yet."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def soon(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(logs=tmp_path / "new" / "logs") as running:
        yield running


def test_all_end_when_the_block_is_left(tmp_path: Path) -> None:
    with Children(logs=tmp_path) as children:
        started = [children.start(name, SLEEP) for name in ("one", "two", "three")]
        assert [child.process.poll() for child in started] == [None] * 3
    assert [child.process.poll() for child in started] == [-signal.SIGTERM] * 3


def test_all_end_on_an_exception(tmp_path: Path) -> None:
    started: list[Child] = []

    def fail(children: Children) -> None:
        started.append(children.start("one", SLEEP))
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), Children(logs=tmp_path) as children:
        fail(children)
    assert started[0].process.poll() == -signal.SIGTERM


def test_one_that_will_not_go_is_killed_with_its_own_children(children: Children) -> None:
    child = children.start("stubborn", STUBBORN)
    children.wait_until("the trap", lambda: "ready" in child.output(), timeout_s=10)
    family = [child.process.pid, *(p.pid for p in psutil.Process(child.process.pid).children())]
    children.stop(child, timeout_s=0.2)
    assert child.process.poll() == -signal.SIGKILL
    assert soon(lambda: all(gone(pid) for pid in family))


def test_one_is_stopped_and_the_others_live(children: Children) -> None:
    first, second = children.start("one", SLEEP), children.start("two", SLEEP)
    children.stop(first)
    assert (first.process.poll(), second.process.poll()) == (-signal.SIGTERM, None)
    children.check()
    children.kill(second)
    assert second.process.poll() == -signal.SIGKILL
    children.check()


def test_the_last_words_of_one_that_died(children: Children) -> None:
    child = children.start("server", DIES)
    child.process.wait(10)
    with pytest.raises(CommandFailed) as failed:
        children.check()
    text = str(failed.value)
    assert text.startswith(f"server ended with code 3; the end of {child.log}:\n")
    assert text.endswith("line 8\nline 9\nboom")
    assert "line 2\n" not in text


def test_one_that_died_without_a_word(children: Children) -> None:
    child = children.start("server", ("true",))
    child.process.wait(10)
    with pytest.raises(CommandFailed, match=r"ended with code 0.*\n\(no output\)"):
        children.check()


def test_waiting_ends_when_a_process_died(children: Children) -> None:
    children.start("server", DIES)
    with pytest.raises(CommandFailed, match="boom"):
        children.wait_until("a miracle", lambda: False, timeout_s=10)


def test_waiting_ends_after_its_time(children: Children) -> None:
    children.start("server", SLEEP)
    with pytest.raises(CommandFailed, match=r"waited 0\.05 s for a miracle, in vain; see .*logs"):
        children.wait_until("a miracle", lambda: False, timeout_s=0.05)


def test_a_program_that_is_not_there(children: Children) -> None:
    with pytest.raises(CommandFailed, match="expected the program no-such-program"):
        children.start("server", ("no-such-program",))
    children.check()


def test_one_started_again_speaks_for_itself(children: Children) -> None:
    first = children.start("server", ("sh", "-c", "echo first; echo $WORD"), env={"WORD": "w"})
    first.process.wait(10)
    children.stop(first)
    second = children.start("server", ("sh", "-c", "echo second; sleep 60"))
    children.wait_until("it", lambda: "second" in second.output(), timeout_s=10)
    assert second.output() == "second\n"
    assert second.log.read_text("utf-8") == "first\nw\nsecond\n"


def test_a_child_reads_nothing_and_has_its_own_group(children: Children) -> None:
    child = children.start("server", ("sh", "-c", "read line || echo nothing; sleep 60"))
    children.wait_until("it", lambda: "nothing" in child.output(), timeout_s=10)
    assert os.getpgid(child.process.pid) == child.process.pid != os.getpgrp()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_when_their_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        python("-c", PARENT, str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(commands.__path__[0]).parent)},
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        started = [int(parent.stdout.readline()) for _ in range(2)]
        assert not any(gone(pid) for pid in started)
        parent.send_signal(number)
        parent.wait(20)
    assert soon(lambda: all(gone(pid) for pid in started))


def test_free_ports_differ_and_can_be_used() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[0]))
    assert free_ports(0) == []


def test_whether_a_port_answers() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert not port_answers(address)
        listener.listen()
        assert port_answers(address)
    assert not port_answers(address)
    assert not port_answers("no-such-host.invalid:1")


def test_the_interpreter_is_this_one() -> None:
    assert python("-m", "commands") == [sys.executable, "-m", "commands"]


def test_children_start_while_grpc_is_at_work(children: Children) -> None:
    """Forking Python code runs gRPC's fork handlers, and children then abort or hang at times."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stop = threading.Event()

    def call() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            unknown = channel.unary_unary("/no/such")
            while not stop.is_set():
                with pytest.raises(grpc.RpcError):
                    unknown(b"", timeout=5)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        started = [children.start(f"child-{n}", python("-I", "-S", "-c", "")) for n in range(30)]
        assert [child.process.wait(timeout=30) for child in started] == [0] * 30
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        server.stop(None).wait()
