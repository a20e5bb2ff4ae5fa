"""The node's loop over a fake SuperLink, and when it looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, Metadata, RecordDict

from clients.backoff import Backoff, Presence
from clients.desk import Desk
from clients.fleet import RunInfo
from clients.fleet_errors import FleetRejected, FleetUnavailable
from clients.messages import Instruction, read_instruction
from clients.node import NodeLoop, Pace
from clients.tasks import Answered, Done, Reply, Task
from policies.canonical import sha256_hex
from policies.wire import MODEL, PERMIT, ROUND_RECORD, Refusal, Step

FAB = b"the bundle"
DONE = Done(receipt=b"receipt", update=b"update")
NO = Refusal(code="consent-withdrawn", text="no")


def message(content: RecordDict | None = None, *, kind: str = "train") -> Message:
    metadata = Metadata(
        run_id=5,
        message_id="m1",
        src_node_id=1,
        dst_node_id=9,
        reply_to_message_id="",
        group_id="1",
        created_at=0.0,
        ttl=10.0,
        message_type=kind,
    )
    return Message(content=content or RecordDict(), metadata=metadata)  # type: ignore[call-overload,no-any-return]


def instruction(permit: bytes = b"permit") -> Instruction:
    record = ConfigRecord({PERMIT: permit, MODEL: b"model"})
    found = read_instruction(message(RecordDict({ROUND_RECORD: record})))
    assert found is not None
    return found


Polled = Instruction | Message | None | Exception


@dataclass
class FakeFleet:
    """Answers each poll from a script; stops the loop when the script is at its end."""

    script: list[Polled]
    stop: threading.Event
    problem: Exception | None = None
    sent: list[tuple[Any, ...]] = field(default_factory=list)

    def poll(self) -> Instruction | Message | None:
        if len(self.script) <= 1:
            self.stop.set()
        found = self.script.pop(0) if self.script else None
        if isinstance(found, Exception):
            raise found
        return found

    def run_info(self, flower_run: str) -> RunInfo:
        return RunInfo(flower_run=flower_run, fab=FAB, config={"rate": 0.1})

    def reply(self, instruction: Instruction, *, receipt: bytes, update: bytes) -> None:
        self._send((instruction.permit, receipt, update))

    def answer(self, instruction: Instruction, answer: bytes) -> None:
        self._send((instruction.step, answer))

    def refuse(self, message: Message, refusal: Refusal) -> None:
        self._send((message.metadata.message_type, refusal.code, refusal.text))

    def _send(self, what: tuple[Any, ...]) -> None:
        problem, self.problem = self.problem, None
        if problem is not None:
            raise problem
        self.sent.append(what)


class Stop(threading.Event):
    """Never really waits; keeps how long it should have, and lets the clock run on."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.now = 100.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += timeout
        return self.is_set()


@dataclass
class Ran:
    fleet: FakeFleet
    stop: Stop
    tasks: list[Task]
    told: list[str] = field(default_factory=list)
    joins: int = 0


def run(
    script: Iterable[Polled],
    *,
    answer: Callable[[Task], Reply] = lambda _: DONE,
    problem: Exception | None = None,
    pace: Pace | None = None,
    joins: Sequence[bool | Exception] = (),
) -> Ran:
    stop = Stop()
    ran = Ran(FakeFleet(list(script), stop, problem), stop, [])

    def handle(task: Task) -> Reply:
        ran.tasks.append(task)
        return answer(task)

    def join() -> bool:
        ran.joins += 1
        found = joins[ran.joins - 1] if ran.joins <= len(joins) else True
        if isinstance(found, Exception):
            raise found
        return found

    loop(ran.fleet, stop, handle=handle, pace=pace, join=join, told=ran.told).run()
    return ran


def loop(
    fleet: FakeFleet,
    stop: Stop,
    *,
    handle: Callable[[Task], Reply] = lambda _: DONE,
    pace: Pace | None = None,
    join: Callable[[], bool] = lambda: True,
    told: list[str] | None = None,
) -> NodeLoop:
    return NodeLoop(
        fleet=fleet,
        handle=handle,
        stop=stop,
        pace=pace or Pace(active_s=0.03, idle_s=1.0),
        presence=Presence(
            "the SuperLink", (told if told is not None else []).append, clock=lambda: stop.now
        ),
        backoff=Backoff(draw=lambda: 1.0),
        join=join,
        clock=lambda: stop.now,
    )


def test_an_instruction_is_handled_and_answered() -> None:
    ran = run([instruction()])
    assert ran.fleet.sent == [(b"permit", b"receipt", b"update")]
    assert ran.tasks == [
        Task(
            flower_run="5",
            fab_sha256=sha256_hex(FAB),
            run_config={"rate": 0.1},
            permit=b"permit",
            model=b"model",
        )
    ]


