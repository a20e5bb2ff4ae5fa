"""Values, names and tables as Cedar's: exact, or absent.

    name        a string; of a table (`TABLES`) an entity whose parents are the wider names, so that
                `in` answers; a place is inside another by `like "CN-*"`
    names       a set of strings
    integer     a long
    duration    a long, seconds
    instant     a long, milliseconds since 1970-01-01T00:00:00Z
    decimal     two longs: before the point, and 18 digits after it (Cedar's own decimal has four)
    duty        a string, under the term of its action

A left value that is none of its operand stays away from the context, where `has` guards miss it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from policies.canonical import MAX_SAFE_INTEGER, Json
from policies.evaluate import Request, State
from policies.operands import ACTIONS, OPERANDS
from policies.relations import ENVIRONMENTS, PRIVACY_UNITS, PURPOSES, Purposes
from policies.rows import Kind, Operand
from policies.values import is_name

TABLES: Mapping[str, Purposes] = MappingProxyType(
    {
        "purpose": PURPOSES,
        "executionEnvironment": ENVIRONMENTS,
        "privacyUnit": PRIVACY_UNITS,
    }
)
_SPECIAL = re.compile("[^A-Za-z0-9-]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = 18
_UNIT = 10**_DIGITS


def quoted(text: str) -> str:
    """A Cedar string literal; whatever is neither ASCII letter, digit nor dash is escaped."""
    return f'"{_escaped(text)}"'


def beginning(text: str) -> str:
    """A Cedar pattern for what begins with this text."""
    return '"' + r"\*".join(map(_escaped, text.split("*"))) + '*"'


def entity(kind: str, name: str) -> str:
    """A reference to an entity."""
    return f"{kind}::{quoted(name)}"


def milliseconds(moment: object) -> int:
    """Whole milliseconds since the epoch, rounded down as documents round."""
    assert isinstance(moment, datetime)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def decimal_longs(value: object) -> dict[str, int] | None:
    """A decimal as longs that compare one after the other; None where it is out of bounds."""
    if not isinstance(value, Decimal) or not value.is_finite() or not value < _UNIT:
        return None
    sign, figures, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if sign or exponent < -_DIGITS:
        return None
    whole, part = divmod(int("".join(map(str, figures)) + "0" * (exponent + _DIGITS)), _UNIT)
    return {"whole": whole, "part": part}


def cedar_request(request: Request, state: State) -> dict[str, Json]:
    """Request and context as cedarpy takes them."""
    return {
        "principal": {"type": "Participant", "id": request.assignee},
        "action": {"type": "Action", "id": request.action},
        "resource": {"type": "Product", "id": request.target},
        "context": cedar_context(state),
    }


def cedar_context(state: State) -> dict[str, Json]:
    """What is known, and nothing else."""
    context: dict[str, Json] = {}
    for key, held in state.items():
        row = OPERANDS.get(key)
        found = _left(row, held.value) if row else _duty_state(key, held.value)
        if found is not None:
            context[key] = found
    return context


def cedar_entities(purposes: Purposes = PURPOSES) -> list[Json]:
    """Actions inside wider actions, and names inside wider names."""
    found: list[Json] = [
        _entity("Action", term, [("Action", row.included_in)] if row.included_in else [])
        for term, row in ACTIONS.items()
    ]
    for term, standard in TABLES.items():
        table = purposes if term == "purpose" else standard
        for name, wider in table.items():
            parents = [("Table", term), *([(term, wider)] if wider is not None else [])]
            found.append(_entity(term, name, parents))
    return found


def _entity(kind: str, name: str, parents: list[tuple[str, str]]) -> Json:
    return {
        "uid": {"type": kind, "id": name},
        "attrs": {},
        "parents": [{"type": type, "id": id} for type, id in parents],
    }


def _left(row: Operand, value: object) -> Json:
    """A left value; None where it is none of its operand."""
    found: Json = None
    match row.kind:
        case Kind.INTEGER | Kind.DURATION:
            if isinstance(value, int) and not isinstance(value, bool):
                found = value if abs(value) <= MAX_SAFE_INTEGER else None
        case Kind.INSTANT:
            if isinstance(value, datetime) and value.tzinfo is not None:
                found = milliseconds(value)
        case Kind.DECIMAL:
            if longs := decimal_longs(value):
                found = dict(longs)
        case Kind.NAMES:
            if isinstance(value, tuple) and all(map(_is_name, value)):
                found = list(value)
        case Kind.NAME:
            if isinstance(value, str) and _fits(row, value):
                in_table = row.term in TABLES
                found = {"__entity": {"type": row.term, "id": value}} if in_table else value
    return found


def _fits(row: Operand, name: str) -> bool:
    return bool(row.pattern.fullmatch(name)) if row.pattern else is_name(name)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_name(value)


def _duty_state(key: str, value: object) -> Json:
    return value if key in ACTIONS and isinstance(value, str) else None


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)
