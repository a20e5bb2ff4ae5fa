"""The parts of a policy as frozen values: constraints, logic over them, and rules.

They hold terms of the tables only (`policies.operands`) and are made by `policies.intake`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policies.canonical import Json
from policies.operands import Right, right_to_json


@dataclass(frozen=True, slots=True)
class Constraint:
    """One comparison; `operand` and `operator` are terms of the tables, `right` has their type."""

    path: str
    operand: str
    operator: str
    right: Right

    def to_json(self) -> dict[str, Json]:
        """The constraint in normal form."""
        return {
            "leftOperand": self.operand,
            "operator": self.operator,
            "rightOperand": right_to_json(self.right),
        }


@dataclass(frozen=True, slots=True)
class Logic:
    """`and`, `or` or `xone` over at least one part."""

    path: str
    operator: str
    parts: tuple[Constraint | Logic, ...]

    def to_json(self) -> dict[str, Json]:
        """The logical constraint in normal form."""
        return {self.operator: [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Rule:
    """A permission or a prohibition; all of its constraints must hold for it to apply."""

    kind: Literal["permission", "prohibition"]
    index: int
    action: str
    constraints: tuple[Constraint | Logic, ...]

    def to_json(self) -> dict[str, Json]:
        """The rule in normal form."""
        rule: dict[str, Json] = {"action": self.action}
        if self.constraints:
            rule["constraint"] = [part.to_json() for part in self.constraints]
        return rule