def test_a_step_in_which_nothing_is_used_is_answered() -> None:
    step = replace(instruction(), step="agree", told={"split": b"s", "release": b"r"})
    ran = run([step], answer=lambda _: Answered(b"signature"))
    assert ran.fleet.sent == [("agree", b"signature")]
    assert (ran.tasks[0].step, ran.tasks[0].told) == (step.step, step.told)


@pytest.mark.parametrize(("step", "soon"), [("share", True), ("agree", True), ("unmask", False)])
def test_the_next_step_of_a_round_is_looked_for_at_once(step: Step, soon: bool) -> None:
    pace = Pace(active_s=0.03, idle_s=1.0)
    pace.found(0.8)
    run([replace(instruction(), step=step)], answer=lambda _: Answered(b"a"), pace=pace)
    # What was learnt before stands; the message in hand came at once.
    learnt = pytest.approx(0.5 * 0.6 * 0.8, abs=0.01)
    assert pace.after_reply() == (0.0 if soon else learnt)
    if soon:
        pace.found(0.0)
        assert pace.after_reply() == learnt


def test_a_refusal_is_sent() -> None:
    ran = run([instruction(), instruction()], answer=lambda _: NO)
    assert ran.fleet.sent == [("train", "consent-withdrawn", "no")] * 2


@pytest.mark.parametrize(
    "foreign",
    [
        message(),
        message(kind="query"),
        message(RecordDict({"arrays": ConfigRecord({"x": 1})})),
        message(kind="train." + "x" * 500),
    ],
    ids=["empty", "another kind", "an ordinary app's", "a long kind"],
)
def test_what_is_no_instruction_is_refused_and_never_handled(foreign: Message) -> None:
    ran = run([foreign, instruction()])
    kind, code, text = ran.fleet.sent[0]
    assert (kind, code) == (foreign.metadata.message_type, "permit-malformed")
    assert "runs nothing without a permit" in text
    assert len(text) < 300
    assert len(ran.tasks) == 1
    assert len(ran.fleet.sent) == 2


def test_an_unreachable_superlink_is_waited_for_ever_longer() -> None:
    away = FleetUnavailable("no connection")
    ran = run([away] * 10 + [instruction()])
    waits = ran.stop.waits[:10]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0])
    assert len(ran.fleet.sent) == 1
    assert ran.told == [
        "waiting for the SuperLink: no connection",
        "the SuperLink is there again after 43 s",
    ]


def test_after_an_answer_it_is_patient_from_the_start() -> None:
    away = FleetUnavailable("no connection")
    ran = run([away, away, None, away])
    assert [ran.stop.waits[i] for i in (0, 1, 3)] == pytest.approx([0.1, 0.2, 0.1])


def test_a_reply_that_cannot_be_sent_is_given_up_and_the_loop_goes_on() -> None:
    ran = run([instruction(b"one"), instruction(b"two")], problem=FleetUnavailable("gone"))
    assert [task.permit for task in ran.tasks] == [b"one", b"two"]
    assert ran.fleet.sent == [(b"two", b"receipt", b"update")]


FORGOT = FleetRejected("no such key")


@pytest.mark.parametrize("script", [[], [None, None]])
def test_a_superlink_that_forgot_this_node_is_entered_again(script: list[Polled]) -> None:
    ran = run([*script, FORGOT, instruction()])
    assert ran.joins == 1
    assert len(ran.fleet.sent) == 1
    assert ran.told == [
        "waiting for the SuperLink: it has to let this node in again: no such key",
        "the SuperLink is there again after 0 s",
    ]


def test_forgotten_at_a_reply_it_goes_on_with_the_next_message() -> None:
    ran = run([instruction(b"one"), instruction(b"two")], problem=FORGOT)
    assert (ran.joins, ran.fleet.sent) == (1, [(b"two", b"receipt", b"update")])


def test_a_node_that_is_let_in_no_more_ends() -> None:
    with pytest.raises(FleetRejected, match="not enrolled"):
        run([FORGOT, instruction()], joins=[FleetRejected("not enrolled")])


def test_a_stop_is_kept_after_the_message_in_hand() -> None:
    stop = Stop()
    fleet = FakeFleet([instruction(b"one"), instruction(b"two"), None], stop)

    def handle(_task: Task) -> Done:
        stop.set()
        return DONE

    loop(fleet, stop, handle=handle).run()
    assert fleet.sent == [(b"one", b"receipt", b"update")]


def test_stopped_before_it_began_it_does_not_look() -> None:
    stop = Stop()
    stop.set()
    fleet = FakeFleet([instruction()], stop)
    loop(fleet, stop).run()
    assert fleet.sent == []


