"""A decision for a page: which rule decided, and how each rule and condition came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from policies.evaluate import Effect, Report
from policies.obstacles import barring, matching_permissions, owed
from policies.outcomes import Outcome
from policies.phrases import WORDS, Language
from policies.reading import Line, condition, read_out, shown
from policies.reading_words import READING
from policies.results import ConstraintResult, DutyResult, Result, RuleResult
from policies.rules import Rule

Why = Literal["permission", "barred", "duty", "unmet", "uncovered", "other-party"]


@dataclass(frozen=True, slots=True)
class Row:
    """One condition, or several under one operator.

    Attributes:
        value: what it was compared with; "" where that is not known, or it is no comparison.
        outcome: satisfied, unsatisfied, unknown; "" where it is due only after the use.
    """

    text: str
    value: str
    outcome: str
    parts: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule, law or duty.

    Attributes:
        path: of the document; "" for a law.
        bars: a prohibition or a law, which stands in the way unless it is unsatisfied.
        deciding: this one decided.
    """

    path: str
    bars: bool
    text: str
    outcome: str
    deciding: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision.

    Attributes:
        why: what kind of rule decided.
        names: which ones, as people call them; empty for `uncovered` and `other-party`.
        paths: of those that stand in the policy.
        rules: those that cover what was asked for; `idle` are the others' sentences.
    """

    permitted: bool
    why: Why
    names: tuple[str, ...]
    paths: frozenset[str]
    rules: tuple[RuleRow, ...]
    idle: tuple[str, ...]


def decided(report: Report, language: Language) -> Decided:
    """The report as a page shows it."""
    why, named = _deciding(report, language)
    paths = frozenset(path for path, _ in named if path)
    names = tuple(dict.fromkeys(name for _, name in named))
    table = _Table({line.path: line.text for line in _lines(report, language)}, language, paths)
    return Decided(
        permitted=report.effect is Effect.PERMIT,
        why=why,
        names=names,
        paths=paths,
        rules=tuple(table.rules(report, names)),
        idle=tuple(table.text(_path(result.rule)) for result in report.rules if not result.matches),
    )


def _deciding(report: Report, language: Language) -> tuple[Why, list[tuple[str, str]]]:
    """What decided: paths ("" for a law) and names."""
    words, asked, agreed = WORDS[language], report.request, report.agreement
    if (asked.target, asked.assignee) != (agreed.target, agreed.assignee):
        return "other-party", []
    permissions = matching_permissions(report)
    if report.effect is Effect.PERMIT:
        carrying = next(one for one in permissions if one.outcome is Outcome.SATISFIED)
        return "permission", [_called(carrying.rule, language)]
    standing = {_path(result.rule): result for result in report.rules}
    bars = [
        (_path(result.rule) if standing.get(_path(result.rule)) is result else "", name)
        for name, _, result in barring(report, words)
    ]
    if bars:
        return "barred", bars
    if not permissions:
        return "uncovered", []
    if any(one.outcome is Outcome.SATISFIED for one in permissions):
        duties = owed(report, permissions)
        return "duty", [(one.duty.path, words.duties[one.duty.action]) for one in duties]
    return "unmet", [_called(one.rule, language) for one in permissions]


def _called(rule: Rule, language: Language) -> tuple[str, str]:
    words = WORDS[language]
    form = words.permission if rule.kind == "permission" else words.prohibition
    return _path(rule), form.format(rule.index + 1)


def _path(rule: Rule) -> str:
    return f"$.{rule.kind}[{rule.index}]"


def _lines(report: Report, language: Language) -> Iterable[Line]:
    rest = list(read_out(report.agreement, language).lines)
    while rest:
        line = rest.pop()
        yield line
        rest += line.parts


class _Table:
    """Rows of one report; `texts` are the policy's sentences by path."""

    def __init__(
        self, texts: Mapping[str, str], language: Language, deciding: frozenset[str]
    ) -> None:
        self._texts = texts
        self._language = language
        self._deciding = deciding

    def text(self, path: str) -> str:
        return self._texts.get(path, path)

    def rules(self, report: Report, names: tuple[str, ...]) -> Iterable[RuleRow]:
        for result in report.rules:
            if result.matches:
                yield self._rule(result, self.text(_path(result.rule)), _path(result.rule))
        for duty in report.duties:
            yield RuleRow(
                path=duty.duty.path,
                bars=False,
                text=self.text(duty.duty.path),
                outcome=duty.outcome.value if duty.outcome else "",
                deciding=duty.duty.path in self._deciding,
                rows=tuple(self._rows(duty.constraints)),
            )
        words = WORDS[self._language]
        for law, results in report.laws:
            title = (law.title_zh if words is WORDS["zh"] else "") or law.title
            name = words.law.format(title=title)
            for result in results:
                if result.matches:
                    yield self._rule(result, name, "", deciding=name in names)

    def _rule(self, result: RuleResult, text: str, path: str, *, deciding: bool = False) -> RuleRow:
        rows = [*self._rows(result.constraints), *(self._duty(duty) for duty in result.duties)]
        return RuleRow(
            path=path,
            bars=result.rule.kind == "prohibition",
            text=text,
            outcome=result.outcome.value if result.outcome else "",
            deciding=path in self._deciding if path else deciding,
            rows=tuple(rows),
        )

    def _duty(self, duty: DutyResult) -> Row:
        inner = tuple(self._rows(duty.constraints))
        outcome = duty.outcome.value if duty.outcome else ""
        return Row(self.text(duty.duty.path), "", outcome, inner)

    def _rows(self, parts: Iterable[Result]) -> Iterable[Row]:
        for part in parts:
            if isinstance(part, ConstraintResult):
                text = condition(part.constraint, self._language)
                value = "" if part.left is None else self._shown(part)
                yield Row(text, value, part.outcome.value)
            else:
                head = READING[self._language].logic[part.constraint.operator]
                yield Row(head, "", part.outcome.value, tuple(self._rows(part.parts)))

    def _shown(self, leaf: ConstraintResult) -> str:
        assert leaf.left is not None
        return shown(leaf.constraint.operand, leaf.left, self._language)
