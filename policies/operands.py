"""The profile as tables: actions, operators and left operands are rows, and nothing else is known.

An operand, operator or action without a row here is refused at intake (`policies.intake`), so that
no constraint is ever dropped silently. To extend the profile, add a row and a line to `profile.md`.

Every name that a user of the tables needs can be imported from here, wherever it is defined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from policies.canonical import MAX_SAFE_INTEGER, Json
from policies.errors import DocumentError
from policies.fields import instant
from policies.outcomes import LOGIC, Outcome, all_of, any_of, negate, one_of
from policies.relations import PURPOSES, Purposes, Relation, relate_places, relate_purposes
from policies.rows import Action, Kind, Operand, Operator

__all__ = [
    "ACTIONS",
    "COVERS",
    "LOGIC",
    "MAX_NAME",
    "MAX_VALUES",
    "ODRL",
    "OPERANDS",
    "OPERATORS",
    "PROFILE",
    "PURPOSES",
    "XSD",
    "Action",
    "Kind",
    "Operand",
    "Operator",
    "Outcome",
    "Purposes",
    "Relation",
    "Right",
    "all_of",
    "any_of",
    "is_name",
    "negate",
    "one_of",
    "parse_datetime",
    "parse_right",
    "right_to_json",
]

ODRL = "http://www.w3.org/ns/odrl/2/"
XSD = "http://www.w3.org/2001/XMLSchema#"
PROFILE = "https://w3id.org/tdspace/odrl/1"

MAX_NAME = 1024
MAX_VALUES = 256

Right = str | int | datetime | tuple[str, ...]

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        row.term: row
        for row in (
            Operator("eq", "only {}", "exactly {}"),
            Operator("neq", "anything but {}", "any time but {}"),
            Operator("lt", "less than {}", "times before {}"),
            Operator("lteq", "at most {}", "times up to {}"),
            Operator("gt", "more than {}", "times after {}"),
            Operator("gteq", "at least {}", "times from {} on"),
            Operator("isA", "only {} and what belongs to it"),
            Operator("isPartOf", "only {} and its regions"),
            Operator("isAnyOf", "only {}"),
            Operator("isNoneOf", "anything but {}"),
        )
    }
)

ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        row.term: row
        for row in (
            Action("use", f"{ODRL}use", None),
            Action("train", f"{PROFILE}#train", "use"),
            Action("evaluate", f"{PROFILE}#evaluate", "use"),
        )
    }
)

# Rule action -> the requests it speaks about. `use` itself cannot be requested: a request names
# what will be done, or a prohibition of a narrower action would not be seen.
COVERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        rule: frozenset(
            row.term
            for row in ACTIONS.values()
            if row.included_in is not None and rule in (row.term, row.included_in)
        )
        for rule in ACTIONS
    }
)

_ORDER = ("lt", "lteq", "gt", "gteq", "eq")
_SETS = ("eq", "neq", "isAnyOf", "isNoneOf")

OPERANDS: Mapping[str, Operand] = MappingProxyType(
    {
        row.term: row
        for row in (
            Operand(
                term="purpose",
                iri=f"{ODRL}purpose",
                operators=(*_SETS, "isA"),
                kind=Kind.NAME,
                unit="",
                source="the run's declared purpose",
                subject="the purpose",
                code="purpose-not-allowed",
                relate=relate_purposes,
            ),
            Operand(
                term="dateTime",
                iri=f"{ODRL}dateTime",
                operators=(*_ORDER, "neq"),
                kind=Kind.INSTANT,
                unit="UTC instant, milliseconds",
                source="the clock of whoever decides, once per round",
                subject="the time",
                code="time-not-allowed",
            ),
            Operand(
                term="count",
                iri=f"{ODRL}count",
                operators=_ORDER,
                kind=Kind.INTEGER,
                unit="uses",
                source="uses of the product under the agreement so far, plus the one being decided",
                subject="the number of uses",
                code="count-exhausted",
                least=1,
            ),
            Operand(
                term="spatial",
                iri=f"{ODRL}spatial",
                operators=(*_SETS, "isPartOf"),
                kind=Kind.NAME,
                unit="ISO 3166 code",
                source="the node's registered place of processing",
                subject="the place of processing",
                code="place-not-allowed",
                relate=relate_places,
                # EU and UN are groups, inside which no country's code lies: a prohibition
                # with them would never apply, so they are refused and countries are listed.
                pattern=re.compile(r"(?!(?:EU|UN)(?:-|$))[A-Z]{2}(?:-[A-Z0-9]{1,8})*"),
            ),
            Operand(
                term="recipient",
                iri=f"{ODRL}recipient",
                operators=_SETS,
                kind=Kind.NAME,
                unit="",
                source="the participant that receives the round's result",
                subject="the recipient",
                code="recipient-not-allowed",
            ),
            Operand(
                term="minParticipants",
                iri=f"{PROFILE}#minParticipants",
                operators=("gteq",),
                kind=Kind.INTEGER,
                unit="participants",
                source="distinct participants in the round's cohort",
                subject="the number of participants",
                code="too-few-participants",
                cohort=True,
            ),
        )
    }
)


_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,3})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_INTEGER = re.compile(r"0|[1-9][0-9]{0,15}")
_TYPES = {Kind.NAME: "string", Kind.INTEGER: "integer", Kind.INSTANT: "dateTime"}


def is_name(text: str) -> bool:
    """A bounded, visible name: no spaces, control or invisible characters that could mislead."""
    return 0 < len(text) <= MAX_NAME and " " not in text and text.isprintable()


def parse_right(row: Operand, operator: str, value: object, where: str) -> Right:
    """A right operand as its row's type.

    Raises:
        DocumentError: another type or shape than the row and operator ask for.
    """
    if operator not in ("isAnyOf", "isNoneOf"):
        return _parse_one(row, value, where)
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= MAX_VALUES:
        raise DocumentError(where, f"1 to {MAX_VALUES} values", str(len(values)))
    return tuple(str(_parse_one(row, one, f"{where}[{i}]")) for i, one in enumerate(values))


def parse_datetime(text: str, where: str) -> datetime:
    """An xsd:dateTime with offset and at most milliseconds, as an aware UTC datetime."""
    if not _DATETIME.fullmatch(text):
        expected = "an xsd:dateTime with offset, like 2026-12-31T00:00:00Z"
        raise DocumentError(where, expected, repr(text[:40]))
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DocumentError(where, "a moment of the calendar", repr(text[:40])) from error


def right_to_json(right: Right) -> Json:
    """A right operand in normal form."""
    if isinstance(right, tuple):
        return list(right)
    if isinstance(right, str):
        return right
    if isinstance(right, datetime):
        return {"@value": instant(right), "@type": "xsd:dateTime"}
    return {"@value": str(right), "@type": "xsd:integer"}


def _parse_one(row: Operand, value: object, where: str) -> str | int | datetime:
    text = _literal(row, value, where)
    if row.kind is Kind.INSTANT:
        return parse_datetime(text, where)
    if row.kind is Kind.INTEGER:
        if not _INTEGER.fullmatch(text) or int(text) > MAX_SAFE_INTEGER:
            raise DocumentError(where, f"digits such as {row.kind.value}", repr(text[:40]))
        return int(text)
    if not (row.pattern.fullmatch(text) if row.pattern else is_name(text)):
        expected = f"{row.unit or 'a name without spaces'} for {row.term}"
        raise DocumentError(where, expected, repr(text[:40]))
    return text


def _literal(row: Operand, value: object, where: str) -> str:
    """The text inside a right operand's spelling, its type checked against the row's."""
    if isinstance(value, str) and row.kind is not Kind.INTEGER:
        return value
    name = _TYPES[row.kind]
    if isinstance(value, dict):
        text = value.get("@value")
        typed = value.keys() == {"@value", "@type"}
        if typed and isinstance(text, str) and value["@type"] in (f"xsd:{name}", XSD + name):
            return text
        iri = value.get("@id")
        if row.kind is Kind.NAME and value.keys() == {"@id"} and isinstance(iri, str):
            return iri
    raise DocumentError(where, f"{row.kind.value} for {row.term}", repr(value)[:80])
