"""Whether a logged verdict is the one that its report, its round and the laws in force ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from policies.cohort import bounded_reasons
from policies.company import Company
from policies.evaluate import Effect, Report
from policies.operands import OPERANDS
from policies.results import ConstraintResult, LogicResult, Result

TOO_SMALL = "cohort-too-small"


@dataclass(frozen=True, slots=True)
class Round:
    """What a report has to fit.

    Attributes:
        kind: of the round, which is the action that was asked for.
        consumer: who opened the run.
        permitted: participant and product of everybody who takes part.
        rows: by product, as registered last before the decision.
        least: participants below which nobody takes part.
        opened: of how many participants at least a sum is that gets opened, with secure sums.
    """

    kind: str
    consumer: str
    permitted: Sequence[tuple[str, str]]
    rows: Mapping[str, int]
    least: int
    opened: int | None

    @property
    def company(self) -> Company:
        """Those who take part."""
        counted = Counter(participant for participant, _ in self.permitted)
        rows = sum(self.rows.get(product, 0) for _, product in self.permitted)
        return Company(counted, rows, frozenset(counted), self.opened)


def faults(verdict: Mapping[str, Any], report: Report | None, round_: Round) -> Iterator[str]:
    """In what a verdict does not follow, each as what was expected and what stands there.

    Args:
        verdict: as logged.
        report: its report, as evaluated again; None where the log names none.
    """
    permitted = verdict["permitted"] is True
    if report is None:
        if permitted:
            yield "expected a report of why it was permitted, got none"
        return
    asked, agreed = report.request, report.agreement
    expected = (verdict["participant"], verdict["product"], round_.consumer, round_.kind)
    got = (agreed.assigner, asked.target, asked.assignee, asked.action)
    if expected != got:
        yield f"expected a report on owner, product, consumer and action {expected}, got {got}"
    if permitted and report.effect is not Effect.PERMIT:
        yield "expected a refusal, as its report says, got a permit"
    codes = [reason["code"] for reason in verdict["reasons"]]
    if permitted or codes != [TOO_SMALL]:
        should = [reason.code for reason in bounded_reasons(report.reasons())]
        if codes != should:
            yield f"expected the reasons {should} of its report, got {codes}"
    if permitted:
        yield from _lonely(report, verdict, round_)


def _lonely(report: Report, verdict: Mapping[str, Any], round_: Round) -> Iterator[str]:
    """Whether who is permitted was decided in the company of those who take part."""
    company = round_.company
    if len(company.participants) < round_.least:
        yield f"expected {round_.least} participants, got {len(company.participants)}"
    rows = round_.rows.get(verdict["product"], 0)
    present = company.values(report.agreement, verdict["participant"], rows)
    for result in report.rules:
        for leaf in _leaves(result.constraints):
            term = leaf.constraint.operand
            if not OPERANDS[term].cohort:
                continue
            expected = replace(leaf, value=present.get(term)).left
            got = leaf.left
            # Of its rivals a report may name more: those that only might have come.
            wider = (
                term == "notTogetherWith"
                and isinstance(got, tuple)
                and isinstance(expected, tuple)
                and set(expected) <= set(got)
            )
            if got != expected and not wider:
                yield f"{term}: expected {expected}, as who takes part, got {got}"


def _leaves(parts: Sequence[Result]) -> Iterator[ConstraintResult]:
    for part in parts:
        if isinstance(part, LogicResult):
            yield from _leaves(part.parts)
        else:
            yield part
