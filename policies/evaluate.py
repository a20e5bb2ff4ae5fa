"""Three-valued evaluation of one agreement for one request, with a report.

The rule (DESIGN.md, "Policy"): permit if and only if at least one permission for exactly this
target, assignee and action is fully satisfied, and no prohibition for them is satisfied or unknown.

A report is a value: the same agreement, request and state give the same report, byte for byte in
its canonical JSON, so that a decision can be replayed from the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from policies.canonical import Json, digest_of
from policies.comparison import compare
from policies.odrl import Agreement
from policies.operands import COVERS, OPERANDS
from policies.outcomes import LOGIC, Outcome, all_of
from policies.relations import PURPOSES, Purposes
from policies.results import (
    ConstraintResult,
    LogicResult,
    Reason,
    Result,
    RuleResult,
    State,
    Value,
)
from policies.rules import Constraint, Logic, Rule
from policies.sentences import reasons_barred, reasons_unmet

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
        found = [reason for result in barring for reason in reasons_barred(result)]
        carrying = [p for p in permissions if p.outcome is Outcome.SATISFIED]
        if not permissions:
            text = f"no permission of the agreement covers {request.action}"
            found.append(Reason("no-permission", text))
        elif not carrying:
            found += [reason for p in permissions for reason in reasons_unmet(p.constraints)]
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