def test_it_learns_when_messages_come_and_sleeps_through_half_of_it() -> None:
    gap_s = 0.5
    stop = Stop()
    looks: list[float] = []

    @dataclass
    class Regular(FakeFleet):
        """A message comes `gap_s` after each reply."""

        due: float = 100.0 + gap_s

        def poll(self) -> Instruction | Message | None:
            looks.append(stop.now)
            if stop.now < self.due:
                return None
            if len(self.sent) == 40:
                self.stop.set()
            return instruction()

        def reply(self, instruction: Instruction, *, receipt: bytes, update: bytes) -> None:
            super().reply(instruction, receipt=receipt, update=update)
            self.due = stop.now + gap_s

    fleet = Regular([], stop)
    loop(fleet, stop, pace=Pace(active_s=0.01, idle_s=1.0)).run()
    seconds = stop.now - 100.0
    assert len(fleet.sent) == 41
    assert seconds / 41 < 1.15 * gap_s, "little is slept over"
    assert len(looks) / 41 < 12, "few looks are in vain"


# -- Pace ----------------------------------------------------------------------------------------


def test_before_anything_came_it_looks_at_once() -> None:
    assert Pace(active_s=0.03, idle_s=1.0).after_reply() == 0.0


@pytest.mark.parametrize("gap_s", [0.0, 0.01, 0.2, 1.0])
def test_it_sleeps_through_half_of_the_learnt_gap(gap_s: float) -> None:
    pace = Pace(active_s=0.001, idle_s=1.0)
    pace.found(gap_s)
    assert pace.after_reply() == pytest.approx(0.5 * gap_s)
    assert pace.after_nothing() < max(0.07 * gap_s, 0.0011)


@pytest.mark.parametrize(
    ("active_s", "idle_s", "gaps"),
    [
        (0.03, 1.0, [3600.0]),
        (0.03, 1.0, [0.0, 1e9, 5.0]),
        (0.001, 0.002, [10.0]),
        (5.0, 1.0, [0.1]),
    ],
)
def test_it_never_sleeps_longer_than_idle(
    active_s: float, idle_s: float, gaps: list[float]
) -> None:
    pace = Pace(active_s=active_s, idle_s=idle_s)
    for gap_s in gaps:
        pace.found(gap_s)
        assert pace.after_reply() <= idle_s
        assert max(pace.after_nothing() for _ in range(500)) <= idle_s


def test_pauses_grow_to_idle_when_nothing_comes_and_shrink_after_a_reply() -> None:
    pace = Pace(active_s=0.03, idle_s=1.0)
    pauses = [pace.after_nothing() for _ in range(300)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.04
    assert pauses[-1] == 1.0
    pace.found(0.1)
    pace.after_reply()
    assert pace.after_nothing() < 0.04


def test_a_new_rhythm_is_learnt_step_by_step() -> None:
    pace = Pace(active_s=0.001, idle_s=10.0)
    pace.found(1.0)
    sleeps = []
    for _ in range(10):
        pace.found(0.1)
        sleeps.append(pace.after_reply())
    assert sleeps == sorted(sleeps, reverse=True)
    assert sleeps[0] == pytest.approx(0.5 * 0.64)
    assert sleeps[-1] == pytest.approx(0.05, rel=0.1)


def test_with_room_for_two_a_second_message_is_taken_while_the_first_is_in_work() -> None:
    stop, go = Stop(), threading.Event()
    at_once: list[int] = []
    one, two, three = (instruction(permit) for permit in (b"one", b"two", b"3"))
    fleet = FakeFleet([one, two, None, three, None], stop)

    def handle(task: Task) -> Reply:
        tasks.append(task.permit)
        at_once.append(len(tasks) - len(fleet.sent))
        if len(tasks) == 2:
            polls.append(len(fleet.script))
            go.set()
        assert go.wait(10)
        return DONE

    tasks: list[bytes] = []
    polls: list[int] = []

    def answer(message: Instruction | Message) -> None:
        node.answer(message)

    desk = Desk(answer, size=2)
    node = replace(loop(fleet, stop, handle=handle), desk=desk)
    node.run()
    desk.close(10)
    assert max(at_once) == 2
    assert polls == [3]  # with both places taken nobody asked for more
    assert {sent[0] for sent in fleet.sent} == {b"one", b"two", b"3"}


def test_what_goes_wrong_in_a_thread_is_the_loops_to_deal_with() -> None:
    stop = Stop()
    fleet = FakeFleet([instruction()] + [None] * 5, stop, problem=FleetUnavailable("gone"))
    told: list[str] = []

    def answer(message: Instruction | Message) -> None:
        node.answer(message)

    desk = Desk(answer, size=2)
    node = replace(loop(fleet, stop, told=told), desk=desk)
    node.run()
    assert any("gone" in line for line in told)
