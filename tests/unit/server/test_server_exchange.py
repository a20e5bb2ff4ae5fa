"""Sending a round and reading its replies; and the places where we hold on to Flower."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator

import flwr
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.supercore.error.base import ApiErrorCode
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
)
from flwr.superlink.grid import http_grid
from flwr.superlink.runtime import run_serverapp

from policies.wire import (
    ANSWER,
    MODEL,
    PERMIT,
    RECEIPT,
    REFUSED_CODE,
    REPLY_RECORD,
    ROUND_RECORD,
    SPLIT,
    STEP,
    UPDATE,
    Refusal,
    Step,
)
from server import exchange
from server.exchange import (
    Reply,
    Told,
    send_round,
    send_step,
    set_task_identity,
    shorten_object_waits,
)


class FakeGrid:
    """Answers each message by node: a record, an error, or silence."""

    def __init__(self, answers: dict[int, RecordDict | Error | None]) -> None:
        set_task_identity(run_id=7)
        self.answers = answers
        self.sent: list[Message] = []
        self.looks = 0

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self.sent = list(messages)
        for number, message in enumerate(self.sent):
            message.metadata.__dict__["_message_id"] = f"m{number}"
        return [message.metadata.message_id for message in self.sent]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.looks += 1
        wanted = set(message_ids)
        replies = []
        for message in self.sent:
            answer = self.answers[message.metadata.dst_node_id]
            if message.metadata.message_id in wanted and answer is not None:
                replies.append(Message(answer, reply_to=message))
        return replies


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _send(grid: FakeGrid, clock: FakeClock) -> list[Reply]:
    return send_round(
        grid,
        node_ids=grid.answers,
        kind="train",
        round_number=3,
        permit=b"permit",
        model=b"model",
        deadline_s=2.0,
        poll_s=0.5,
        clock=clock,
        sleep=clock.sleep,
    )


def _done(receipt: bytes = b"r", update: bytes = b"u") -> RecordDict:
    return RecordDict({REPLY_RECORD: ConfigRecord({RECEIPT: receipt, UPDATE: update})})


def test_everybody_gets_the_same_record_and_answers() -> None:
    grid, clock = FakeGrid({11: _done(b"r11"), 5: _done(b"r5")}), FakeClock()
    replies = _send(grid, clock)
    assert [(reply.node_id, reply.receipt) for reply in replies] == [(5, b"r5"), (11, b"r11")]
    assert clock.now == 0.5
    records = [message.content.config_records[ROUND_RECORD] for message in grid.sent]
    assert all(dict(record) == {PERMIT: b"permit", MODEL: b"model"} for record in records)
    assert len({message.content.object_id for message in grid.sent}) == 1


def test_a_silent_node_costs_the_deadline_and_no_more() -> None:
    grid, clock = FakeGrid({1: _done(), 2: None}), FakeClock()
    replies = _send(grid, clock)
    assert replies[0].receipt == b"r"
    assert replies[1].missing == "no reply within 2 s"
    assert clock.now == 2.0
    assert all(message.metadata.ttl == 3.0 for message in grid.sent)


def test_what_the_superlink_forgot_after_its_deadline_is_no_reply() -> None:
    """On a slow machine what was sent may expire while one looks, or while one sends."""

    class FakeSlowGrid(FakeGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            clock.sleep(3.0)
            return super().pull_messages(message_ids)

    clock = FakeClock()
    [reply] = _send(FakeSlowGrid({1: Error(3, "Message Unavailable")}), clock)
    assert reply.missing == "no reply within 2 s"

    class FakeGridSlowToSend(FakeGrid):
        def push_messages(self, messages: Iterable[Message]) -> list[str]:
            clock.sleep(3.0)
            return super().push_messages(messages)

    clock = FakeClock()
    [reply] = _send(FakeGridSlowToSend({1: Error(3, "Message Unavailable")}), clock)
    assert reply.missing == "no reply within 2 s"
    [early] = _send(FakeGrid({1: Error(3, "Message Unavailable")}), FakeClock())
    assert "Message Unavailable" in early.missing


def test_a_refusal_comes_through_with_its_code() -> None:
    refusal = Refusal(code="permit-expired", text="expired 3 s ago")
    grid = FakeGrid({1: Error(REFUSED_CODE, refusal.encode())})
    assert _send(grid, FakeClock())[0].refusal == refusal


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Error(5, "node unavailable"), "Flower error 5: node unavailable"),
        (Error(REFUSED_CODE, '{"code":"made-up","text":""}'), "Flower error 6"),
        (RecordDict(), "holds no receipt"),
        (RecordDict({REPLY_RECORD: ConfigRecord({RECEIPT: b"r"})}), "holds no receipt"),
        (RecordDict({REPLY_RECORD: ConfigRecord({RECEIPT: "r", UPDATE: b"u"})}), "no receipt"),
    ],
)
def test_what_is_not_ours_is_missing_with_a_reason(answer: RecordDict | Error, says: str) -> None:
    reply = _send(FakeGrid({1: answer}), FakeClock())[0]
    assert says in reply.missing
    assert not reply.receipt


def test_a_lost_upload_loses_the_round_and_no_more() -> None:
    class FakeLosingGrid(FakeGrid):
        def push_messages(self, messages: Iterable[Message]) -> list[str]:
            raise ObjectPushError("0" * 64, 7, "session")

    clock = FakeClock()
    replies = _send(FakeLosingGrid({1: _done(), 2: _done()}), clock)
    assert [reply.missing for reply in replies] == ["the SuperLink did not take the message"] * 2
    assert clock.now == 0.0


def test_flower_is_the_version_that_was_read() -> None:
    assert flwr.__version__.startswith("1.41.")


def test_an_upload_that_never_ends_costs_the_deadline_and_nobody_elses_reply() -> None:
    """A look waits for a reply's objects; the others' replies came meanwhile."""

    class FakeHeldUpGrid(FakeGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            replies = super().pull_messages(message_ids)
            if self.looks == 1:
                clock.sleep(5.0)
                [cut_off, _] = replies
                return [cut_off]
            return replies

    clock = FakeClock()
    grid = FakeHeldUpGrid({1: Error(8, "objects are unavailable"), 2: _done()})
    replies = _send(grid, clock)
    assert (replies[0].missing, replies[1].receipt) == (
        "Flower error 8: objects are unavailable",
        b"r",
    )
    assert grid.looks == 2


@pytest.fixture
def pull_objects() -> Iterator[Callable[..., dict[str, bytes]]]:
    """What `HttpGrid` fetches a reply's objects with, as ServerApps have it."""
    parameters = inspect.signature(inflatable_utils.pull_objects).parameters
    assert parameters["initial_backoff"].default == 1
    assert "pull_objects(" in inspect.getsource(http_grid.HttpGrid.pull_messages)
    original = http_grid.__dict__["pull_objects"]
    shorten_object_waits()
    yield http_grid.__dict__["pull_objects"]
    http_grid.__dict__["pull_objects"] = original


