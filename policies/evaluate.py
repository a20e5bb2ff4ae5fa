"""Three-valued evaluation of one agreement for one request, with a report.

The rule (DESIGN.md, "Policy"): permit if and only if at least one permission for exactly this
target, assignee and action is fully satisfied, no prohibition for them is satisfied or unknown,
every pre-duty is fulfilled, and no law of the space's baseline forbids it or may forbid it.

A report is a value: the same agreement, request and state give the same report, byte for byte in
its canonical JSON, so that a decision can be replayed from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from types import MappingProxyType

from policies.canonical import Json, canonical_bytes, sha256_hex
from policies.comparison import compare
from policies.law import Baseline
from policies.odrl import Agreement
from policies.operands import COVERS, FULFILLED, OPERANDS, PENDING, VIOLATED
from policies.outcomes import LOGIC, Outcome, all_of
from policies.relations import PURPOSES, Purposes
from policies.results import (
    ConstraintResult,
    DutyResult,
    LogicResult,
    Reason,
    Result,
    RuleResult,
    State,
    Value,
)
from policies.rules import Constraint, Duty, Logic, Rule, leaves
from policies.sentences import reasons_barred, reasons_forbidden, reasons_owed, reasons_unmet

Look = Callable[[Rule, bool, str, State, Purposes], RuleResult]
Compared = Callable[[Constraint | Logic, State, Purposes], Result]

__all__ = [
    "ConstraintResult",
    "DutyResult",
    "Effect",
    "LogicResult",
    "Look",
    "Outcome",
    "Reason",
    "Report",
    "Request",
    "RuleResult",
    "State",
    "Value",
    "asked_by",
    "barred",
    "compare",
    "comparison_of",
    "evaluate",
    "result_of",
]


class Effect(Enum):
    """What is decided."""

    PERMIT = "permit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks to do what with which product; `action` is one that may be asked for."""

    target: str
    assignee: str
    action: str


