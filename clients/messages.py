"""Our instructions and answers as Flower messages, on the node's side (policies/wire.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flwr.app import ConfigRecord, Error, Message, RecordDict

from policies.pairwise_messages import MAX_MESSAGE_BYTES
from policies.tracing import parse_traceparent
from policies.wire import (
    ANSWER,
    MODEL,
    PERMIT,
    RECEIPT,
    REFUSED_CODE,
    REPLY_RECORD,
    ROUND_RECORD,
    STEP,
    TOLD,
    TRACE,
    UPDATE,
    Refusal,
    Step,
)

_KINDS: Final = frozenset({"train", "evaluate"})


@dataclass(frozen=True, slots=True)
class Instruction:
    """One message from the round loop: what the node is asked to do.

    Attributes:
        model: empty in the later steps of pairwise masks.
        step, told, trace: as `clients.tasks.Task` has them.
    """

    message: Message
    flower_run: str
    kind: str
    permit: bytes
    model: bytes
    step: Step | None = None
    told: Mapping[str, bytes] = field(default_factory=dict)
    trace: str = ""


def reply_message(instruction: Instruction, *, receipt: bytes, update: bytes) -> Message:
    """The Flower message that answers an instruction."""
    content = RecordDict({REPLY_RECORD: ConfigRecord({RECEIPT: receipt, UPDATE: update})})
    return Message(content, reply_to=instruction.message)


def answer_message(instruction: Instruction, answer: bytes) -> Message:
    """The Flower message that answers a step in which nothing is used."""
    content = RecordDict({REPLY_RECORD: ConfigRecord({ANSWER: answer})})
    return Message(content, reply_to=instruction.message)


def refusal_message(message: Message, refusal: Refusal) -> Message:
    """The Flower error message that refuses."""
    return Message(Error(REFUSED_CODE, refusal.encode()), reply_to=message)


def read_instruction(message: Message) -> Instruction | None:
    """Our instruction in a whole message, or None when it is something else."""
    if not message.has_content():
        return None
    record = message.content.config_records.get(ROUND_RECORD)
    if record is None or len(message.content) != 1:
        return None
    return make_instruction(message, record)


def make_instruction(head: Message, record: ConfigRecord) -> Instruction | None:
    """Our instruction from a message's head and its record, or None when it is something else."""
    kind = head.metadata.message_type
    step = _step(record)
    names = _names(step)
    if kind not in _KINDS or set(record) - {TRACE} != names:
        return None
    values = {name: value for name, value in record.items() if isinstance(value, bytes)}
    values.pop(TRACE, None)
    told = {name: values.get(name, b"") for name in (TOLD[step] if step else ())}
    if set(values) != names - {STEP} or max(map(len, told.values()), default=0) > MAX_MESSAGE_BYTES:
        return None
    return Instruction(
        message=head,
        flower_run=str(head.metadata.run_id),
        kind=kind,
        permit=values[PERMIT],
        model=values.get(MODEL, b""),
        step=step,
        told=told,
        trace=parse_traceparent(record.get(TRACE)),
    )


def _step(record: ConfigRecord) -> Step | None:
    return next((step for step in TOLD if record.get(STEP) == step), None)


def _names(step: Step | None) -> set[str]:
    """What a message of a step holds; of none: an ordinary instruction."""
    if step is None:
        return {PERMIT, MODEL}
    return {PERMIT, STEP, *TOLD[step], *({MODEL} if step == "share" else ())}
