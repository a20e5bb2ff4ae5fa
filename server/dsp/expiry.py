"""Whether a policy's time is over: asked at every step of a negotiation, not only at use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from policies.rules import Constraint, Logic, Rule

_ANY: Final = frozenset({"or", "xone"})


def expired_permission(permissions: Sequence[Rule], now: datetime) -> str | None:
    """Path of the first constraint on `dateTime` that no later moment than `now` can satisfy.

    One dead permission is enough: who signs a document shall get all of what it says.
    """
    for rule in permissions:
        for part in rule.constraints:
            if _over(part, now):
                return part.path
    return None


def _over(part: Constraint | Logic, now: datetime) -> bool:
    if isinstance(part, Logic):
        parts = [_over(inner, now) for inner in part.parts]
        return all(parts) if part.operator in _ANY else any(parts)
    bound = part.right
    if part.operand != "dateTime" or not isinstance(bound, datetime):
        return False
    if part.operator == "lt":
        return bound <= now
    return part.operator in {"lteq", "eq"} and bound < now
