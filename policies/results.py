"""What evaluation found, constraint by constraint and rule by rule, with the values it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.canonical import Json, canonical_bytes
from policies.comparison import is_value
from policies.operands import FULFILLED, OPERANDS, PENDING, VIOLATED, right_to_json
from policies.outcomes import Outcome
from policies.rules import Constraint, Duty, Logic, Rule
from policies.values import Right, value_to_json


@dataclass(frozen=True, slots=True)
class Value:
    """A left value and where it was taken from, such as a log entry or a clock."""

    value: Right
    source: str


# Left operand -> its value; one that is absent is unknown. `count` already includes the use that
# is being decided. The state of a duty stands under the term of its action
# (`policies.operands.FULFILLED`, `PENDING` or `VIOLATED`).
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
    _encoded: bytes | None = field(default=None, init=False, compare=False, repr=False)

    def encoded(self) -> bytes:
        """Canonical JSON of `to_json`, made once; errors as of `RuleResult.encoded`."""
        if self._encoded is None:
            object.__setattr__(self, "_encoded", canonical_bytes(self.to_json()))
        assert self._encoded is not None
        return self._encoded

    @property
    def usable(self) -> bool:
        """Whether the left value is there and can be one of its operand at all."""
        row = OPERANDS[self.constraint.operand]
        return self.value is not None and is_value(row, self.value.value)

    @property
    def left(self) -> Right | None:
        """The left value as it is told: of a set of names those that the constraint names, since
        each of many constraints would else repeat them all; None where it is not usable."""
        if self.value is None or not self.usable:
            return None
        left, right = self.value.value, self.constraint.right
        if not isinstance(left, tuple):
            return left
        named = frozenset(right) if isinstance(right, tuple) else frozenset({right})
        return tuple(name for name in left if name in named)

    def to_json(self) -> dict[str, Json]:
        """The comparison as JSON; a left value that cannot be one is shown as null."""
        row, shown = OPERANDS[self.constraint.operand], self.left
        left = None if shown is None else value_to_json(row, shown)
        return {
            "path": self.constraint.path,
            "leftOperand": self.constraint.operand,
            "operator": self.constraint.operator,
            "rightOperand": right_to_json(row, self.constraint.right),
            "leftValue": left,
            "source": self.value.source if self.value else None,
            "outcome": self.outcome.value,
        }


@dataclass(frozen=True, slots=True)
class LogicResult:
    """A logical constraint with the results of its parts."""

    constraint: Logic
    parts: tuple[ConstraintResult | LogicResult, ...]
    outcome: Outcome

    def encoded(self) -> bytes:
        """Canonical JSON of `to_json`."""
        return canonical_bytes(self.to_json())

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
class DutyResult:
    """One duty; `outcome` is None where it is due only after the use and not known as violated.

    Attributes:
        value: what the state says of it; None where it says nothing.
    """

    duty: Duty
    value: Value | None
    outcome: Outcome | None
    constraints: tuple[Result, ...]

    def to_json(self) -> dict[str, Json]:
        """The duty's result as JSON; a state that cannot be one is shown as null."""
        known = self.value is not None and self.value.value in (FULFILLED, PENDING, VIOLATED)
        return {
            "path": self.duty.path,
            "action": self.duty.action,
            "state": str(self.value.value) if self.value and known else None,
            "source": self.value.source if self.value else None,
            "outcome": self.outcome.value if self.outcome else None,
            "constraints": [part.to_json() for part in self.constraints],
        }


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule; `outcome` is None and `constraints` is empty where it does not match."""

    rule: Rule
    matches: bool
    outcome: Outcome | None
    constraints: tuple[Result, ...]
    duties: tuple[DutyResult, ...] = ()
    _encoded: bytes | None = field(default=None, init=False, compare=False, repr=False)

    def encoded(self) -> bytes:
        """Canonical JSON of `to_json`, made once.

        Raises:
            DocumentError: a left value's source, or a name, has no canonical form.
        """
        if self._encoded is None:
            object.__setattr__(self, "_encoded", self._spelled())
        assert self._encoded is not None
        return self._encoded

    def _spelled(self) -> bytes:
        if self.duties:
            return canonical_bytes(self.to_json())
        rule, outcome = self.rule, self.outcome
        return (
            b'{"action":%b,"constraints":[%b],"index":%d,"kind":%b,"matches":%b,"outcome":%b}'
            % (
                canonical_bytes(rule.action),
                b",".join([part.encoded() for part in self.constraints]),
                rule.index,
                canonical_bytes(rule.kind),
                b"true" if self.matches else b"false",
                canonical_bytes(outcome.value if outcome else None),
            )
        )

    def to_json(self) -> dict[str, Json]:
        """The rule's result as JSON."""
        document: dict[str, Json] = {
            "kind": self.rule.kind,
            "index": self.rule.index,
            "action": self.rule.action,
            "matches": self.matches,
            "outcome": self.outcome.value if self.outcome else None,
            "constraints": [part.to_json() for part in self.constraints],
        }
        if self.duties:
            document["duties"] = [duty.to_json() for duty in self.duties]
        return document