@pytest.mark.parametrize(("deadline_s", "tries"), [(0.02, 1), (0.3, 3)])
def test_objects_are_waited_for_until_the_rounds_deadline(
    pull_objects: Callable[..., dict[str, bytes]], deadline_s: float, tries: int
) -> None:
    asked: list[str] = []

    def missing(object_id: str) -> bytes:
        asked.append(object_id)
        raise ObjectUnavailableError(object_id)

    class FakePullingGrid(FakeGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            with pytest.raises(ObjectPullError):
                pull_objects(object_ids=["o"], pull_object_fn=missing)
            return super().pull_messages(message_ids)

    grid = FakePullingGrid({1: _done()})
    began = time.monotonic()
    send_round(
        grid, node_ids=[1], kind="train", round_number=1, permit=b"p", model=b"m",
        deadline_s=deadline_s, poll_s=0.0,
    )  # fmt: skip
    assert time.monotonic() - began < deadline_s + 20.0
    assert len(asked) >= tries


def test_a_run_that_flower_does_not_know_is_told_by_these_words() -> None:
    assert API_ERROR_MAP[ApiErrorCode.RUN_ID_NOT_FOUND].public_message.startswith(
        exchange._UNKNOWN_RUN
    )


def test_serverapps_start_with_the_arguments_we_pass() -> None:
    assert {
        "runtime_api_address",
        "log_queue",
        "token",
        "insecure",
        "certificates",
        "parent_pid",
        "runtime_dependency_install",
    } <= set(inspect.signature(run_serverapp).parameters)


def _step(grid: FakeGrid, clock: FakeClock, step: Step, told: dict[int, Told]) -> list[Reply]:
    return send_step(
        grid,
        step,
        told,
        kind="train",
        round_number=3,
        permit=b"permit",
        deadline_s=2.0,
        poll_s=0.5,
        clock=clock,
        sleep=clock.sleep,
    )


def test_a_step_tells_each_node_its_own_and_what_is_the_same_once() -> None:
    answer = RecordDict({REPLY_RECORD: ConfigRecord({ANSWER: b"a"})})
    grid = FakeGrid(dict.fromkeys((1, 2, 3), answer))
    told: dict[int, Told] = {1: {SPLIT: b"s"}, 2: {SPLIT: b"s"}, 3: {SPLIT: b"other"}}
    replies = _step(grid, FakeClock(), "agree", told)
    assert [(reply.node_id, reply.answer) for reply in replies] == [(1, b"a"), (2, b"a"), (3, b"a")]
    records = [message.content.config_records[ROUND_RECORD] for message in grid.sent]
    assert dict(records[2]) == {PERMIT: b"permit", STEP: "agree", SPLIT: b"other"}
    assert len({message.content.object_id for message in grid.sent}) == 2


@pytest.mark.parametrize(
    ("step", "answer", "says"),
    [
        ("share", _done(), "no answer to its step"),
        ("agree", RecordDict({REPLY_RECORD: ConfigRecord({ANSWER: b""})}), "no answer to its step"),
        ("unmask", RecordDict({REPLY_RECORD: ConfigRecord({ANSWER: "a"})}), "no answer"),
        ("unmask", RecordDict(), "no answer"),
        ("unmask", None, "no reply within 2 s"),
        ("mask", RecordDict({REPLY_RECORD: ConfigRecord({ANSWER: b"a"})}), "holds no receipt"),
        ("agree", Error(5, "away"), "Flower error 5: away"),
    ],
)
def test_what_does_not_answer_its_step_is_missing(
    step: Step, answer: RecordDict | Error | None, says: str
) -> None:
    (reply,) = _step(FakeGrid({1: answer}), FakeClock(), step, {1: {SPLIT: b"s"}})
    assert says in reply.missing
    assert not reply.answer
