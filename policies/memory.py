"""Evaluating the same agreements again and again, as one round after another asks them.

From round to round nearly all that a decision rests on stays as it is. An agreement, and a rule,
whose values are the same as when it was looked at last is not looked at again: what it says is a
function of them (`policies.evaluate.asked_by`), and so the report is the same as without a memory,
byte for byte.
"""

from __future__ import annotations

from typing import Final

from policies.evaluate import (
    Report,
    Request,
    State,
    asked_by,
    comparison_of,
    evaluate,
    result_of,
)
from policies.law import Baseline
from policies.odrl import Agreement
from policies.relations import PURPOSES, Purposes
from policies.results import Result, RuleResult, Value
from policies.rules import Constraint, Logic, Rule

MAX_KEPT: Final = 4096
"""Agreements, each for one request; beyond it everything is forgotten."""

_Values = tuple[Value | None, ...]


class Memory:
    """What agreements and rules said last; not for several threads at once."""

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
        if kept is None or kept.baseline is not baseline or kept.purposes is not purposes:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            kept = self._kept[key] = _Kept(agreement, request, purposes, baseline)
        return kept.evaluate(state)


class _Kept:
    """The last report on one agreement's request, and the last result of each rule in it.

    The agreement and the laws are held, so that the identity of a rule of theirs stands for it.
    """

    def __init__(
        self,
        agreement: Agreement,
        request: Request,
        purposes: Purposes,
        baseline: tuple[Baseline, ...],
    ) -> None:
        self.purposes, self.baseline = purposes, baseline
        self._agreement, self._request = agreement, request
        rules = [*agreement.permissions, *agreement.prohibitions]
        rules += [rule for law in baseline for rule in law.prohibitions]
        self._asked = asked_by(rules, agreement.obligations)
        self._asked_by = {id(rule): asked_by([rule]) for rule in rules}
        self._last: dict[int, tuple[_Values, RuleResult]] = {}
        self._compared: dict[int, tuple[Value | None, Result]] = {}
        self._report: tuple[_Values, Report] | None = None

    def evaluate(self, state: State) -> Report:
        values = tuple(map(state.get, self._asked))
        if self._report is None or not _same(self._report[0], values):
            report = evaluate(
                self._agreement,
                self._request,
                state,
                purposes=self.purposes,
                baseline=self.baseline,
                look=self._result_of,
            )
            self._report = values, report
        return self._report[1]

    def _result_of(
        self, rule: Rule, concerns: bool, action: str, state: State, purposes: Purposes
    ) -> RuleResult:
        """`policies.evaluate.result_of`; `concerns` and `action` follow from the request."""
        values = tuple(map(state.get, self._asked_by[id(rule)]))
        last = self._last.get(id(rule))
        if last is None or not _same(last[0], values):
            last = self._last[id(rule)] = (
                values,
                result_of(rule, concerns, action, state, purposes, self._comparison_of),
            )
        return last[1]

    def _comparison_of(
        self, constraint: Constraint | Logic, state: State, purposes: Purposes
    ) -> Result:
        """`policies.evaluate.comparison_of`."""
        if isinstance(constraint, Logic):
            return comparison_of(constraint, state, purposes)
        value, last = state.get(constraint.operand), self._compared.get(id(constraint))
        if last is None or not _alike(last[0], value):
            last = value, comparison_of(constraint, state, purposes)
            self._compared[id(constraint)] = last
        return last[1]


def _same(one: _Values, other: _Values) -> bool:
    return all(map(_alike, one, other))


def _alike(one: Value | None, other: Value | None) -> bool:
    """Whether two values are told alike, too: `1` and `True` are equal, and so are 1.0 and 1.00."""
    if one is other:
        return True
    if one is None or other is None or one.source != other.source:
        return False
    return type(one.value) is type(other.value) and repr(one.value) == repr(other.value)
