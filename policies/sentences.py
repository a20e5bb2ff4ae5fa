"""Results as sentences for people; places are counted from one, as people count."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from policies.company import OPENED
from policies.english import ENGLISH
from policies.fields import instant
from policies.law import Baseline
from policies.operands import ACTIONS, FULFILLED, OPERANDS, OPERATORS, PENDING, VIOLATED, Right
from policies.outcomes import Outcome
from policies.phrases import told_value
from policies.results import (
    ConstraintResult,
    DutyResult,
    LogicResult,
    Reason,
    Result,
    RuleResult,
)
from policies.rows import Kind, Operand
from policies.values import decimal_text, duration_text


def reasons_barred(result: RuleResult) -> Iterator[Reason]:
    """Why a prohibition that matches stands in the way; nothing where it does not."""
    name = f"prohibition {result.rule.index + 1}"
    if result.outcome is Outcome.SATISFIED:
        facts = "; ".join(_facts(result.constraints))
        because = f" because {facts}" if facts else ""
        yield Reason("prohibited", f"{name} forbids {result.rule.action}{because}")
    elif result.outcome is Outcome.UNKNOWN:
        for leaf in _open_leaves(result.constraints, Outcome.UNKNOWN):
            text = f"{_not_known(leaf)}; {name} may apply ({_place_of(leaf)})"
            yield Reason("unknown-value", text)


def reasons_forbidden(law: Baseline, result: RuleResult) -> Iterator[Reason]:
    """Why a law of the baseline stands in the way, or may; for a result that does."""
    code = f"law-{law.name}"
    if result.outcome is Outcome.SATISFIED:
        facts = "; ".join(_facts(result.constraints))
        because = f": {facts}" if facts else ""
        yield Reason(code, f"{law.title}{because} (baseline {law.name} {law.version})")
        return
    for leaf in _open_leaves(result.constraints, Outcome.UNKNOWN):
        text = f"{_not_known(leaf)}; {law.title} (baseline {law.name} {law.version})"
        yield Reason(code, text)


def reasons_owed(result: DutyResult) -> Iterator[Reason]:
    """Why a duty stands in the way; nothing where it is fulfilled, or due only afterwards."""
    if result.outcome is None or result.outcome is Outcome.SATISFIED:
        return
    code = f"duty-{result.duty.action}"
    owed = f"the duty to {ACTIONS[result.duty.action].phrase} ({_steps(result.duty.path)})"
    state = result.value.value if result.value else None
    if state == PENDING:
        assert result.value is not None
        yield Reason(code, f"{owed} is not fulfilled: {result.value.source}")
    elif state == VIOLATED:
        assert result.value is not None
        yield Reason(code, f"{owed} was violated: {result.value.source}")
    elif state != FULFILLED:
        yield Reason(code, f"{owed} is not known to be fulfilled")
    for reason in reasons_unmet(result.constraints):
        yield Reason(code, f"{owed}: {reason.text}")


def reasons_unmet(parts: tuple[Result, ...]) -> Iterator[Reason]:
    """Why these constraints of a permission are not all met, one reason for each."""
    for part in parts:
        if part.outcome is Outcome.SATISFIED:
            continue
        if isinstance(part, ConstraintResult):
            yield _unmet_leaf(part)
            continue
        held = sum(inner.outcome is Outcome.SATISFIED for inner in part.parts)
        if part.constraint.operator == "xone" and held > 1:
            text = f"exactly one alternative may hold; {held} do ({_place_of(part)})"
            yield Reason("more-than-one-alternative", text)
        else:
            yield from reasons_unmet(part.parts)


def _unmet_leaf(leaf: ConstraintResult) -> Reason:
    constraint = leaf.constraint
    row, operator = OPERANDS[constraint.operand], OPERATORS[constraint.operator]
    phrase = operator.time_phrase if row.kind is Kind.INSTANT else operator.phrase
    wish = row.wish or ("asks for " if row.cohort else "allows ") + phrase
    joiner = "and" if constraint.operator == "isAllOf" or row.term == "notTogetherWith" else "or"
    allowed = f"the agreement {wish.format(_shown(row, constraint.right, joiner))}"
    if row.advice:
        allowed += f": {row.advice}"
    if leaf.outcome is Outcome.UNKNOWN:
        return Reason("unknown-value", f"{_not_known(leaf)}; {allowed} ({_place_of(leaf)})")
    return Reason(row.code, f"{_fact(leaf)}; {allowed} ({_place_of(leaf)})")


def _open_leaves(parts: tuple[Result, ...], outcome: Outcome) -> Iterator[ConstraintResult]:
    for part in parts:
        if isinstance(part, LogicResult):
            yield from _open_leaves(part.parts, outcome)
        elif part.outcome is outcome:
            yield part


def _facts(parts: tuple[Result, ...]) -> list[str]:
    return [_fact(leaf) for leaf in _open_leaves(parts, Outcome.SATISFIED)]


def _fact(leaf: ConstraintResult) -> str:
    assert leaf.left is not None  # a leaf with an outcome other than unknown has a value
    row = OPERANDS[leaf.constraint.operand]
    told = told_value(row.term, leaf.left, ENGLISH)
    if told is not None:
        return told
    fact = (row.fact or f"{row.subject} is {{}}").format(_shown(row, leaf.left, "and"))
    bounded = leaf.value is not None and leaf.value.source == OPENED
    return f"{fact} ({OPENED})" if bounded else fact


def _not_known(leaf: ConstraintResult) -> str:
    row = OPERANDS[leaf.constraint.operand]
    if leaf.value is None:
        return f"{row.subject} is not known"
    if not leaf.usable:
        return f"{row.subject} has no usable value (from {leaf.value.source})"
    shown, right = _shown(row, leaf.value.value), _shown(row, leaf.constraint.right)
    return f"{row.subject} is {shown}, of which it is not known how it stands to {right}"


def _shown(row: Operand, value: Right, joiner: str = "or") -> str:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, tuple):
        *first, last = value or ("nobody",)
        return f"{', '.join(first)} {joiner} {last}" if first else last
    if row.kind is Kind.DURATION and isinstance(value, int):
        return duration_text(value)
    return str(value)


def _place_of(result: Result) -> str:
    return _steps(result.constraint.path)


def _steps(path: str) -> str:
    """`$.permission[0].constraint[1]` as people count: permission 1, constraint 2."""
    steps = path.removeprefix("$.").replace("]", "").split(".")
    named = (step.split("[") for step in steps)
    return ", ".join(f"{name} {int(index[0]) + 1}" if index else name for name, *index in named)
