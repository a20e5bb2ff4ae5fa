"""Evaluating the same agreements again and again, as one round after another asks them.

From round to round nearly all that a decision rests on stays as it is. A rule whose values are the
same as when it was looked at last is not looked at again: its result is a function of them
(`policies.evaluate.asked_by`), and so the report is the same as without a memory, byte for byte.
"""

from __future__ import annotations

from typing import Final

from policies.evaluate import Report, Request, State, asked_by, evaluate, result_of
from policies.law import Baseline
from policies.odrl import Agreement
from policies.relations import PURPOSES, Purposes
from policies.results import RuleResult, Value
from policies.rules import Rule

MAX_KEPT: Final = 4096
"""Agreements, each for one request; beyond it everything is forgotten."""

_Values = tuple[Value | None, ...]


class Memory:
    """What rules said last; not for several threads at once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, Request], _Kept] = {}

    def evaluate(
        self,
        agreement: Agreement,
        request: Request,
        state: State,
        *,
        purposes: Purposes = PURPOSES,
        baseline: tuple[Baseline, ...] = (),
    ) -> Report:
        """`policies.evaluate.evaluate`, sooner."""
        key = id(agreement), request
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            kept = self._kept[key] = _Kept(agreement)
        return evaluate(
            agreement, request, state, purposes=purposes, baseline=baseline, look=kept.result_of
        )


class _Kept:
    """The last result of each rule that one agreement's request is decided by.

    Args:
        agreement: held, so that its identity stands for it.
    """

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self._last: dict[int, tuple[Rule, tuple[str, ...], Purposes, _Values, RuleResult]] = {}

    def result_of(
        self, rule: Rule, concerns: bool, action: str, state: State, purposes: Purposes
    ) -> RuleResult:
        """`policies.evaluate.result_of`; `concerns` and `action` follow from the request."""
        last = self._last.get(id(rule))
        asked = last[1] if last is not None else asked_by(rule)
        values = tuple(map(state.get, asked))
        if last is not None and last[2] is purposes and all(map(_alike, last[3], values)):
            return last[4]
        found = result_of(rule, concerns, action, state, purposes)
        self._last[id(rule)] = (rule, asked, purposes, values, found)
        return found


def _alike(one: Value | None, other: Value | None) -> bool:
    """Whether two values are told alike, too: `1` and `True` are equal, and so are 1.0 and 1.00."""
    if one is other:
        return True
    if one is None or other is None or one.source != other.source:
        return False
    return type(one.value) is type(other.value) and repr(one.value) == repr(other.value)
