"""A decision in plain sentences, English or Chinese: why, and what would have to change.

Made from a `Report`, which is a value: the same report gives the same sentences. What would have
to change names the ways out that the policy leaves open, as its constraints say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.canonical import Json
from policies.evaluate import Effect, Report
from policies.obstacles import barring, held_parts, leaves_with, matching_permissions, owed
from policies.operands import OPERANDS
from policies.outcomes import Outcome
from policies.phrases import GROWING, SPENT, WORDS, Language, Words
from policies.results import ConstraintResult, DutyResult, LogicResult, Reason, Result, RuleResult
from policies.rows import Kind
from policies.values import Right, value_to_json

# With these, a constraint that does not hold, or one that does, needs a smaller value to change.
_BELOW: Final = frozenset({"lt", "lteq"})
_ABOVE: Final = frozenset({"gt", "gteq"})


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
    return reason.text if known is None else f"{known} ({reason.text})"


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
        for rule, result in barring(report, words):
            unknown = list(leaves_with(result.constraints, Outcome.UNKNOWN))
            if result.outcome is Outcome.SATISFIED:
                facts = self._facts(leaves_with(result.constraints, Outcome.SATISFIED))
                yield words.prohibits.format(rule=rule, facts=facts)
            else:
                yield words.may_prohibit.format(rule=rule, facts=self._facts(unknown))
        permissions = matching_permissions(report)
        for duty in owed(report, permissions):
            yield words.duty.format(duty=words.duties[duty.duty.action])
        if not permissions:
            yield words.no_permission.format(action=asked.action)
        elif not any(p.outcome is Outcome.SATISFIED for p in permissions):
            for permission in permissions:
                name = words.permission.format(permission.rule.index + 1)
                for why in self._unmet(permission.constraints):
                    yield f"{why} ({name})"

    def changes(self, report: Report) -> Iterator[str]:
        words, asked, agreed = self.words, report.request, report.agreement
        if (asked.target, asked.assignee) != (agreed.target, agreed.assignee):
            return
        for rule, result in barring(report, words, sources=False):
            yield f"{self._undone(result.constraints)} ({rule})"
        for duty in report.duties:
            yield from self._duty_needed(duty)
        permissions = matching_permissions(report)
        if not permissions:
            yield words.permission_needed.format(action=asked.action)
        elif not any(p.outcome is Outcome.SATISFIED for p in permissions):
            ways = [self._join(words.all_parts, self._permission_needs(p)) for p in permissions]
            yield self._join(words.any_part, ways)

    def looked_at(self, parts: Iterable[Result]) -> Iterator[str]:
        """The facts that constraints were compared with."""
        for leaf in leaves_with(parts, Outcome.SATISFIED):
            yield self._fact(leaf)

    def _unmet(self, parts: Iterable[Result]) -> Iterator[str]:
        """Why these are not all met."""
        for part in parts:
            if part.outcome is Outcome.SATISFIED:
                continue
            if isinstance(part, ConstraintResult):
                yield self._fact(part)
            elif (held := held_parts(part)) > 1 and part.constraint.operator == "xone":
                facts = self._facts(leaves_with(part.parts, Outcome.SATISFIED))
                yield self.words.too_many.format(held=held, facts=facts)
            else:
                yield from self._unmet(part.parts)

    def _permission_needs(self, permission: RuleResult) -> list[str]:
        needs = [need for part in permission.constraints for need in self._needed(part)]
        return needs + [need for duty in permission.duties for need in self._duty_needed(duty)]

    def _duty_needed(self, duty: DutyResult) -> Iterator[str]:
        if duty.outcome is None or duty.outcome is Outcome.SATISFIED:
            return
        inner = [need for part in duty.constraints for need in self._needed(part)]
        done = self.words.duty_needed.format(duty=self.words.duties[duty.duty.action])
        yield f"{done}: {self._join(self.words.all_parts, inner)}" if inner else done

    def _needed(self, part: Result) -> list[str]:
        """What would have to hold for a part that does not; one text for each condition."""
        if part.outcome is Outcome.SATISFIED:
            return []
        if isinstance(part, ConstraintResult):
            return [self._leaf_needed(part)]
        if part.constraint.operator in ("and", "andSequence"):
            return [need for inner in part.parts for need in self._needed(inner)]
        if part.constraint.operator == "xone":
            return self._one_needed(part)
        ways = [self._join(self.words.all_parts, self._needed(inner)) for inner in part.parts]
        return [self._join(self.words.any_part, ways)]

    def _one_needed(self, part: LogicResult) -> list[str]:
        """What would have to hold for exactly one alternative to do so."""
        held = held_parts(part)
        if held > 1:
            return [self.words.only_one.format(held)]
        if held:  # it is only not known whether others do as well
            return [way for inner in part.parts if (way := self._ended(inner))]
        ways = []
        for chosen in part.parts:
            needs = self._needed(chosen)
            needs += [
                way for inner in part.parts if inner is not chosen and (way := self._ended(inner))
            ]
            ways.append(self._join(self.words.all_parts, needs))
        return [self._join(self.words.any_part, ways)]

    def _ended(self, part: Result) -> str:
        """What would have to be known for a part that may hold not to; "" for any other."""
        return self._negated(part) if part.outcome is Outcome.UNKNOWN else ""

    def _leaf_needed(self, leaf: ConstraintResult) -> str:
        constraint, words = leaf.constraint, self.words
        named = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
        known = leaf.left
        if constraint.operand == "notTogetherWith":
            here = [str(name) for name in named if not isinstance(known, tuple) or name in known]
            return words.stay_out.format(words.list_all.join(here))
        if constraint.operand == "togetherWith":
            away = [
                str(name) for name in named if not isinstance(known, tuple) or name not in known
            ]
            joiner = words.list_or if constraint.operator == "isAnyOf" else words.list_all
            return words.join_in.format(joiner.join(away))
        return self._should(leaf, words.wanted, words.wanted_time) + self._too_late(leaf, _BELOW)

    def _too_late(self, leaf: ConstraintResult, below: frozenset[str]) -> str:
        """A word on values that only ever grow, where only a smaller one would do.

        Args:
            below: the operators with which it has to be smaller than it is.
        """
        constraint = leaf.constraint
        value: Any = leaf.left
        if constraint.operand not in GROWING or value is None:
            return ""
        equal = "eq" if below is _BELOW else "neq"
        if constraint.operator in below or (
            constraint.operator == equal and value > constraint.right
        ):
            return self.words.spends if constraint.operand in SPENT else self.words.grows
        return ""

    def _undone(self, parts: Iterable[Result]) -> str:
        """What would have to be otherwise for a prohibition not to apply: one of its conditions."""
        ways = [way for part in parts if (way := self._negated(part))]
        return self._join(self.words.any_part, ways) if ways else self.words.unconditional

    def _negated(self, part: Result) -> str:
        if part.outcome is Outcome.UNSATISFIED:
            return ""
        if isinstance(part, ConstraintResult):
            should = self._should(part, self.words.unwanted, self.words.unwanted_time)
            return should + self._too_late(part, _ABOVE)
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
        self, leaf: ConstraintResult, table: Mapping[str, str], times: Mapping[str, str]
    ) -> str:
        constraint = leaf.constraint
        subject = self.words.subjects[constraint.operand].rstrip(",")
        is_time = OPERANDS[constraint.operand].kind is Kind.INSTANT
        phrases = {**table, **times} if is_time else table
        right = self._shown(constraint.operand, constraint.right)
        wanted = phrases[constraint.operator].format(right)
        return self.words.should.format(subject=subject, wanted=wanted)

    def _facts(self, leaves: Iterable[ConstraintResult]) -> str:
        return self.words.list_and.join(self._fact(leaf) for leaf in leaves)

    def _fact(self, leaf: ConstraintResult) -> str:
        subject = self.words.subjects[leaf.constraint.operand].rstrip(",")
        if leaf.left is None:
            return self.words.unknown.format(subject=subject)
        value = self._shown(leaf.constraint.operand, leaf.left, self.words.list_all)
        told = self.words.facts_of.get(leaf.constraint.operand)
        if told is not None:
            return told.format(value)
        return self.words.is_value.format(subject=subject, value=value)

    def _shown(self, operand: str, value: Right, joiner: str = "") -> str:
        if isinstance(value, tuple):
            return (joiner or self.words.list_or).join(value) or self.words.nobody
        return str(value_to_json(OPERANDS[operand], value))
