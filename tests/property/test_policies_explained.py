"""What an explanation says would have to change is tried: then it is permitted.

The sentence is read as a person would read it, and the value that it asks for is put in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.comparison import is_value
from policies.evaluate import Effect, Report, Request, Value, evaluate
from policies.explain import explain_report
from policies.odrl import Agreement, parse_datetime
from policies.operands import ENVIRONMENTS, OPERANDS, PURPOSES, Right
from policies.phrases import WORDS
from policies.rows import Kind, Operand
from policies.rules import Constraint, Rule
from policies.values import value_from_json, value_to_json

PLACES: Final = ("CN", "CN-GD", "CN-SH", "CN-GD-SZ", "HK", "DE")
OTHERS: Final = ("p1", "p2", "p3")
LEAST: Final = Decimal("0.000001")


def names_of(row: Operand) -> tuple[str, ...]:
    if row.term == "purpose":
        return (*PURPOSES, "unlisted-1", "unlisted-2")
    if row.term == "executionEnvironment":
        return tuple(ENVIRONMENTS)
    if row.term == "spatial":
        return PLACES
    if row.term == "algorithm":
        return ("0" * 64, "1" * 64, "2" * 64)
    return tuple(row.unit.split(", ")) if row.pattern else OTHERS


def one(row: Operand) -> st.SearchStrategy[Any]:
    match row.kind:
        case Kind.INTEGER | Kind.DURATION:
            return st.integers(row.least, 6)
        case Kind.DECIMAL:
            return st.integers(0, 6).map(lambda n: Decimal(n) / 2)
        case Kind.INSTANT:
            start = datetime(2026, 6, 1, tzinfo=UTC)
            return st.integers(0, 6).map(lambda n: start + timedelta(hours=n))
    return st.sampled_from(names_of(row))


@st.composite
def leaves(draw: st.DrawFn, kind: str) -> tuple[Constraint, Right | None]:
    """A constraint, and a left value; None is not known."""
    rows = [row for row in OPERANDS.values() if kind == "permission" or not row.cohort]
    row = draw(st.sampled_from(rows))
    operator = draw(st.sampled_from(row.operators))
    right: Any = draw(one(row))
    if operator.startswith("is") and operator.endswith("Of") and operator != "isPartOf":
        several = st.lists(one(row), min_size=1, max_size=2, unique=True)
        right = tuple(draw(several))
    left: Any = draw(st.none() | one(row))
    if row.kind is Kind.NAMES and left is not None:
        left = tuple(sorted(draw(st.sets(one(row)))))
    return Constraint(f"$.{kind}[0].constraint[0]", row.term, operator, right), left


def decided(kind: Literal["permission", "prohibition"], leaf: Constraint, left: Any) -> Report:
    rule = Rule(kind, 0, "use", (leaf,))
    agreement = Agreement(
        id="a",
        target="t",
        assigner="owner",
        assignee="consortium",
        timestamp=parse_datetime("2026-01-01T00:00:00Z", "$"),
        permissions=(rule,) if kind == "permission" else (Rule("permission", 0, "use", ()),),
        prohibitions=(rule,) if kind == "prohibition" else (),
    )
    state = {} if left is None else {leaf.operand: Value(left, "test")}
    return evaluate(agreement, Request("t", "consortium", "train"), state)


def wanted(row: Operand, sentence: str, left: Any) -> Any:
    """The value that the sentence asks for."""
    plain = sentence.removesuffix(" (prohibition 1)")
    for value, text in WORDS["en"].needed.get(row.term, {}).items():
        if text == plain:
            return value or "F-1"  # some number
    if found := re.fullmatch(r"(.*) would have to take part as well", sentence):
        coming = re.split(" and | or ", found[1])
        return tuple(sorted({*(left or ()), *coming}))
    if found := re.fullmatch(r"(.*) would have to stay out of the round", sentence):
        return tuple(name for name in left or () if name not in found[1].split(" and "))
    text = sentence.split(" would have to be ", 1)[1]
    text = re.sub(r" \((?:it only grows|what was spent|prohibition 1).*", "", text)
    for pattern, step in (
        ("at most (.*)|at least (.*)|(.*) or earlier|(.*) or later", 0),
        ("less than (.*)|before (.*)", -1),
        ("more than (.*)|after (.*)", 1),
    ):
        if found := re.fullmatch(pattern, text):
            return moved(row, next(filter(None, found.groups())), step)
    if found := re.fullmatch("something other than (.*)", text):
        return apart(row, found[1].split(" or "))
    if found := re.fullmatch("something that does not belong to (.*)|a place outside (.*)", text):
        return apart(row, [found[1] or found[2]])
    text = re.sub(" or (?:what belongs to it|a region of it)$", "", text)
    return moved(row, text.split(" or ")[0], 0)


def moved(row: Operand, shown: str, step: int) -> Any:
    value: Any = int(shown) if row.kind is Kind.INTEGER else value_from_json(row, shown)
    if step == 0:
        return value
    if isinstance(value, datetime):
        return value + step * timedelta(milliseconds=1)
    return value + step * (LEAST if isinstance(value, Decimal) else 1)


def apart(row: Operand, named: list[str]) -> Any:
    """Something else: not the same, and neither inside nor around it."""
    if row.kind is Kind.INSTANT:
        return moved(row, named[0], 1)
    for name in names_of(row):
        relations = {row.relate(name, other, PURPOSES).value for other in named}
        if relations <= {"apart"}:
            return name
    return None


@given(st.sampled_from(["permission", "prohibition"]), st.data())
@settings(max_examples=1500, deadline=None)
def test_the_change_that_is_named_permits(
    kind: Literal["permission", "prohibition"], data: st.DataObject
) -> None:
    leaf, left = data.draw(leaves(kind))
    report = decided(kind, leaf, left)
    told = explain_report("clinic", report, "en")
    assert told.permitted == (report.effect is Effect.PERMIT)
    if told.permitted:
        assert told.changes == ()
        return
    assert len(told.because) == 1
    (sentence,) = told.changes
    row = OPERANDS[leaf.operand]
    value = wanted(row, sentence, left)
    assume(value is not None and is_value(row, value))  # nothing is less than the least
    again = decided(kind, leaf, value)
    assert again.effect is Effect.PERMIT, (sentence, value_to_json(row, value))
    if "only grows" in sentence and left is not None:
        assert value < left
