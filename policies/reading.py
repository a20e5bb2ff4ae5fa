"""A policy read out: one sentence for each rule, condition and duty, in English or Chinese.

Every sentence has the JSON path of what it says, so that whatever is found about a place of the
document (`policies.findings`) can stand beside its sentence. Nothing is left out and nothing is
summed up: a policy has as many sentences as it has rules, constraints and duties.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from policies.fields import instant
from policies.odrl import Agreement, Offer
from policies.operands import OPERANDS, Right
from policies.phrases import WORDS, Language, told_value
from policies.reading_words import READING
from policies.rows import Kind
from policies.rules import Constraint, Duty, Logic, Rule
from policies.values import decimal_text

_NEGATIVE: Final = frozenset({"neq", "isNoneOf"})
_UNIT_S: Final = (86_400, 3_600, 60, 1)


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence.

    Attributes:
        path: where in the document, such as `$.permission[0].constraint[1]`.
        parts: what stands below it: conditions and duties of a rule, alternatives.
    """

    path: str
    text: str
    parts: tuple[Line, ...] = ()

    def paths(self) -> Iterator[str]:
        """Its own path, and those of all below it."""
        yield self.path
        for part in self.parts:
            yield from part.paths()


@dataclass(frozen=True, slots=True)
class Reading:
    """A whole policy; `heading` says whose it is, `lines` stand in the document's order."""

    heading: str
    lines: tuple[Line, ...]

    def paths(self) -> frozenset[str]:
        """Every place of the document that has a sentence."""
        return frozenset(path for line in self.lines for path in line.paths())


def read_out(policy: Offer | Agreement, language: Language) -> Reading:
    """The policy in sentences."""
    reader = _Reader(language)
    rules = [*policy.permissions, *policy.prohibitions]
    lines = [reader.rule(rule, "$") for rule in rules]
    lines += [reader.beside(duty) for duty in policy.obligations]
    if policy.next_policy is not None:
        later = [*policy.next_policy.permissions, *policy.next_policy.prohibitions]
        inner = tuple(reader.rule(rule, "$.nextPolicy") for rule in later)
        lines.append(Line("$.nextPolicy", reader.words.next_policy, inner))
    return Reading(reader.heading(policy), tuple(lines))


def condition(constraint: Constraint, language: Language) -> str:
    """One comparison as a sentence, without a full stop."""
    return _Reader(language).leaf(constraint)


def shown(operand: str, value: Right, language: Language) -> str:
    """A left or right value as people read it: durations in days to seconds, moments in UTC."""
    words = READING[language]
    if isinstance(value, tuple):
        return words.list_all.join(value) or WORDS[language].nobody
    if isinstance(value, datetime):
        return instant(value).replace(".000Z", "Z")
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, int) and OPERANDS[operand].kind is Kind.DURATION:
        return _length(value, language)
    return str(value)


def _length(seconds: int, language: Language) -> str:
    """A length of time, exact."""
    words, found = READING[language], []
    for unit, name in zip(_UNIT_S, words.units, strict=True):
        count, seconds = divmod(seconds, unit)
        if count:
            found.append(f"{count}{name}")
    return " ".join(found) or words.no_time


class _Reader:
    """Sentences in one language."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self.words = READING[language]
        self._terms = WORDS[language]

    def heading(self, policy: Offer | Agreement) -> str:
        if isinstance(policy, Agreement):
            return self.words.agreement.format(
                assigner=policy.assigner,
                assignee=policy.assignee,
                target=policy.target,
                when=shown("dateTime", policy.timestamp, self._language),
            )
        if policy.assigner is None:
            return self.words.open_offer
        return self.words.offer.format(assigner=policy.assigner)

    def rule(self, rule: Rule, at: str) -> Line:
        words, conditional = self.words, bool(rule.constraints)
        form = {
            ("permission", False): words.permission,
            ("permission", True): words.permission_if,
            ("prohibition", False): words.prohibition,
            ("prohibition", True): words.prohibition_if,
        }[rule.kind, conditional]
        text = form.format(n=rule.index + 1, action=words.actions[rule.action])
        parts = [*self._parts(rule.constraints), *(self.duty(duty) for duty in rule.duties)]
        return Line(f"{at}.{rule.kind}[{rule.index}]", text, tuple(parts))

    def duty(self, duty: Duty) -> Line:
        said = self._terms.duties[duty.action]
        if not duty.is_pre:
            return Line(duty.path, self.words.after.format(duty=said))
        form = self.words.before_if if duty.constraints else self.words.before
        return Line(duty.path, form.format(duty=said), tuple(self._parts(duty.constraints)))

    def beside(self, duty: Duty) -> Line:
        line = self.duty(duty)
        return Line(line.path, self.words.beside.format(text=line.text), line.parts)

    def leaf(self, leaf: Constraint) -> str:
        """A comparison: in words of its own where its values are words of ours."""
        right = leaf.right if isinstance(leaf.right, tuple) else (leaf.right,)
        named = self.words.list_all.join(str(one) for one in right)
        if leaf.operand == "togetherWith":
            return self.words.company[leaf.operator].format(named)
        if leaf.operand == "notTogetherWith":
            return self.words.rivals.format(named)
        return self._told(leaf, right) or self._plain(leaf)

    def _parts(self, parts: Iterable[Constraint | Logic]) -> Iterator[Line]:
        for part in parts:
            if isinstance(part, Logic):
                inner = tuple(self._parts(part.parts))
                yield Line(part.path, self.words.logic[part.operator], inner)
            else:
                yield Line(part.path, self.leaf(part))

    def _told(self, leaf: Constraint, right: tuple[Right, ...]) -> str:
        """The sentences of the values that meet it; "" where one of them has none."""
        if leaf.operand == "filingNumber" and leaf.operator in _NEGATIVE and right == ("none",):
            return self.words.has_number
        known = self._terms.told.get(leaf.operand, {})
        if leaf.operator == "isA" or not known or not set(right) <= set(known):
            return ""
        meeting = [name for name in known if (name in right) != (leaf.operator in _NEGATIVE)]
        sentences = [told_value(leaf.operand, name, self._terms) or "" for name in meeting]
        return self.words.told_or.join(sentences)

    def _plain(self, leaf: Constraint) -> str:
        words = self.words
        moment = OPERANDS[leaf.operand].kind is Kind.INSTANT
        form = words.times.get(leaf.operator) if moment else None
        if leaf.operator == "isA":
            form = words.ordered.get(leaf.operand)
        right = self._right(leaf)
        holds = (form or words.holds[leaf.operator]).format(right)
        return words.is_text.format(subject=self._terms.subjects[leaf.operand], holds=holds)

    def _right(self, leaf: Constraint) -> str:
        right, words = leaf.right, self.words
        if not isinstance(right, tuple):
            return shown(leaf.operand, right, self._language)
        if leaf.operator == "isNoneOf" or len(right) == 1:
            return words.list_all.join(right)
        if len(right) == 2:
            return words.list_or.join(right)
        return words.one_of.format(words.list_all.join(right))
