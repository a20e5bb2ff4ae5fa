"""Kleene's three-valued logic: satisfied, unsatisfied, unknown.

Unknown is never enough for a permission, and always enough for a prohibition
(`policies.evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import MappingProxyType


class Outcome(Enum):
    """Kleene's three values."""

    SATISFIED = "satisfied"
    UNSATISFIED = "unsatisfied"
    UNKNOWN = "unknown"


def all_of(parts: Iterable[Outcome]) -> Outcome:
    """Kleene's conjunction; of nothing at all it is satisfied (a rule without constraints)."""
    result = Outcome.SATISFIED
    for part in parts:
        if part is Outcome.UNSATISFIED:
            return part
        if part is Outcome.UNKNOWN:
            result = part
    return result


def any_of(parts: Iterable[Outcome]) -> Outcome:
    """Kleene's disjunction; of nothing at all it is unsatisfied."""
    return negate(all_of(map(negate, parts)))


def one_of(parts: Iterable[Outcome]) -> Outcome:
    """Exactly one: two satisfied parts settle it even beside an unknown one."""
    seen = list(parts)
    satisfied = seen.count(Outcome.SATISFIED)
    if satisfied > 1:
        return Outcome.UNSATISFIED
    if Outcome.UNKNOWN in seen:
        return Outcome.UNKNOWN
    return Outcome.SATISFIED if satisfied else Outcome.UNSATISFIED


def negate(outcome: Outcome) -> Outcome:
    """Kleene's negation: unknown stays unknown."""
    return _NEGATED[outcome]


_NEGATED = {
    Outcome.SATISFIED: Outcome.UNSATISFIED,
    Outcome.UNSATISFIED: Outcome.SATISFIED,
    Outcome.UNKNOWN: Outcome.UNKNOWN,
}

# All constraints of a decision are looked at in one moment, so a sequence holds when all parts do.
LOGIC: Mapping[str, Callable[[Iterable[Outcome]], Outcome]] = MappingProxyType(
    {"and": all_of, "or": any_of, "xone": one_of, "andSequence": all_of}
)
