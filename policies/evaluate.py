"""Three-valued evaluation of one agreement for one request, with a report.

The rule (DESIGN.md, "Policy"): permit if and only if at least one permission for exactly this
target, assignee and action is fully satisfied, and no prohibition for them is satisfied or unknown.

A report is a value: the same agreement, request and state give the same report, byte for byte in
its canonical JSON, so that a decision can be replayed from the log.
"""

from __future__ import annotations

import operator as ordering
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

from policies.canonical import MAX_SAFE_INTEGER, Json, digest_of
from policies.fields import instant
from policies.odrl import Agreement, Constraint, Logic, Rule
from policies.operands import (
    COVERS,
    LOGIC,
    OPERANDS,
    OPERATORS,
    PURPOSES,
    Kind,
    Operand,
    Outcome,
    Purposes,
    Relation,
    Right,
    all_of,
    any_of,
    is_name,
    negate,
    right_to_json,
)

__all__ = [
    "ConstraintResult",
    "Effect",
    "LogicResult",
    "Outcome",
    "Reason",
    "Report",
    "Request",
    "RuleResult",
    "State",
    "Value",
    "compare",
    "evaluate",
]


class Effect(Enum):
    """What is decided."""

    PERMIT = "permit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks to do what with which product; `action` is `train` or `evaluate`."""

    target: str
    assignee: str
    action: str


@dataclass(frozen=True, slots=True)
class Value:
    """A left value and where it was taken from, such as a log entry or a clock."""

    value: str | int | datetime
    source: str


