"""Our evaluator and Cedar, which reads what `policies.cedar` compiles, agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

import policies_generator as generate
import pytest
from cedar_check import agree
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.evaluate import Effect, Outcome, Request, Value, compare, evaluate
from policies.odrl import Agreement, parse_datetime
from policies.operands import OPERANDS, Kind, Operand
from policies.rules import Constraint, Logic, Rule
from policies.values import parse_right, value_from_json, value_to_json
from server.second_key import CedarKey

ODD = ["-0", "0E+5", "-0.5", "Infinity", "1E+999999", "1E-999999", "5E-1"]
REQUEST = Request("t", "consortium", "train")


@given(st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_policies_that_hypothesis_can_shrink_are_decided_alike(random: Random) -> None:
    agreement = generate.agreement(random)
    agree(agreement, generate.request(random), generate.state(random, agreement))


def agreement_of(permission: tuple[Any, ...], prohibition: tuple[Any, ...]) -> Agreement:
    return Agreement(
        id="urn:uuid:1",
        target="t",
        assigner="owner",
        assignee="consortium",
        timestamp=parse_datetime("2026-01-01T00:00:00Z", "$"),
        permissions=(Rule("permission", 0, "use", permission),),
        prohibitions=(Rule("prohibition", 0, "use", prohibition),) if prohibition else (),
    )


def rights(row: Operand, operator: str) -> list[Any]:
    """Right operands that meet each other and `lefts` in every way that matters."""
    if row.kind in (Kind.NAME, Kind.NAMES):
        names = generate.names_of(row)
        if operator in ("isAnyOf", "isAllOf", "isNoneOf"):
            return [names[:1], names[:2], names[-1:], names]
        return names
    texts: dict[Kind, list[str]] = {
        Kind.INSTANT: generate.TIMES,
        Kind.DECIMAL: generate.decimals_of(row),
        Kind.DURATION: generate.DURATIONS,
        Kind.INTEGER: ["0", "1", "2", str(2**53 - 1)],
    }
    type = {Kind.DECIMAL: "decimal", Kind.DURATION: "duration", Kind.INTEGER: "integer"}
    if row.kind is Kind.INSTANT:
        return list(texts[row.kind])
    return [{"@value": text, "@type": f"xsd:{type[row.kind]}"} for text in texts[row.kind]]


def lefts(row: Operand) -> list[Any]:
    """Left values: equal, neighbouring, related, and none of the operand at all."""
    none = [None, True, -1, 2**53, "", "no value", "x" * 1025, Decimal("NaN"), 1.0, ("a b",), b"a"]
    match row.kind:
        case Kind.NAME:
            return [*generate.names_of(row), *none]
        case Kind.NAMES:
            names = generate.names_of(row)
            return [(), tuple(names[:1]), tuple(names[:2]), tuple(names[1:]), tuple(names), *none]
        case Kind.DECIMAL:
            exact = [Decimal(text) for text in generate.DECIMALS]
            near = [one + step for one in exact for step in (Decimal("1E-18"), Decimal("1E-20"))]
            return [*exact, *near, Decimal(10) ** 18, *map(Decimal, ODD), *none]
        case Kind.INSTANT:
            exact_times = [parse_datetime(text, "$") for text in generate.TIMES]
            steps = [timedelta(microseconds=step) for step in (-1, 1, 999, 1000)]
            zone = timezone(-timedelta(hours=5, minutes=30))
            return [
                *exact_times,
                *(one + step for one in exact_times for step in steps),
                *(one.astimezone(zone) for one in exact_times),
                datetime(1, 1, 1, tzinfo=UTC),
                datetime(2026, 1, 1),  # naive, and so no moment
                *none,
            ]
        case _:
            return [0, 1, 2, 3, 90_061, 2**53 - 1, *none]


@pytest.mark.parametrize(
    ("row", "operator"),
    [(row, operator) for row in OPERANDS.values() for operator in row.operators],
    ids=lambda value: value if isinstance(value, str) else value.term,
)
def test_every_comparison_has_the_same_three_outcomes(row: Operand, operator: str) -> None:
    for written in rights(row, operator):
        right = parse_right(row, operator, written, "$")
        leaf = Constraint("$.constraint[0]", row.term, operator, right)
        permitted = agreement_of((leaf,), ())
        prohibited = agreement_of((), (leaf,))
        for value in [*lefts(row), KeyError]:
            state = {} if value is KeyError else {row.term: Value(value, "test")}
            outcome = Outcome.UNKNOWN if not state else compare(row, operator, value, right)
            if outcome is not Outcome.UNKNOWN and row.kind is not Kind.INSTANT:
                assert (
                    value_from_json(row, value_to_json(row, value)) == value
                )  # it can be replayed
            holds = agree(permitted, REQUEST, state) is Effect.PERMIT
            fails = agree(prohibited, REQUEST, state) is Effect.PERMIT
            seen = (holds, fails)
            assert seen == (outcome is Outcome.SATISFIED, outcome is Outcome.UNSATISFIED), value


def test_a_purpose_table_of_the_space_is_asked_instead_of_ours() -> None:
    table = {"a": "b", "b": "c", "c": None}
    key = CedarKey(purposes=table)
    for right in ["a", "b", "c", "d", "marketing"]:
        leaf = Constraint("$.constraint[0]", "purpose", "isA", right)
        for value in ["a", "b", "c", "d", "marketing"]:
            state = {"purpose": Value(value, "test")}
            for agreement in (agreement_of((leaf,), ()), agreement_of((), (leaf,))):
                ours = evaluate(agreement, REQUEST, state, purposes=table)
                assert key.decide(ours, state).effect is ours.effect


def test_the_largest_policies_that_intake_lets_in_do_not_exhaust_cedar() -> None:
    def nested(operator: str, levels: int, width: int) -> Constraint | Logic:
        if levels == 0:
            return Constraint("$", "count", "lteq", 5)
        inner = tuple(nested(operator, levels - 1, width) for _ in range(width))
        return Logic("$", operator, inner)

    many = tuple(f"name-{number}" for number in range(256))
    wide = (Constraint("$", "purpose", "isNoneOf", many),) * 64
    shapes: list[tuple[Any, ...]] = [wide]
    for operator in ("and", "or", "xone"):
        shapes += [
            (nested(operator, 8, 1),),
            (nested(operator, 4, 2),),
            (nested(operator, 1, 63),),
        ]
    state = {"count": Value(3, "test"), "purpose": Value("marketing", "test")}
    for parts in shapes:
        agree(agreement_of(parts, ()), REQUEST, state)
        agree(agreement_of((), parts), REQUEST, state)
