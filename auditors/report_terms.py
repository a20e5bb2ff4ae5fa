"""What an agreement allows, forbids and asks for, a sentence a rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.errors import PolicyError
from policies.odrl import parse_agreement
from policies.operands import OPERANDS
from policies.phrases import WORDS, Language
from policies.rows import Kind
from policies.rules import Constraint, Duty, Logic
from policies.values import Right, value_to_json
from policies.wording import Words


def terms_of(document: str, language: Language) -> list[str]:
    """An agreement's rules in words; empty where it is not in our profile."""
    try:
        agreement = parse_agreement(document.encode())
    except PolicyError:
        return []
    words = WORDS[language]
    stop, colon = (": ", ": ") if language == "en" else ("：", "")
    told = []
    for rule in (*agreement.permissions, *agreement.prohibitions):
        name = words.permission if rule.kind == "permission" else words.prohibition
        parts = [rule.action, *(_told(part, words, colon) for part in rule.constraints)]
        parts += _duties(rule.duties, words, language)
        told.append(name.format(rule.index + 1) + stop + _joined(parts, language))
    duties = list(_duties(agreement.obligations, words, language))
    return [*told, _joined(duties, language)] if duties else told


def _joined(parts: Sequence[str], language: Language) -> str:
    return ("; " if language == "en" else "；").join(parts)


def _duties(duties: Sequence[Duty], words: Words, language: Language) -> Iterator[str]:
    for duty in duties:
        yield ("duty: " if language == "en" else "义务：") + words.duties[duty.action]


def _told(part: Constraint | Logic, words: Words, colon: str) -> str:
    if isinstance(part, Logic):
        inner = (_told(one, words, colon) for one in part.parts)
        return f"{part.operator} [{words.list_and.join(inner)}]"
    row = OPERANDS[part.operand]
    phrases = words.wanted
    if row.kind is Kind.INSTANT:
        phrases = {**phrases, **words.wanted_time}
    subject = words.subjects[part.operand].removesuffix(",")
    return subject + colon + phrases[part.operator].format(_shown(part.operand, part.right, words))


def _shown(operand: str, value: Right, words: Words) -> str:
    if isinstance(value, tuple):
        return words.list_or.join(value)
    return str(value_to_json(OPERANDS[operand], value))
