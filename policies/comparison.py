"""One constraint against one left value, with three outcomes."""

from __future__ import annotations

import operator as ordering
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from policies.canonical import MAX_SAFE_INTEGER
from policies.operands import Right, is_name
from policies.outcomes import Outcome, any_of, negate
from policies.relations import PURPOSES, Purposes, Relation
from policies.rows import Kind, Operand


def compare(
    row: Operand, operator: str, left: object, right: Right, purposes: Purposes = PURPOSES
) -> Outcome:
    """One constraint against one left value.

    Args:
        left: the value; one of another type, or outside its row's bounds, is unknown.
        right: as `policies.intake` parsed it for this row and operator.
        purposes: the taxonomy that `isA` asks.
    """
    if not is_value(row, left):
        return Outcome.UNKNOWN
    if row.kind is Kind.NAME:
        return _compare_names(row, operator, str(left), right, purposes)
    if isinstance(left, tuple):
        return _compare_set(operator, left, right)
    if isinstance(left, datetime):
        left = _whole_milliseconds(left)
    holds: bool = _ORDERED[operator](left, right)
    return Outcome.SATISFIED if holds else Outcome.UNSATISFIED


_WHOLE = frozenset({Kind.INTEGER, Kind.DURATION})
_MAX_DECIMAL = Decimal(10) ** 18
_LEAST_EXPONENT = -18


def is_value(row: Operand, left: object) -> bool:
    """Whether this can be a left value of the row at all: of its type and within its bounds."""
    if row.kind in _WHOLE:
        is_integer = isinstance(left, int) and not isinstance(left, bool)
        return is_integer and row.least <= left <= MAX_SAFE_INTEGER  # type: ignore[operator]
    if row.kind is Kind.INSTANT:
        return isinstance(left, datetime) and left.tzinfo is not None
    if row.kind is Kind.DECIMAL:
        return isinstance(left, Decimal) and _is_written(left)
    if row.kind is Kind.NAMES:
        return isinstance(left, tuple) and all(
            isinstance(one, str) and is_name(one) for one in left
        )
    if not isinstance(left, str):
        return False
    return row.pattern.fullmatch(left) is not None if row.pattern else is_name(left)


def _is_written(value: Decimal) -> bool:
    """Whether documents can spell the value, so that it can be replayed from the log."""
    if not value.is_finite() or value.is_signed() or not value < _MAX_DECIMAL:
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= _LEAST_EXPONENT


def _whole_milliseconds(moment: datetime) -> datetime:
    """The moment as documents spell it, so that a replay from the log compares the same value."""
    extra = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - extra) if extra else moment


_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "lt": ordering.lt,
        "lteq": ordering.le,
        "gt": ordering.gt,
        "gteq": ordering.ge,
        "eq": ordering.eq,
        "neq": ordering.ne,
    }
)

# `eq` compares names. Where one name lies inside the other, the author may have meant either, and
# neither answer is safe in both a permission and a prohibition: unknown.
_EQUALITY = MappingProxyType(
    {
        Relation.EQUAL: Outcome.SATISFIED,
        Relation.INSIDE: Outcome.UNKNOWN,
        Relation.AROUND: Outcome.UNKNOWN,
        Relation.APART: Outcome.UNSATISFIED,
        Relation.UNLISTED: Outcome.UNSATISFIED,
    }
)
# `isA` and `isPartOf` ask for equal or narrower. A wider left value may or may not mean the narrow
# one, and nothing is known about a purpose that the taxonomy lacks.
_INCLUSION = MappingProxyType(
    {
        Relation.EQUAL: Outcome.SATISFIED,
        Relation.INSIDE: Outcome.SATISFIED,
        Relation.AROUND: Outcome.UNKNOWN,
        Relation.APART: Outcome.UNSATISFIED,
        Relation.UNLISTED: Outcome.UNKNOWN,
    }
)


def _compare_set(operator: str, left: tuple[str, ...], right: Right) -> Outcome:
    """A set of names against one name (`hasPart`) or several."""
    named = set(right) if isinstance(right, tuple) else {str(right)}
    found = named.intersection(left)
    if operator == "isNoneOf":
        holds = not found
    else:
        holds = bool(found) if operator == "isAnyOf" else found == named
    return Outcome.SATISFIED if holds else Outcome.UNSATISFIED


def _compare_names(
    row: Operand, operator: str, left: str, right: Right, purposes: Purposes
) -> Outcome:
    if isinstance(right, tuple):
        among = any_of([_EQUALITY[row.relate(left, name, purposes)] for name in right])
        return among if operator == "isAnyOf" else negate(among)
    relation = row.relate(left, str(right), purposes)
    if operator in ("isA", "isPartOf"):
        return _INCLUSION[relation]
    return _EQUALITY[relation] if operator == "eq" else negate(_EQUALITY[relation])
