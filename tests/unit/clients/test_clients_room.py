"""How much a node does at once: places, memory, sandboxes, messages in hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_clients_gate import APP, NOW, agreement
from test_clients_work import CONFINEMENT, UPDATE, Node, code

from clients import work
from clients.desk import Desk
from clients.errors import ClientError, SandboxUnavailable
from clients.jobs import Job, JobResult
from clients.room import GIB, Room, memory_of_host, parse_size, room_of
from clients.slots import Slots
from clients.tasks import Done, Reply, Task
from policies.fields import instant
from policies.receipt import Confinement

LIMITS = {"wall_s": 60, "memory_bytes": 3 * GIB, "accelerator": "none"}


def soon(what: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


# -- room ------------------------------------------------------------------------------------------


def test_memory_is_lent_up_to_the_ceiling_and_comes_back() -> None:
    room = Room(tasks=4, memory_bytes=10)
    assert room.take(6)
    assert not room.take(5)
    assert room.take(4)
    room.give_back(6)
    assert room.take(6)
    assert not room.take(11)
    assert not room.fits(11)


def test_one_that_waits_gets_what_is_given_back() -> None:
    room = Room(tasks=2, memory_bytes=10)
    assert room.take(10)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(room.take(5, wait_s=10)))
    waiting.start()
    room.give_back(10)
    waiting.join()
    assert got == [True]
    begun = time.monotonic()
    assert not room.take(6, wait_s=0.1)
    assert time.monotonic() - begun < 5


def test_without_a_ceiling_of_the_owners_one_alone_may_have_more() -> None:
    room = Room(tasks=2, memory_bytes=10, alone=True)
    assert room.take(50)
    assert not room.take(1)
    room.give_back(50)
    assert room.take(4)
    assert not room.take(50)


def test_places() -> None:
    room = Room(tasks=2, memory_bytes=0)
    assert (room.enter(), room.enter(), room.enter()) == (1, 2, 0)
    room.leave()
    assert room.enter() == 2


@pytest.mark.parametrize(
    ("memory", "tasks", "available", "expected"),
    [
        ("", 0, 16 * GIB, (2, 8 * GIB)),
        ("", 0, 4 * GIB, (1, 2 * GIB)),
        ("", 3, 4 * GIB, (3, 2 * GIB)),
        ("4GiB", 0, 1, (2, 4 * GIB)),
        ("512MiB", 0, 1, (1, 512 << 20)),
        ("1000", 5, 1, (5, 1000)),
    ],
)
def test_what_an_owner_asks_for(
    memory: str, tasks: int, available: int, expected: tuple[int, int]
) -> None:
    room = room_of(memory=memory, tasks=tasks, available=available)
    assert (room.tasks, room.memory_bytes) == expected
    assert room.fits(100 * GIB) == (memory == "")


@pytest.mark.parametrize("text", ["", "0", "4 GiB", "4GB", "-1", "4gib", "1e9", "٤GiB", "9" * 30])
def test_no_size(text: str) -> None:
    with pytest.raises(ClientError, match="memory: expected a size such as 4GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("limits", "place", "expected"),
    [
        ({"": "max"}, "0::/", None),
        ({"": "5000"}, "0::/", 5000),
        ({"a": "7000", "a/b": "max"}, "0::/a/b", 7000),
        ({"a": "7000", "a/b": "3000"}, "0::/a/b", 3000),
        ({"a": "7000", "a/b": "9000"}, "1:x:/z\n0::/a/b", 7000),
        ({}, "0::/../..", None),
        ({}, None, None),
    ],
)
def test_memory_of_a_container_is_its_cgroups(
    tmp_path: Path, limits: dict[str, str], place: str | None, expected: int | None
) -> None:
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    for name, text in limits.items():
        (groups / name).mkdir(parents=True, exist_ok=True)
        (groups / name / "memory.max").write_text(text + "\n")
    if place is not None:
        own.write_text(place + "\n")
    whole = memory_of_host(tmp_path / "none", tmp_path / "none")
    assert memory_of_host(groups, own) == (expected or whole)


# -- sandboxes -------------------------------------------------------------------------------------


@dataclass
class FakeSandbox:
    """Runs until it is let."""

    confinement: Confinement = CONFINEMENT
    go: threading.Event = field(default_factory=threading.Event)
    jobs: list[Job] = field(default_factory=list)
    running: int = 0
    closed: bool = False

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        self.running += 1
        assert self.running == 1, "one sandbox, one job"
        self.jobs.append(job)
        while not self.go.wait(0.005):
            if cancelled is not None and cancelled.is_set():
                break
        self.running -= 1
        return JobResult(dict(UPDATE), {"loss": 0.5}, "")

    def alive(self) -> bool:
        return not self.closed

    def close(self) -> None:
        self.closed = True
        self.go.set()


def test_sandboxes_are_started_when_needed_and_each_has_one_job() -> None:
    made = [FakeSandbox()]

    def start() -> FakeSandbox:
        made.append(FakeSandbox())
        return made[-1]

    with Slots(made[0], start=start, most=2) as slots:
        slots.prepare(1)
        assert len(made) == 1
        slots.prepare(2)
        slots.prepare(3)
        assert len(made) == 2
        assert slots.alive()
        made[1].closed = True
        assert not slots.alive()
    assert (made[0].closed, made[1].closed) == (False, True)


@pytest.mark.parametrize(
    "other",
    [
        FakeSandbox(confinement=CONFINEMENT.model_copy(update={"files": "host"})),
        FakeSandbox(confinement=CONFINEMENT.model_copy(update={"user": "same"})),
    ],
)
def test_one_that_confines_less_than_the_first_is_not_used(other: FakeSandbox) -> None:
    with Slots(FakeSandbox(), start=lambda: other, most=2) as slots:
        with pytest.raises(SandboxUnavailable, match="as the first does"):
            slots.prepare(2)
        assert other.closed


# -- the worker ------------------------------------------------------------------------------------


class Busy:
    """A node with room for two tasks, whose apps run until they are let."""

    def __init__(self, folder: Path, room: Room) -> None:
        self.sandboxes = [FakeSandbox(), FakeSandbox()]
        slots = Slots(self.sandboxes[0], start=lambda: self.sandboxes[1], most=room.tasks)
        self.node = Node(folder)
        self.node.runner = slots  # type: ignore[assignment]
        self.node.room, self.node.prepare = room, slots.prepare
        self.node.restart()
        self.node.state.approve_app(APP, time=instant(NOW))
        self.node.consent(agreement())
        self.replies: dict[int, Reply] = {}
        self.threads: list[threading.Thread] = []

    def task(self, number: int, *, flower_run: str = "") -> Task:
        run = flower_run or str(100 + number)
        task = self.node.task(number, flower_run=run, run=f"run-{run}", limits=LIMITS)
        return Task(run, task.fab_sha256, task.run_config, task.permit, task.model)

    def start(self, number: int, **more: str) -> None:
        task = self.task(number, **more)

        def handle() -> None:
            self.replies[number] = self.node.worker.handle(task)

        self.threads.append(threading.Thread(target=handle, daemon=True))
        self.threads[-1].start()

    def running(self) -> int:
        return sum(one.running for one in self.sandboxes)

    def finish(self) -> None:
        for sandbox in self.sandboxes:
            sandbox.go.set()
        for thread in self.threads:
            thread.join(20)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    busy = Busy(tmp_path, Room(tasks=2, memory_bytes=8 * GIB))
    yield busy
    busy.finish()
    busy.node.close()


def test_two_runs_at_once_are_recorded_apart_and_both_end_well(busy: Busy) -> None:
    busy.start(1)
    soon(lambda: busy.running() == 1)
    busy.start(2)
    soon(lambda: busy.running() == 2)
    assert [use.outcome for use in busy.node.state.uses(limit=9)] == [None, None]
    assert code(busy.node.worker.handle(busy.task(3))) == "node-busy"
    busy.finish()
    assert all(isinstance(reply, Done) for reply in busy.replies.values())
    assert [use.outcome for use in busy.node.state.uses(limit=9)] == ["receipted"] * 2
    types = busy.node.types()
    assert sorted(types) == ["UseReceipted"] * 2 + ["UseRefused"] + ["UseStarted"] * 2
    record = busy.node.state.agreement("agreement-clinic-a")
    assert record is not None
    assert record.uses == 2


def test_a_task_that_begins_takes_no_running_one_for_cut_off(busy: Busy) -> None:
    busy.start(1)
    soon(lambda: busy.running() == 1)
    assert busy.node.worker.recover() == 0
    busy.start(2)
    soon(lambda: busy.running() == 2)
    assert "UseFailed" not in busy.node.types()


def test_tasks_of_one_run_are_handled_one_after_another(busy: Busy) -> None:
    busy.start(1, flower_run="77")
    soon(lambda: busy.running() == 1)
    busy.start(2, flower_run="77")
    time.sleep(0.1)
    assert busy.running() == 1
    assert len(busy.node.state.uses(limit=9)) == 1
    busy.finish()
    assert all(isinstance(reply, Done) for reply in busy.replies.values())


def test_a_withdrawal_ends_all_tasks_under_it(busy: Busy) -> None:
    busy.start(1)
    busy.start(2)
    soon(lambda: busy.running() == 2)
    busy.node.withdraw()
    busy.node.worker.recheck()
    for thread in busy.threads:
        thread.join(20)
    assert [code(reply) for reply in busy.replies.values()] == ["consent-withdrawn"] * 2


def test_memory_beyond_the_ceiling_is_waited_for_then_refused_and_nothing_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Busy(tmp_path, Room(tasks=2, memory_bytes=5 * GIB))
    busy.start(1)
    soon(lambda: busy.running() == 1)
    monkeypatch.setattr(work, "BUSY_WAIT_S", 0.1)
    reply = busy.node.worker.handle(busy.task(2))
    assert code(reply) == "node-busy"
    assert f"allows the app {3 * GIB} bytes" in getattr(reply, "text", "")
    assert len(busy.node.state.uses(limit=9)) == 1
    monkeypatch.setattr(work, "BUSY_WAIT_S", 20.0)
    busy.start(3)
    time.sleep(0.1)
    assert busy.running() == 1
    busy.finish()
    assert isinstance(busy.replies[3], Done)
    busy.node.close()


def test_a_permit_above_the_owners_ceiling_is_refused_at_once(tmp_path: Path) -> None:
    busy = Busy(tmp_path, room_of(memory="1GiB", tasks=2))
    begun = time.monotonic()
    reply = busy.node.worker.handle(busy.task(1))
    assert time.monotonic() - begun < work.BUSY_WAIT_S
    assert (code(reply), "can become free" in getattr(reply, "text", "")) == ("node-busy", True)
    assert busy.node.state.uses(limit=9) == []
    busy.node.close()


# -- messages --------------------------------------------------------------------------------------


def test_a_desk_of_one_answers_where_it_is_given() -> None:
    here: list[threading.Thread] = []
    desk: Desk[int] = Desk(lambda _: here.append(threading.current_thread()))
    desk.give(1)
    assert here == [threading.current_thread()]
    assert (desk.answered(), desk.answered(), desk.busy, desk.free) == (True, False, False, True)


def test_a_desk_of_two_answers_two_at_once_and_tells_what_went_wrong() -> None:
    go = threading.Event()

    def answer(message: int) -> None:
        go.wait(10)
        if message == 2:
            raise ClientError("gone")

    desk: Desk[int] = Desk(answer, size=2)
    desk.give(1)
    assert (desk.free, desk.busy) == (True, True)
    desk.give(2)
    assert not desk.free
    desk.check()
    desk.wait(0.01)
    assert not desk.answered()
    assert not desk.close(0.01), "both are in hand"
    go.set()
    assert desk.close(10)
    assert desk.answered()
    with pytest.raises(ClientError, match="gone"):
        desk.check()
    desk.check()
    assert desk.free


def test_a_desk_that_closes_tells_what_nobody_has_heard_of() -> None:
    def answer(message: int) -> None:
        raise ClientError(f"{message} was not sent")

    desk: Desk[int] = Desk(answer, size=2)
    desk.give(1)
    assert desk.close(10)
    assert [str(problem) for problem in desk.problems()] == ["1 was not sent"]
    assert desk.problems() == ()


@pytest.mark.parametrize("size", [1, 2])
def test_a_desk_knows_how_long_ago_it_answered(size: int) -> None:
    desk: Desk[int] = Desk(lambda _: None, size=size)
    assert desk.rests_s(60) == 0
    desk.give(1)
    assert desk.close(10)
    assert 0 < desk.rests_s(60) <= 60
    assert desk.rests_s(0) == 0