@dataclass(frozen=True, slots=True)
class Report:
    """A decision with all that it rests on, permissions first, in the document's order.

    Attributes:
        duties: what the agreement obliges to beside every permission.
        laws: each law of the baseline with the results of its prohibitions.
    """

    agreement: Agreement
    request: Request
    effect: Effect
    rules: tuple[RuleResult, ...]
    duties: tuple[DutyResult, ...] = ()
    laws: tuple[tuple[Baseline, tuple[RuleResult, ...]], ...] = ()
    _document: bytes | None = field(default=None, init=False, compare=False, repr=False)

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
            "duties": [result.to_json() for result in self.duties],
            "baseline": [
                {
                    "policy": law.id,
                    "policyDigest": law.digest,
                    "rules": [result.to_json() for result in results],
                }
                for law, results in self.laws
            ],
        }

    def document(self) -> bytes:
        """Canonical JSON of `to_json`, made once.

        Raises:
            DocumentError: see `RuleResult.encoded`.
        """
        if self._document is None:
            object.__setattr__(self, "_document", self._encoded())
        assert self._document is not None
        return self._document

    def _encoded(self) -> bytes:
        laws = (
            b'{"policy":%b,"policyDigest":%b,"rules":[%b]}'
            % (_quoted(law.id), _quoted(law.digest), _listed(results))
            for law, results in self.laws
        )
        duties = (canonical_bytes(result.to_json()) for result in self.duties)
        return (
            b'{"action":%b,"agreement":%b,"agreementDigest":%b,"assignee":%b,"baseline":[%b],'
            b'"duties":[%b],"effect":%b,"rules":[%b],"target":%b}'
            % (
                _quoted(self.request.action),
                _quoted(self.agreement.id),
                _quoted(self.agreement.digest),
                _quoted(self.request.assignee),
                b",".join(laws),
                b",".join(duties),
                _quoted(self.effect.value),
                _listed(self.rules),
                _quoted(self.request.target),
            )
        )

    @property
    def digest(self) -> str:
        """SHA-256 of `document`; computed anew at each access."""
        return sha256_hex(self.document())

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
        found = list(_forbidden(self.laws))
        found += [reason for result in barring for reason in reasons_barred(result)]
        found += [reason for result in self.duties for reason in reasons_owed(result)]
        carrying = [p for p in permissions if p.outcome is Outcome.SATISFIED]
        if not permissions:
            text = f"no permission of the agreement covers {request.action}"
            found.append(Reason("no-permission", text))
        elif not carrying:
            found += [reason for p in permissions for reason in reasons_unmet(p.constraints)]
            found += [r for p in permissions for duty in p.duties for r in reasons_owed(duty)]
        elif not found:
            text = f"permission {carrying[0].rule.index + 1} is met in every constraint"
            found.append(Reason("permitted", text))
        return tuple(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def _quoted(text: str) -> bytes:
    return canonical_bytes(text)


def _listed(results: tuple[RuleResult, ...]) -> bytes:
    return b",".join([result.encoded() for result in results])


def evaluate(
    agreement: Agreement,
    request: Request,
    state: State,
    *,
    purposes: Purposes = PURPOSES,
    baseline: tuple[Baseline, ...] = (),
    look: Look | None = None,
) -> Report:
    """Decide one request under one agreement.

    Args:
        state: the left values that are known; nothing is assumed about the others.
        purposes: the taxonomy for `isA`; a space with its own table must log it, or its
            decisions cannot be replayed.
        baseline: the space's laws, which hold whatever was agreed.
        look: what gives the result of one rule: `result_of`, or who remembers what it gave
            (`policies.memory`).
    """
    look = look or result_of
    concerns = request.target == agreement.target and request.assignee == agreement.assignee
    action = request.action
    permitted = False
    stopped = False
    results = []
    for rule in agreement.permissions:
        result = look(rule, concerns, action, state, purposes)
        permitted = permitted or result.outcome is Outcome.SATISFIED
        results.append(result)
    for rule in agreement.prohibitions:
        result = look(rule, concerns, action, state, purposes)
        stopped = stopped or _bars(result)
        results.append(result)
    duties: tuple[DutyResult, ...] = ()
    if concerns and agreement.obligations:
        duties = tuple([_duty(duty, state, purposes) for duty in agreement.obligations])
        stopped = stopped or any(_owed(duty) for duty in duties)
    laws = tuple([(law, _law(law, action, state, purposes, look)) for law in baseline])
    stopped = stopped or any(_bars(result) for _, found in laws for result in found)
    effect = Effect.PERMIT if permitted and not stopped else Effect.DENY
    return Report(agreement, request, effect, tuple(results), duties, laws)


def barred(
    baseline: tuple[Baseline, ...], action: str, state: State, *, purposes: Purposes = PURPOSES
) -> tuple[Reason, ...]:
    """Why the space's laws forbid an action, or may forbid it; empty where they do not."""
    laws = tuple((law, _law(law, action, state, purposes, result_of)) for law in baseline)
    return tuple(dict.fromkeys(_forbidden(laws)))


def _forbidden(laws: tuple[tuple[Baseline, tuple[RuleResult, ...]], ...]) -> Iterator[Reason]:
    for law, results in laws:
        for result in results:
            if _bars(result):
                yield from reasons_forbidden(law, result)


def _law(
    law: Baseline, action: str, state: State, purposes: Purposes, look: Look
) -> tuple[RuleResult, ...]:
    return tuple([look(rule, True, action, state, purposes) for rule in law.prohibitions])


def _bars(result: RuleResult) -> bool:
    """Whether a prohibition stands in the way: it applies, or may apply."""
    return result.matches and result.outcome is not Outcome.UNSATISFIED


def _owed(result: DutyResult) -> bool:
    """Whether a pre-duty is not seen to be fulfilled, or a post-duty is seen to be violated."""
    return result.outcome is not None and result.outcome is not Outcome.SATISFIED


def result_of(
    rule: Rule,
    concerns: bool,
    action: str,
    state: State,
    purposes: Purposes,
    compared: Compared | None = None,
) -> RuleResult:
    """What one rule says; of the state it asks for nothing but the terms that `asked_by` names.

    Args:
        concerns: whether the request is about the rule's target and assignee.
        compared: what gives the result of one of its own constraints: `comparison_of`, or who
            remembers what it gave.
    """
    compared = compared or comparison_of
    if not concerns or action not in COVERS[rule.action]:
        return RuleResult(rule, False, None, ())
    parts = [compared(constraint, state, purposes) for constraint in rule.constraints]
    outcomes = [part.outcome for part in parts]
    if not rule.duties:
        return RuleResult(rule, True, all_of(outcomes), tuple(parts))
    duties = tuple([_duty(duty, state, purposes) for duty in rule.duties])
    outcomes += [duty.outcome for duty in duties if duty.outcome is not None]
    return RuleResult(rule, True, all_of(outcomes), tuple(parts), duties)


def asked_by(rules: Iterable[Rule], duties: Iterable[Duty] = ()) -> tuple[str, ...]:
    """Every term of the state that the results of these may depend on, once, sorted."""
    asked: set[str] = set()
    for rule in rules:
        asked.update(leaf.operand for leaf in leaves(rule.constraints))
        asked.update(asked_by((), rule.duties))
    for duty in duties:
        asked |= {duty.action, *(leaf.operand for leaf in leaves(duty.constraints))}
    return tuple(sorted(asked))


def _duty(duty: Duty, state: State, purposes: Purposes) -> DutyResult:
    value = state.get(duty.action)
    if not duty.is_pre:
        if value is None or value.value != VIOLATED:
            return DutyResult(duty, None, None, ())
        return DutyResult(duty, value, Outcome.UNSATISFIED, ())
    done = _DUTY_STATES.get(value.value, Outcome.UNKNOWN) if value else Outcome.UNKNOWN
    parts = [comparison_of(constraint, state, purposes) for constraint in duty.constraints]
    outcome = all_of([done, *(part.outcome for part in parts)])
    return DutyResult(duty, value, outcome, tuple(parts))


def comparison_of(constraint: Constraint | Logic, state: State, purposes: Purposes) -> Result:
    """What one constraint says."""
    if isinstance(constraint, Logic):
        parts = tuple([comparison_of(part, state, purposes) for part in constraint.parts])
        outcome = LOGIC[constraint.operator]([part.outcome for part in parts])
        return LogicResult(constraint, parts, outcome)
    value = state.get(constraint.operand)
    if value is None:
        return ConstraintResult(constraint, None, Outcome.UNKNOWN)
    row = OPERANDS[constraint.operand]
    outcome = compare(row, constraint.operator, value.value, constraint.right, purposes)
    return ConstraintResult(constraint, value, outcome)


_DUTY_STATES: Mapping[object, Outcome] = MappingProxyType(
    {
        FULFILLED: Outcome.SATISFIED,
        PENDING: Outcome.UNSATISFIED,
        VIOLATED: Outcome.UNSATISFIED,
    }
)
