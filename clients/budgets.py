"""What is left of what an owner agreed to, for the owner to read; the gate decides by itself.

A limit is told only where it is plain: an upper bound that stands directly among the constraints of
each permission. What an `or` or a prohibition makes of it, only evaluating the agreement tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from clients.records import AgreementRecord
from policies.errors import DocumentError
from policies.fields import instant
from policies.odrl import Agreement, parse_agreement
from policies.rules import Constraint, Rule
from policies.values import decimal_text


@dataclass(frozen=True, slots=True)
class Budget:
    """An agreement's limits beside what was spent or is reserved.

    Attributes:
        uses_limit, metered_limit_s, epsilon_limit: the most there can be in all; None where no
            plain limit is agreed.
        uses_left, metered_left_s, epsilon_left: None where there is no limit; never below 0.
        epsilon: of the product, under this agreement and all others; None where uses without
            privacy leave it without a bound, and then nothing is left.
        delta: the δ that it is stated at; None where no use stated one.
        until: the last moment of a use; None where none is agreed.
    """

    agreement: str
    uses: int
    uses_limit: int | None
    uses_left: int | None
    metered_s: int
    metered_limit_s: int | None
    metered_left_s: int | None
    epsilon: str | None
    epsilon_limit: str | None
    epsilon_left: str | None
    delta: str | None
    until: str | None


def budget_of(record: AgreementRecord) -> Budget:
    """The budget of a node's own copy; without limits where that cannot be read."""
    try:
        agreement = parse_agreement(record.document)
    except DocumentError:  # the gate refuses it, too
        agreement = None
    uses = _limit(agreement, "count", whole=True)
    metered = _limit(agreement, "meteredTime", whole=True)
    epsilon = _limit(agreement, "epsilon", whole=False)
    until = _limit(agreement, "dateTime", whole=False)
    spent, delta = record.given.epsilon, record.given.delta
    return Budget(
        agreement=record.id,
        uses=record.uses,
        uses_limit=uses,
        uses_left=None if uses is None else max(0, uses - record.uses),
        metered_s=record.metered_s,
        metered_limit_s=metered,
        metered_left_s=None if metered is None else max(0, metered - record.metered_s),
        epsilon=None if spent is None else decimal_text(spent),
        epsilon_limit=None if epsilon is None else decimal_text(epsilon),
        epsilon_left=None if epsilon is None else decimal_text(_left(epsilon, spent)),
        delta=None if delta is None else decimal_text(delta),
        until=instant(until) if isinstance(until, datetime) else None,
    )


def _left(limit: Decimal, spent: Decimal | None) -> Decimal:
    return max(Decimal(0), limit - spent) if spent is not None else Decimal(0)


def _limit(agreement: Agreement | None, operand: str, *, whole: bool) -> Any:
    """The largest of the permissions' bounds; None if one of them has none."""
    if agreement is None or not agreement.permissions:
        return None
    bounds = [_bound(rule, operand, whole=whole) for rule in agreement.permissions]
    return None if None in bounds else max(bounds)


def _bound(rule: Rule, operand: str, *, whole: bool) -> Any:
    """The smallest upper bound among a permission's constraints, or None."""
    found = [
        _STEP[part.operator](part.right, whole)
        for part in rule.constraints
        if isinstance(part, Constraint) and part.operand == operand and part.operator in _STEP
    ]
    return min(found) if found else None


def _itself(right: Any, _whole: bool) -> Any:
    return right


def _below(right: Any, whole: bool) -> Any:
    return right - 1 if whole else right


_STEP: dict[str, Callable[[Any, bool], Any]] = {"lteq": _itself, "eq": _itself, "lt": _below}
