"""The parts of a policy as frozen values: constraints, logic over them, and rules.

They hold terms of the tables only (`policies.operands`) and are made by `policies.intake`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from policies.canonical import Json, digest_of
from policies.operands import ACTIONS, OPERANDS, Right, right_to_json


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
            "rightOperand": right_to_json(OPERANDS[self.operand], self.right),
        }


@dataclass(frozen=True, slots=True)
class Logic:
    """`and`, `or`, `xone` or `andSequence` over at least one part."""

    path: str
    operator: str
    parts: tuple[Constraint | Logic, ...]

    def to_json(self) -> dict[str, Json]:
        """The logical constraint in normal form."""
        return {self.operator: [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Duty:
    """What has to be done: before a use, or after it (the row of `action` says which).

    Attributes:
        path: where it stands, such as `$.obligation[0]`.
        constraints: of a pre-duty; it is fulfilled only if all of them hold.
    """

    path: str
    action: str
    constraints: tuple[Constraint | Logic, ...] = ()

    @property
    def is_pre(self) -> bool:
        """Whether it has to be fulfilled before the use."""
        return ACTIONS[self.action].duty == "pre"

    def to_json(self) -> dict[str, Json]:
        """The duty in normal form."""
        return _with_constraints({"action": self.action}, self.constraints)


@dataclass(frozen=True, slots=True)
class Rule:
    """A permission or a prohibition; all of its constraints must hold for it to apply.

    Attributes:
        duties: of a permission; it permits only if its pre-duties are fulfilled.
    """

    kind: Literal["permission", "prohibition"]
    index: int
    action: str
    constraints: tuple[Constraint | Logic, ...]
    duties: tuple[Duty, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The rule in normal form."""
        rule = _with_constraints({"action": self.action}, self.constraints)
        if self.duties:
            rule["duty"] = [duty.to_json() for duty in self.duties]
        return rule


@dataclass(frozen=True, slots=True)
class NextPolicy:
    """The rules for what is derived from the product (`odrl:nextPolicy`).

    Attributes:
        digest: SHA-256 of the normal form; derived.
    """

    permissions: tuple[Rule, ...]
    prohibitions: tuple[Rule, ...]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.to_json()))

    def to_json(self) -> dict[str, Json]:
        """The rules in normal form."""
        return rules_to_json(self.permissions, self.prohibitions)


def rules_to_json(permissions: tuple[Rule, ...], prohibitions: tuple[Rule, ...]) -> dict[str, Json]:
    """Rules in normal form: no empty lists."""
    document: dict[str, Json] = {}
    if permissions:
        document["permission"] = [rule.to_json() for rule in permissions]
    if prohibitions:
        document["prohibition"] = [rule.to_json() for rule in prohibitions]
    return document


def leaves(parts: tuple[Constraint | Logic, ...]) -> Iterator[Constraint]:
    """Every comparison of these, however deep."""
    for part in parts:
        if isinstance(part, Logic):
            yield from leaves(part.parts)
        else:
            yield part


def _with_constraints(
    document: dict[str, Json], constraints: tuple[Constraint | Logic, ...]
) -> dict[str, Json]:
    if constraints:
        document["constraint"] = [part.to_json() for part in constraints]
    return document
