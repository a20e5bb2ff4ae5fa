"""What in a report stands in the way of a permit, for those who explain it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.evaluate import Report
from policies.outcomes import Outcome
from policies.phrases import Words
from policies.results import ConstraintResult, DutyResult, LogicResult, Result, RuleResult


def matching_permissions(report: Report) -> list[RuleResult]:
    """Those that cover what was asked for."""
    return [r for r in report.rules if r.matches and r.rule.kind == "permission"]


def owed(report: Report, permissions: list[RuleResult]) -> Iterator[DutyResult]:
    """Duties in the way; those of a permission only where no other one carries."""
    duties = list(report.duties)
    if not any(p.outcome is Outcome.SATISFIED for p in permissions):
        duties += [duty for permission in permissions for duty in permission.duties]
    for duty in duties:
        if duty.outcome is not None and duty.outcome is not Outcome.SATISFIED:
            yield duty


def barring(
    report: Report, words: Words, *, sources: bool = True
) -> Iterator[tuple[str, RuleResult]]:
    """Laws and prohibitions in the way, each with its name."""
    for law, results in report.laws:
        name = words.law.format(title=law.title)
        if sources:
            name += words.law_source.format(source=law.source)
        yield from ((name, r) for r in results if _bars(r))
    for result in report.rules:
        if result.rule.kind == "prohibition" and _bars(result):
            yield words.prohibition.format(result.rule.index + 1), result


def _bars(result: RuleResult) -> bool:
    return result.matches and result.outcome is not Outcome.UNSATISFIED


def leaves_with(parts: Iterable[Result], outcome: Outcome) -> Iterator[ConstraintResult]:
    """The comparisons of these, however deep, that came out so."""
    for part in parts:
        if isinstance(part, LogicResult):
            yield from leaves_with(part.parts, outcome)
        elif part.outcome is outcome:
            yield part


def held_parts(part: LogicResult) -> int:
    """How many parts are satisfied."""
    return sum(inner.outcome is Outcome.SATISFIED for inner in part.parts)
