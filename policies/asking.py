"""A request as people write it, to try a policy: who asks to do what, when, and what is known.

    {"assignee": "consortium", "action": "train", "target": "clinic/ecg",
     "at": "2026-06-01T08:00:00Z", "context": {"purpose": "diagnosis-support", "count": 12,
     "epsilon": "1.5", "meteredTime": "PT20M", "togetherWith": ["clinic-b"], "anonymize": true}}

`context` holds left values by operand, and by action how its duty stands. What it
leaves out, or says to be null, is unknown. `at` is the moment of the use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from policies.canonical import Json, parse_json
from policies.comparison import is_value
from policies.errors import DocumentError
from policies.evaluate import Request, Value
from policies.fields import Document
from policies.odrl import Agreement, Offer, agreement_from_offer
from policies.operands import (
    ACTIONS,
    COVERS,
    FULFILLED,
    OPERANDS,
    PENDING,
    VIOLATED,
    parse_datetime,
)
from policies.rows import Kind, Operand
from policies.values import Right, parse_right, value_from_json

MAX_REQUEST_BYTES = 64 * 1024
SOURCE = "the request"
_ASKED = frozenset().union(*COVERS.values())


class _AskingDocument(Document):
    assignee: str = Field(min_length=1, max_length=1024)
    action: str
    target: str = Field(min_length=1, max_length=1024)
    at: str
    context: dict[str, object] = Field(default={})


@dataclass(frozen=True, slots=True)
class Asking:
    """A request with everything that it says is known."""

    request: Request
    at: datetime
    state: Mapping[str, Value]


def parse_asking(data: bytes) -> Asking:
    """A request from JSON, at most `MAX_REQUEST_BYTES`.

    Raises:
        DocumentError: an unknown field, operand or action, or a value of another type than its
            operand's; with the JSON path.
    """
    document = _AskingDocument.from_json(parse_json(data, max_bytes=MAX_REQUEST_BYTES))
    if document.action not in _ASKED:
        known = ", ".join(sorted(_ASKED))
        raise DocumentError("$.action", f"one of {known}", ascii(document.action[:60]))
    at = parse_datetime(document.at, "$.at")
    state = {"dateTime": Value(at, SOURCE)}
    for name, given in document.context.items():
        if given is not None:
            state[name] = Value(_left(name, given, at), SOURCE)
    return Asking(Request(document.target, document.assignee, document.action), at, state)


def agreement_for(policy: Offer | Agreement, asking: Asking) -> Agreement:
    """The agreement to decide under; an offer stands for the one that whoever asks could have.

    Raises:
        DocumentError: the request's target or assignee cannot stand in an agreement.
    """
    if isinstance(policy, Agreement):
        return policy
    return agreement_from_offer(
        policy,
        id=policy.id,
        target=asking.request.target,
        assigner=policy.assigner or "owner",
        assignee=asking.request.assignee,
        timestamp=asking.at,
    )


def _left(name: str, given: object, at: datetime) -> Right:
    where = f"$.context.{name[:60]}"
    action = ACTIONS.get(name)
    if action is not None and action.duty is not None:
        return _duty_state(given, where)
    row = OPERANDS.get(name)
    if row is None:
        raise DocumentError(where, "a left operand or a duty of the profile", "this key")
    value = _value(row, given, where)
    if not is_value(row, value):
        raise DocumentError(where, f"a possible value of {name}", repr(given)[:60])
    if name == "dateTime" and value != at:
        raise DocumentError(where, "the moment that `at` names", repr(given)[:60])
    return value


def _duty_state(given: object, where: str) -> str:
    if given is True or given == FULFILLED:  # not `in`, for which 1 is True
        return FULFILLED
    if given is False or given == PENDING:
        return PENDING
    if given == VIOLATED:
        return VIOLATED
    expected = f'true, false, "{FULFILLED}", "{PENDING}" or "{VIOLATED}"'
    raise DocumentError(where, expected, repr(given)[:60])


def _value(row: Operand, given: object, where: str) -> Right:
    """A left value in its plain spelling, or as a typed literal like a right operand's."""
    if isinstance(given, dict):
        return parse_right(row, "eq", given, where)
    if row.kind is Kind.NAMES:
        names = given if isinstance(given, list) else [given]
        return tuple(sorted({str(parse_right(row, "hasPart", one, where)) for one in names}))
    if row.kind is Kind.INSTANT and isinstance(given, str):
        return parse_datetime(given, where)
    whole = isinstance(given, int) and not isinstance(given, bool)
    if row.kind is Kind.DECIMAL and whole:
        given = str(given)
    if row.kind is Kind.DURATION and whole:
        given = f"PT{given}S"
    plain: Json = given if isinstance(given, str | int) else None
    return value_from_json(row, plain, where)
