"""A decision in plain sentences, English or Chinese: why, and what would have to change.

Made from a `Report`, which is a value: the same report gives the same sentences. What would have
to change names the ways out that the policy leaves open, as its constraints say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies.canonical import Json
from policies.evaluate import Effect, Report
from policies.operands import OPERANDS
from policies.outcomes import Outcome
from policies.phrases import GROWING, WORDS, Language, needed_value, told_value
from policies.results import ConstraintResult, DutyResult, LogicResult, Reason, Result, RuleResult
from policies.rows import Kind
from policies.values import Right, value_to_json
from policies.wording import Words


@dataclass(frozen=True, slots=True)
class Explanation:
    """Sentences for people.

    Attributes:
        because: why, a sentence each; what was looked at, also where it permits.
        changes: what would have to be otherwise for a permit; empty where it was one.
    """

    permitted: bool
    headline: str
    because: tuple[str, ...]
    changes: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """The sentences as JSON."""
        return {
            "permitted": self.permitted,
            "headline": self.headline,
            "because": list(self.because),
            "changes": list(self.changes),
        }


def explain_facts(who: str, reasons: Iterable[Reason], language: Language) -> Explanation:
    """A refusal that fell before any policy was asked, such as a withdrawn consent."""
    words = WORDS[language]
    because = tuple(_fact_text(reason, words) for reason in reasons)
    return Explanation(False, words.refused_before.format(who=who), because, ())


def explain_report(
    who: str, report: Report, language: Language, *, permitted: bool | None = None
) -> Explanation:
    """A decision that a policy made.

    Args:
        who: whose part in the round it was.
        permitted: the verdict, where the round refused what the policy permits because too few
            were left.
    """
    teller = _Teller(WORDS[language])
    words = teller.words
    if report.effect is Effect.PERMIT:
        carrying = next(
            result
            for result in report.rules
            if result.rule.kind == "permission" and result.outcome is Outcome.SATISFIED
        )
        name = words.permission.format(carrying.rule.index + 1)
        facts = tuple(teller.looked_at(carrying.constraints))
        if permitted is False:
            return Explanation(
                False, words.refused.format(who=who), (words.cohort_small, *facts), ()
            )
        return Explanation(True, words.permitted.format(who=who, rule=name), facts, ())
    because = tuple(dict.fromkeys(teller.because(report)))
    changes = tuple(dict.fromkeys(teller.changes(report)))
    return Explanation(False, words.refused.format(who=who), because, changes)


def _fact_text(reason: Reason, words: Words) -> str:
    known = words.facts.get(reason.code)
    return reason.text if known is None else words.at_rule.format(text=known, rule=reason.text)


class _Teller:
    """Sentences in one language."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def because(self, report: Report) -> Iterator[str]:
        words, asked, agreed = self.words, report.request, report.agreement
        if (asked.target, asked.assignee) != (agreed.target, agreed.assignee):
            yield words.other_party.format(
                assignee=agreed.assignee,
                target=agreed.target,
                asker=asked.assignee,
                asked=asked.target,
            )
            return
        for rule, source, result in self._barring(report):
            unknown = list(_leaves(result.constraints, Outcome.UNKNOWN))
            if result.outcome is Outcome.SATISFIED:
                facts = self._facts(_leaves(result.constraints, Outcome.SATISFIED))
                yield words.prohibits.format(rule=rule, facts=facts)
            else:
                yield words.may_prohibit.format(rule=rule, facts=self._facts(unknown))
            if source:
                yield words.law_source.format(source=source)
        for duty in _owed(report):
            yield words.duty.format(duty=words.duties[duty.duty.action])
        permissions = _permissions(report)
        if not permissions:
            yield words.no_permission.format(action=asked.action)
        elif not any(p.outcome is Outcome.SATISFIED for p in permissions):
            for permission in permissions:
                name = words.permission.format(permission.rule.index + 1)
                for leaf in _unmet(permission.constraints):
                    yield words.at_rule.format(text=self._fact(leaf), rule=name)

    def changes(self, report: Report) -> Iterator[str]:
        words, asked, agreed = self.words, report.request, report.agreement
        if (asked.target, asked.assignee) != (agreed.target, agreed.assignee):
            return
        for rule, _, result in self._barring(report):
            yield words.at_rule.format(text=self._undone(result.constraints), rule=rule)
        for duty in report.duties:
            yield from self._duty_needed(duty)
        permissions = _permissions(report)
        if not permissions:
            yield words.permission_needed.format(action=asked.action)
        elif not any(p.outcome is Outcome.SATISFIED for p in permissions):
            ways = [self._join(words.all_parts, self._permission_needs(p)) for p in permissions]
            yield self._join(words.any_part, ways)

    def _barring(self, report: Report) -> Iterator[tuple[str, str, RuleResult]]:
        """Laws and prohibitions in the way: how each is called, its legal source, the result."""
        words = self.words
        for law, results in report.laws:
            title, source = law.title, law.source
            if words is WORDS["zh"]:
                title, source = law.title_zh or title, law.source_zh or source
            name = words.law.format(title=title)
            yield from ((name, source, r) for r in results if _bars(r))
        for result in report.rules:
            if result.rule.kind == "prohibition" and _bars(result):
                yield words.prohibition.format(result.rule.index + 1), "", result

    def looked_at(self, parts: Iterable[Result]) -> Iterator[str]:
        """The facts that constraints were compared with."""
        for leaf in _leaves(parts, Outcome.SATISFIED):
            yield self._fact(leaf)

    def _permission_needs(self, permission: RuleResult) -> list[str]:
        needs = [need for part in permission.constraints for need in self._needed(part)]
        return needs + [need for duty in permission.duties for need in self._duty_needed(duty)]

    def _duty_needed(self, duty: DutyResult) -> Iterator[str]:
        if duty.outcome is None or duty.outcome is Outcome.SATISFIED:
            return
        inner = [need for part in duty.constraints for need in self._needed(part)]
        done = self.words.duty_needed.format(duty=self.words.duties[duty.duty.action])
        if inner:
            yield self.words.about.format(what=done, text=self._join(self.words.all_parts, inner))
        else:
            yield done

    def _needed(self, part: Result) -> list[str]:
        """What would have to hold for a part that does not; one text for each condition."""
        if part.outcome is Outcome.SATISFIED:
            return []
        if isinstance(part, ConstraintResult):
            return [self._leaf_needed(part)]
        ways = [self._join(self.words.all_parts, self._needed(inner)) for inner in part.parts]
        if part.constraint.operator in ("and", "andSequence"):
            return [way for way in ways if way]
        held = sum(inner.outcome is Outcome.SATISFIED for inner in part.parts)
        if held > 1:
            return [self.words.only_one.format(held)]
        return [self._join(self.words.any_part, [way for way in ways if way])]

    def _leaf_needed(self, leaf: ConstraintResult) -> str:
        constraint, words = leaf.constraint, self.words
        right = self._shown(constraint.operand, constraint.right)
        if constraint.operand == "notTogetherWith":
            return words.stay_out.format(right)
        if constraint.operand == "togetherWith":
            joiner = words.list_all if constraint.operator == "isAllOf" else words.list_or
            partners = constraint.right
            names = joiner.join(partners) if isinstance(partners, tuple) else right
            return words.join_in.format(names)
        text = self._should(leaf, words.wanted, words.wanted_time, holds=True)
        upward = constraint.operator in ("gt", "gteq")
        late = leaf.outcome is Outcome.UNSATISFIED and not upward
        return text + words.grows if late and constraint.operand in GROWING else text

    def _undone(self, parts: Iterable[Result]) -> str:
        """What would have to be otherwise for a prohibition not to apply: one of its conditions."""
        ways = [way for part in parts if (way := self._negated(part))]
        if not ways:
            return self.words.no_exception
        return self._join(self.words.any_part, ways)

    def _negated(self, part: Result) -> str:
        if part.outcome is Outcome.UNSATISFIED:
            return ""
        if isinstance(part, ConstraintResult):
            words = self.words
            return self._should(part, words.unwanted, words.unwanted_time, holds=False)
        ways = [way for inner in part.parts if (way := self._negated(inner))]
        disjunction = part.constraint.operator in ("or", "xone")
        return self._join(self.words.all_parts if disjunction else self.words.any_part, ways)

    def _join(self, joiner: str, ways: list[str]) -> str:
        """Several conditions as one; those that are several themselves get brackets."""
        if len(ways) < 2:
            return "".join(ways)
        inner = (self.words.all_parts, self.words.any_part)
        return joiner.join(f"[{way}]" if any(one in way for one in inner) else way for way in ways)

    def _should(
        self,
        leaf: ConstraintResult,
        table: Mapping[str, str],
        times: Mapping[str, str],
        *,
        holds: bool,
    ) -> str:
        constraint = leaf.constraint
        sentence = needed_value(
            constraint.operand, constraint.operator, constraint.right, self.words, holds=holds
        )
        if sentence is not None:
            return sentence
        subject = self.words.subjects[constraint.operand]
        is_time = OPERANDS[constraint.operand].kind is Kind.INSTANT
        phrases = {**table, **times} if is_time else table
        right = self._shown(constraint.operand, constraint.right)
        wanted = phrases[constraint.operator].format(right)
        return self.words.should.format(subject=subject, wanted=wanted)

    def _facts(self, leaves: Iterable[ConstraintResult]) -> str:
        return self.words.list_and.join(self._fact(leaf) for leaf in leaves)

    def _fact(self, leaf: ConstraintResult) -> str:
        subject = self.words.subjects[leaf.constraint.operand]
        if leaf.value is None or not leaf.usable:
            return self.words.unknown.format(subject=subject)
        value = self._shown(leaf.constraint.operand, leaf.value.value)
        sentence = told_value(leaf.constraint.operand, leaf.value.value, self.words)
        if sentence is not None:
            return sentence
        told = self.words.facts_of.get(leaf.constraint.operand)
        if told is not None:
            return told.format(value)
        return self.words.is_value.format(subject=subject, value=value)

    def _shown(self, operand: str, value: Right) -> str:
        if isinstance(value, tuple):
            return self.words.list_or.join(value) or self.words.nobody
        return str(value_to_json(OPERANDS[operand], value))


def _permissions(report: Report) -> list[RuleResult]:
    return [r for r in report.rules if r.matches and r.rule.kind == "permission"]


def _owed(report: Report) -> Iterator[DutyResult]:
    duties = [*report.duties, *(d for p in _permissions(report) for d in p.duties)]
    for duty in duties:
        if duty.outcome is not None and duty.outcome is not Outcome.SATISFIED:
            yield duty


def _bars(result: RuleResult) -> bool:
    return result.matches and result.outcome is not Outcome.UNSATISFIED


def _leaves(parts: Iterable[Result], outcome: Outcome) -> Iterator[ConstraintResult]:
    for part in parts:
        if isinstance(part, LogicResult):
            yield from _leaves(part.parts, outcome)
        elif part.outcome is outcome:
            yield part


def _unmet(parts: Iterable[Result]) -> Iterator[ConstraintResult]:
    for part in parts:
        if part.outcome is Outcome.SATISFIED:
            continue
        if isinstance(part, LogicResult):
            yield from _unmet(part.parts)
        else:
            yield part
