"""An agreement as Cedar policies: a second, independent reading of the same text.

Cedar (https://www.cedarpolicy.com) skips a policy whose evaluation errs, so that an erring `forbid`
permits. What is compiled here cannot err: every attribute is read behind a `has` guard. Cedar has
two values where the profile has three, so each constraint is compiled twice, to an expression that
is true where it certainly holds and one that is true where it certainly does not; where both are
false, it is unknown. Then

    permission   permit (...) when { every constraint certainly holds, every pre-duty is done };
    prohibition  forbid (...) unless { some constraint certainly does not hold };
    obligation   forbid (...) unless { it is done };
    law          as a prohibition, for every principal and resource

`policies.cedar_values` says how values become Cedar's, and makes the context. Both modules make
text and plain values and need no Cedar; who evaluates them brings it (`server.second_key`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from policies.cedar_values import TABLES, beginning, decimal_longs, entity, milliseconds, quoted
from policies.errors import PolicyError
from policies.law import Baseline
from policies.odrl import Agreement
from policies.operands import ACTIONS, FULFILLED, OPERANDS, VIOLATED
from policies.relations import relate_environments, relate_places, relate_units, same_name
from policies.rows import Kind, Operand
from policies.rules import Constraint, Duty, Logic, Rule

__all__ = ["cedar_policies"]


class _Sides(NamedTuple):
    """One condition twice: where it certainly holds, and where it certainly does not."""

    holds: str
    fails: str


def cedar_policies(agreement: Agreement, baseline: Iterable[Baseline] = ()) -> str:
    """The policies that permit what the agreement permits beside a space's laws.

    They are to be evaluated with `cedar_request` and `cedar_entities` of `policies.cedar_values`.

    Raises:
        PolicyError: a relation between names for which no compilation is written.
    """
    asked = ", ".join(entity("Action", term) for term, row in ACTIONS.items() if row.asked)
    found = [f"forbid (principal, action, resource) unless {{ [{asked}].contains(action) }};"]
    place = (
        f"principal == {entity('Participant', agreement.assignee)}",
        f"resource == {entity('Product', agreement.target)}",
    )
    found += [_permit(rule, place) for rule in agreement.permissions]
    found += [_forbid(rule, place) for rule in agreement.prohibitions]
    found += [
        f"forbid (principal, action, resource) unless {{ {_done(duty)} }};"
        for duty in agreement.obligations
    ]
    anywhere = ("principal", "resource")
    found += [_forbid(rule, anywhere) for law in baseline for rule in law.prohibitions]
    return "\n".join(found)


def _permit(rule: Rule, place: tuple[str, str]) -> str:
    met = _all([*(_part(part).holds for part in rule.constraints), *map(_done, rule.duties)])
    return f"permit ({_scope(rule, place)}) when {{ {met} }};"


def _forbid(rule: Rule, place: tuple[str, str]) -> str:
    unmet = _any(_part(part).fails for part in rule.constraints)
    return f"forbid ({_scope(rule, place)}) unless {{ {unmet} }};"


def _scope(rule: Rule, place: tuple[str, str]) -> str:
    return f"{place[0]}, action in {entity('Action', rule.action)}, {place[1]}"


def _done(duty: Duty) -> str:
    """A pre-duty that is fulfilled; a post-duty that is not known to be violated."""
    if not duty.is_pre:
        return f"!({_has(duty.action)} && context.{duty.action} == {quoted(VIOLATED)})"
    state = f"{_has(duty.action)} && context.{duty.action} == {quoted(FULFILLED)}"
    return _all([state, *(_part(part).holds for part in duty.constraints)])


def _part(part: Constraint | Logic) -> _Sides:
    if isinstance(part, Constraint):
        return _leaf(part)
    parts = [_part(one) for one in part.parts]
    holds, fails = [one.holds for one in parts], [one.fails for one in parts]
    if part.operator == "or":
        return _Sides(_any(holds), _all(fails))
    if part.operator in ("and", "andSequence"):
        return _Sides(_all(holds), _any(fails))
    if part.operator != "xone":
        raise PolicyError(
            f"{part.path}: expected logic that compiles to Cedar, got {part.operator}"
        )
    number = " + ".join(f"(if {one} then 1 else 0)" for one in holds)
    settled = _all(f"({held} || {failed})" for held, failed in parts)
    return _Sides(f"({number} == 1 && {settled})", f"({number} > 1 || {_all(fails)})")


def _leaf(leaf: Constraint) -> _Sides:
    row = OPERANDS[leaf.operand]
    sides = _COMPILERS[row.kind](row, leaf)
    guard = _has(row.term)
    return _Sides(f"({guard} && {sides.holds})", f"({guard} && {sides.fails})")


def _whole(row: Operand, leaf: Constraint) -> _Sides:
    assert isinstance(leaf.right, int)
    left = f"context.{row.term}"
    holds = f"{left} {_ORDER[leaf.operator]} {leaf.right}"
    enough = f"{left} >= {row.least}"  # below it, the value is none
    return _Sides(f"({enough} && {holds})", f"({enough} && !({holds}))")


def _instant(row: Operand, leaf: Constraint) -> _Sides:
    holds = f"context.{row.term} {_ORDER[leaf.operator]} {milliseconds(leaf.right)}"
    return _Sides(f"({holds})", f"!({holds})")


def _decimal(row: Operand, leaf: Constraint) -> _Sides:
    """Longs compared one after the other, as digits are."""
    longs = decimal_longs(leaf.right)
    assert longs is not None
    (a, x), (b, y) = ((f"context.{row.term}.{name}", value) for name, value in longs.items())
    same = f"({a} == {x} && {b} == {y})"
    less = f"({a} < {x} || ({a} == {x} && {b} < {y}))"
    holds = {
        "eq": same,
        "neq": f"!{same}",
        "lt": less,
        "lteq": f"({less} || {same})",
        "gteq": f"!{less}",
        "gt": f"!({less} || {same})",
    }[leaf.operator]
    return _Sides(holds, f"!{holds}")


def _names(row: Operand, leaf: Constraint) -> _Sides:
    """A set on the left."""
    names = leaf.right if isinstance(leaf.right, tuple) else (str(leaf.right),)
    method, negated = {
        "hasPart": ("containsAll", ""),
        "isAllOf": ("containsAll", ""),
        "isAnyOf": ("containsAny", ""),
        "isNoneOf": ("containsAny", "!"),
    }[leaf.operator]
    found = f"context.{row.term}.{method}([{', '.join(map(quoted, names))}])"
    return _Sides(f"{negated}({found})", f"!{negated}({found})")


def _name(row: Operand, leaf: Constraint) -> _Sides:
    if leaf.operator in ("isA", "isPartOf"):
        return _inside(row, str(leaf.right))
    if leaf.operator in ("eq", "neq"):
        equal = _equal(row, str(leaf.right))
    else:
        assert isinstance(leaf.right, tuple)
        each = [_equal(row, name) for name in leaf.right]
        equal = _Sides(_any(one.holds for one in each), _all(one.fails for one in each))
    return equal if leaf.operator in ("eq", "isAnyOf") else _Sides(equal.fails, equal.holds)


def _equal(row: Operand, right: str) -> _Sides:
    """Whether two names are the same; where one lies inside the other, nobody knows."""
    left = f"context.{row.term}"
    if row.relate is same_name:
        return _Sides(f"({left} == {quoted(right)})", f"({left} != {quoted(right)})")
    same, inside, around, _ = _related(row, right)
    return _Sides(same, f"!({inside} || {around})")


def _inside(row: Operand, right: str) -> _Sides:
    """Whether the left name belongs to the right one; of a wider left name, nobody knows."""
    _, inside, around, listed = _related(row, right)
    return _Sides(inside, f"({listed} && !({inside} || {around}))")


def _related(row: Operand, right: str) -> tuple[str, str, str, str]:
    """Same; same or inside; same or around; and whether the table says how both stand."""
    left = f"context.{row.term}"
    if row.relate is relate_places:
        steps = right.split("-")
        wider = ", ".join(quoted("-".join(steps[:end])) for end in range(1, len(steps) + 1))
        same = f"({left} == {quoted(right)})"
        return (
            same,
            f"({same} || {left} like {beginning(right + '-')})",
            f"[{wider}].contains({left})",
            "true",
        )
    if row.term not in TABLES:
        raise PolicyError(f"{row.term}: expected a relation of names that compiles to Cedar")
    other, table = entity(row.term, right), entity("Table", row.term)
    same = f"({left} == {other})"
    # Of exact names a weaker one is apart from a stronger one (`policies.relations`).
    exact = row.relate in (relate_environments, relate_units)
    wider = same if exact else f"({other} in {left})"
    return (
        same,
        f"({left} in {other})",
        wider,
        f"({left} in {table} && {other} in {table})",
    )


def _has(key: str) -> str:
    return f"context has {key}"


def _all(parts: Iterable[str]) -> str:
    """Conjunction; of nothing it is true."""
    return f"({' && '.join(parts) or 'true'})"


def _any(parts: Iterable[str]) -> str:
    """Disjunction; of nothing it is false."""
    return f"({' || '.join(parts) or 'false'})"


_ORDER = {"lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=", "eq": "==", "neq": "!="}
_COMPILERS = {
    Kind.NAME: _name,
    Kind.NAMES: _names,
    Kind.INTEGER: _whole,
    Kind.DURATION: _whole,
    Kind.INSTANT: _instant,
    Kind.DECIMAL: _decimal,
}
