"""Reading instructions out of Flower's messages; and the places where we hold on to Flower.

The connection itself is exercised against a real SuperLink in tests/integration.
"""

from __future__ import annotations

import inspect

import flwr
import pytest
from flwr.app import ConfigRecord, Message, Metadata, RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supernode.fleet_http_client import FleetHttpClient

from clients.messages import make_instruction, read_instruction, refusal_message, reply_message
from policies.pairwise_messages import MAX_MESSAGE_BYTES
from policies.wire import (
    AGREEMENTS,
    LETTERS,
    MODEL,
    PERMIT,
    RECEIPT,
    REFUSED_CODE,
    RELEASE,
    REPLY_RECORD,
    ROUND_RECORD,
    SPLIT,
    TRACE,
    UPDATE,
    Refusal,
)


def _message(content: RecordDict, kind: str = "train") -> Message:
    metadata = Metadata(
        run_id=2**63 + 5,
        message_id="m1",
        src_node_id=1,
        dst_node_id=9,
        reply_to_message_id="",
        group_id="3",
        created_at=0.0,
        ttl=10.0,
        message_type=kind,
    )
    return Message(content=content, metadata=metadata)


def _round(**fields: bytes | str) -> RecordDict:
    return RecordDict({ROUND_RECORD: ConfigRecord(dict(fields))})


def test_an_instruction_is_read() -> None:
    found = read_instruction(_message(_round(**{PERMIT: b"p", MODEL: b"m"})))
    assert found is not None
    assert (found.permit, found.model, found.kind) == (b"p", b"m", "train")
    assert found.flower_run == str(2**63 + 5)


@pytest.mark.parametrize(
    "message",
    [
        _message(_round(**{PERMIT: b"p", MODEL: b"m"}), kind="query"),
        _message(_round(**{PERMIT: b"p", MODEL: b"m"}), kind="train.other"),
        _message(_round(**{PERMIT: b"p"})),
        _message(_round(**{PERMIT: "p", MODEL: b"m"})),
        _message(RecordDict()),
        _message(
            RecordDict(
                {
                    ROUND_RECORD: ConfigRecord({PERMIT: b"p", MODEL: b"m"}),
                    "more": ConfigRecord({"x": 1}),
                }
            )
        ),
    ],
    ids=["query", "other-action", "no-model", "text-permit", "empty", "more-records"],
)
def test_anything_else_is_no_instruction(message: Message) -> None:
    assert read_instruction(message) is None


PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    ("came", "kept"),
    [
        (PARENT, PARENT),
        ("", ""),
        (f"00-{'0' * 32}-{'b' * 16}-01", ""),
        (f"00-{'a' * 32}-{'0' * 16}-01", ""),
        (f"01-{'a' * 32}-{'b' * 16}-01", ""),
        (PARENT.upper(), ""),
        (f"{PARENT}\n", ""),
        ("a" * 100_000, ""),
        (b"00-" + b"a" * 32, ""),
        (7, ""),
    ],
)
def test_a_place_in_a_trace_is_text_of_a_stranger(came: str | bytes | int, kept: str) -> None:
    record = ConfigRecord({PERMIT: b"p", MODEL: b"m", TRACE: came})
    found = make_instruction(_message(RecordDict()), record)
    assert found is not None
    assert (found.permit, found.model, found.trace) == (b"p", b"m", kept)


def test_a_head_and_its_record_are_enough() -> None:
    head = _message(RecordDict())
    found = make_instruction(head, ConfigRecord({PERMIT: b"p", MODEL: b"m"}))
    assert found is not None
    assert (found.permit, found.model, found.message) == (b"p", b"m", head)
    assert make_instruction(head, ConfigRecord({PERMIT: b"p", MODEL: b"m", "more": 1})) is None


PAIRWISE: dict[str, dict[str, bytes | str]] = {
    "share": {PERMIT: b"p", MODEL: b"m"},
    "mask": {PERMIT: b"p", LETTERS: b"l"},
    "agree": {PERMIT: b"p", SPLIT: b"s", RELEASE: b"r"},
    "unmask": {PERMIT: b"p", AGREEMENTS: b"a"},
}


@pytest.mark.parametrize("step", sorted(PAIRWISE))
def test_a_step_of_pairwise_masks_is_read(step: str) -> None:
    fields = PAIRWISE[step]
    found = read_instruction(_message(_round(**fields, step=step)))
    assert found is not None
    assert (found.step, found.permit, found.model) == (step, b"p", fields.get(MODEL, b""))
    assert found.told == {name: fields[name] for name in fields if name not in (PERMIT, MODEL)}


@pytest.mark.parametrize(
    "fields",
    [
        {**PAIRWISE["share"], "step": "open"},
        {**PAIRWISE["share"], "step": b"share"},
        {**PAIRWISE["share"], "step": "agree"},
        {**PAIRWISE["mask"], MODEL: b"m", "step": "mask"},
        {**PAIRWISE["mask"]},
        {**PAIRWISE["mask"], LETTERS: "l", "step": "mask"},
        {**PAIRWISE["mask"], LETTERS: bytes(MAX_MESSAGE_BYTES + 1), "step": "mask"},
    ],
    ids=["unknown", "bytes", "another's", "two models", "no step", "text", "too large"],
)
def test_another_step_is_no_instruction(fields: dict[str, bytes | str]) -> None:
    assert read_instruction(_message(_round(**fields))) is None


def test_our_message_has_the_shape_that_the_node_expects() -> None:
    message = _message(_round(**{PERMIT: b"p", MODEL: b"m"}))
    tree = get_object_tree(message)
    (dictionary,) = tree.children
    (record,) = dictionary.children
    assert not record.children
    walked = [node.object_id for node in iterate_object_tree(tree)]
    assert walked == [record.object_id, dictionary.object_id, tree.object_id]
    objects = get_all_nested_objects(message)
    inflated = ConfigRecord.inflate(objects[record.object_id].deflate())
    assert dict(inflated) == {PERMIT: b"p", MODEL: b"m"}


def test_our_message_is_three_objects() -> None:
    objects = get_all_nested_objects(_message(_round(**{PERMIT: b"p", MODEL: b"m"})))
    assert sorted(type(one).__name__ for one in objects.values()) == [
        "ConfigRecord",
        "Message",
        "RecordDict",
    ]


def test_replies_answer_the_message() -> None:
    instruction = read_instruction(_message(_round(**{PERMIT: b"p", MODEL: b"m"})))
    assert instruction is not None
    reply = reply_message(instruction, receipt=b"r", update=b"u")
    assert reply.metadata.reply_to_message_id == "m1"
    assert dict(reply.content.config_records[REPLY_RECORD]) == {RECEIPT: b"r", UPDATE: b"u"}
    refusal = Refusal(code="consent-withdrawn", text="withdrawn")
    error = refusal_message(instruction.message, refusal).error
    assert error.code == REFUSED_CODE
    assert Refusal.decode(error.reason or "") == refusal


def test_flower_is_the_version_that_was_read() -> None:
    assert flwr.__version__.startswith("1.41.")
    for method in ("ActivateNode", "PullMessages", "PushMessages", "PullObject", "PushObject"):
        assert method in FleetHttpClient.__dict__
    parameters = inspect.signature(pull_objects).parameters
    assert {"initial_backoff", "backoff_cap", "max_time"} <= set(parameters)