# Left operand -> its value; one that is absent is unknown. `count` already includes the use that
# is being decided.
State = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, for a program (`code`) and for a person (`text`)."""

    code: str
    text: str

    def to_json(self) -> dict[str, Json]:
        """The reason as JSON."""
        return {"code": self.code, "text": self.text}


@dataclass(frozen=True, slots=True)
class ConstraintResult:
    """One comparison with what it was made of; `value` is None where the state lacks it."""

    constraint: Constraint
    value: Value | None
    outcome: Outcome

    def to_json(self) -> dict[str, Json]:
        """The comparison as JSON; a left value that cannot be one is shown as null."""
        usable = self.value if _usable(self) else None
        left = usable.value if usable else None
        return {
            "path": self.constraint.path,
            "leftOperand": self.constraint.operand,
            "operator": self.constraint.operator,
            "rightOperand": right_to_json(self.constraint.right),
            "leftValue": instant(left) if isinstance(left, datetime) else left,
            "source": self.value.source if self.value else None,
            "outcome": self.outcome.value,
        }


@dataclass(frozen=True, slots=True)
class LogicResult:
    """A logical constraint with the results of its parts."""

    constraint: Logic
    parts: tuple[ConstraintResult | LogicResult, ...]
    outcome: Outcome

    def to_json(self) -> dict[str, Json]:
        """The result and its parts as JSON."""
        return {
            "path": self.constraint.path,
            "operator": self.constraint.operator,
            "parts": [part.to_json() for part in self.parts],
            "outcome": self.outcome.value,
        }


Result = ConstraintResult | LogicResult


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule; `outcome` is None and `constraints` is empty where it does not match."""

    rule: Rule
    matches: bool
    outcome: Outcome | None
    constraints: tuple[Result, ...]

    def to_json(self) -> dict[str, Json]:
        """The rule's result as JSON."""
        return {
            "kind": self.rule.kind,
            "index": self.rule.index,
            "action": self.rule.action,
            "matches": self.matches,
            "outcome": self.outcome.value if self.outcome else None,
            "constraints": [part.to_json() for part in self.constraints],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A decision with all that it rests on, permissions first, in the document's order."""

    agreement: Agreement
    request: Request
    effect: Effect
    rules: tuple[RuleResult, ...]

    def to_json(self) -> dict[str, Json]:
        """The report as JSON, ready for `canonical_bytes`."""
        return {
            "agreement": self.agreement.id,
            "agreementDigest": self.agreement.digest,
            "target": self.request.target,
            "assignee": self.request.assignee,
            "action": self.request.action,
            "effect": self.effect.value,
            "rules": [result.to_json() for result in self.rules],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON; computed anew at each access."""
        return digest_of(self.to_json())

    def reasons(self) -> tuple[Reason, ...]:
        """Why, for people: never empty; a permit names the permission that carried it."""
        agreement, request = self.agreement, self.request
        if request.target != agreement.target:
            text = f"the request is for {request.target}; the agreement is for {agreement.target}"
            return (Reason("wrong-target", text),)
        if request.assignee != agreement.assignee:
            text = f"{request.assignee} asks; the agreement is with {agreement.assignee}"
            return (Reason("wrong-assignee", text),)
        matching = [result for result in self.rules if result.matches]
        permissions = [result for result in matching if result.rule.kind == "permission"]
        barring = [result for result in matching if result.rule.kind == "prohibition"]
        found = [reason for result in barring for reason in _barred(result)]
        carrying = [p for p in permissions if p.outcome is Outcome.SATISFIED]
        if not permissions:
            text = f"no permission of the agreement covers {request.action}"
            found.append(Reason("no-permission", text))
        elif not carrying:
            found += [reason for p in permissions for reason in _unmet(p.constraints)]
        elif not found:
            text = f"permission {carrying[0].rule.index + 1} is met in every constraint"
            found.append(Reason("permitted", text))
        return tuple(dict.fromkeys(found))


def evaluate(
    agreement: Agreement, request: Request, state: State, *, purposes: Purposes = PURPOSES
) -> Report:
    """Decide one request under one agreement.

    Args:
        state: the left values that are known; nothing is assumed about the others.
        purposes: the taxonomy for `isA`; a space with its own table must log it, or its
            decisions cannot be replayed.
    """
    concerns = request.target == agreement.target and request.assignee == agreement.assignee
    results = []
    permitted = False
    barred = False
    for rule in agreement.permissions:
        result = _rule(rule, concerns, request.action, state, purposes)
        permitted = permitted or result.outcome is Outcome.SATISFIED
        results.append(result)
    for rule in agreement.prohibitions:
        result = _rule(rule, concerns, request.action, state, purposes)
        barred = barred or (result.matches and result.outcome is not Outcome.UNSATISFIED)
        results.append(result)
    effect = Effect.PERMIT if permitted and not barred else Effect.DENY
    return Report(agreement, request, effect, tuple(results))


def _rule(rule: Rule, concerns: bool, action: str, state: State, purposes: Purposes) -> RuleResult:
    if not concerns or action not in COVERS[rule.action]:
        return RuleResult(rule, False, None, ())
    parts = [_result(constraint, state, purposes) for constraint in rule.constraints]
    return RuleResult(rule, True, all_of([part.outcome for part in parts]), tuple(parts))


def _result(constraint: Constraint | Logic, state: State, purposes: Purposes) -> Result:
    if isinstance(constraint, Logic):
        parts = tuple([_result(part, state, purposes) for part in constraint.parts])
        outcome = LOGIC[constraint.operator]([part.outcome for part in parts])
        return LogicResult(constraint, parts, outcome)
    value = state.get(constraint.operand)
    if value is None:
        return ConstraintResult(constraint, None, Outcome.UNKNOWN)
    row = OPERANDS[constraint.operand]
    outcome = compare(row, constraint.operator, value.value, constraint.right, purposes)
    return ConstraintResult(constraint, value, outcome)


def compare(
    row: Operand, operator: str, left: object, right: Right, purposes: Purposes = PURPOSES
) -> Outcome:
    """One constraint against one left value.

    Args:
        left: the value; one of another type, or outside its row's bounds, is unknown.
        right: as `policies.odrl` parsed it for this row and operator.
        purposes: the taxonomy that `isA` asks.
    """
    if not _is_value(row, left):
        return Outcome.UNKNOWN
    if row.kind is Kind.NAME:
        return _compare_names(row, operator, str(left), right, purposes)
    if isinstance(left, datetime):
        left = _whole_milliseconds(left)
    holds: bool = _ORDERED[operator](left, right)
    return Outcome.SATISFIED if holds else Outcome.UNSATISFIED


def _is_value(row: Operand, left: object) -> bool:
    """Whether this can be a left value of the row at all."""
    if row.kind is Kind.INTEGER:
        is_integer = isinstance(left, int) and not isinstance(left, bool)
        return is_integer and row.least <= left <= MAX_SAFE_INTEGER  # type: ignore[operator]
    if row.kind is Kind.INSTANT:
        return isinstance(left, datetime) and left.tzinfo is not None
    if not isinstance(left, str):
        return False
    return row.pattern.fullmatch(left) is not None if row.pattern else is_name(left)


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


# -- sentences ----------------------------------------------------------------------------------


def _barred(result: RuleResult) -> Iterator[Reason]:
    name = f"prohibition {result.rule.index + 1}"
    if result.outcome is Outcome.SATISFIED:
        facts = "; ".join(_facts(result.constraints))
        because = f" because {facts}" if facts else ""
        yield Reason("prohibited", f"{name} forbids {result.rule.action}{because}")
    elif result.outcome is Outcome.UNKNOWN:
        for leaf in _open_leaves(result.constraints, Outcome.UNKNOWN):
            text = f"{_not_known(leaf)}; {name} may apply ({_place_of(leaf)})"
            yield Reason("unknown-value", text)


def _unmet(parts: tuple[Result, ...]) -> Iterator[Reason]:
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
            yield from _unmet(part.parts)


def _unmet_leaf(leaf: ConstraintResult) -> Reason:
    constraint = leaf.constraint
    row, operator = OPERANDS[constraint.operand], OPERATORS[constraint.operator]
    phrase = operator.time_phrase if row.kind is Kind.INSTANT else operator.phrase
    allowed = f"the agreement allows {phrase.format(_shown(constraint.right))}"
    if row.cohort:
        allowed = f"the agreement asks for {phrase.format(_shown(constraint.right))}"
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
    assert leaf.value is not None  # a leaf with an outcome other than unknown has a value
    return f"{OPERANDS[leaf.constraint.operand].subject} is {_shown(leaf.value.value)}"


def _not_known(leaf: ConstraintResult) -> str:
    subject = OPERANDS[leaf.constraint.operand].subject
    if leaf.value is None:
        return f"{subject} is not known"
    if not _usable(leaf):
        return f"{subject} has no usable value (from {leaf.value.source})"
    shown, right = _shown(leaf.value.value), _shown(leaf.constraint.right)
    return f"{subject} is {shown}, of which it is not known how it stands to {right}"


def _usable(leaf: ConstraintResult) -> bool:
    return leaf.value is not None and _is_value(OPERANDS[leaf.constraint.operand], leaf.value.value)


def _shown(value: Right) -> str:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, tuple):
        return " or ".join((", ".join(value[:-1]), value[-1])) if value[1:] else value[0]
    return str(value)


def _place_of(result: Result) -> str:
    """`$.permission[0].constraint[1]` as people count: permission 1, constraint 2."""
    steps = result.constraint.path.removeprefix("$.").replace("]", "").split(".")
    named = (step.split("[") for step in steps)
    return ", ".join(f"{name} {int(index) + 1}" for name, index in named)
