"""Our instructions and answers as Flower messages, on the node's side (policies/wire.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flwr.app import ConfigRecord, Error, Message, RecordDict

from policies.wire import (
    MODEL,
    PERMIT,
    RECEIPT,
    REFUSED_CODE,
    REPLY_RECORD,
    ROUND_RECORD,
    UPDATE,
    Refusal,
)

_KINDS: Final = frozenset({"train", "evaluate"})


@dataclass(frozen=True, slots=True)
class Instruction:
    """One message from the round loop: what the node is asked to do."""

    message: Message
    flower_run: str
    kind: str
    permit: bytes
    model: bytes


def reply_message(instruction: Instruction, *, receipt: bytes, update: bytes) -> Message:
    """The Flower message that answers an instruction."""
    content = RecordDict({REPLY_RECORD: ConfigRecord({RECEIPT: receipt, UPDATE: update})})
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
    if kind not in _KINDS or len(record) != 2:
        return None
    permit, model = record.get(PERMIT), record.get(MODEL)
    if not isinstance(permit, bytes) or not isinstance(model, bytes):
        return None
    return Instruction(
        message=head,
        flower_run=str(head.metadata.run_id),
        kind=kind,
        permit=permit,
        model=model,
    )
