"""What evaluation found, constraint by constraint and rule by rule, with the values it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from policies.canonical import Json
from policies.comparison import is_value
from policies.fields import instant
from policies.operands import OPERANDS, right_to_json
from policies.outcomes import Outcome
from policies.rules import Constraint, Logic, Rule


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

    @property
    def usable(self) -> bool:
        """Whether the left value is there and can be one of its operand at all."""
        row = OPERANDS[self.constraint.operand]
        return self.value is not None and is_value(row, self.value.value)

    def to_json(self) -> dict[str, Json]:
        """The comparison as JSON; a left value that cannot be one is shown as null."""
        left = self.value.value if self.value and self.usable else None
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
