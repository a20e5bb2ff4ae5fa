"""The languages of explanations; `policies.explain` puts their words together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from policies.chinese import CHINESE
from policies.english import ENGLISH
from policies.operands import Right
from policies.wording import Words

Language = Literal["en", "zh"]

# Values that only ever grow under one agreement: nothing that a run does brings them down.
GROWING = frozenset({"count", "meteredTime", "elapsedTime", "epsilon", "dateTime"})
# Of these, the ones of which a use may take more or less.
SPENT = frozenset({"meteredTime", "epsilon"})

WORDS: Mapping[Language, Words] = MappingProxyType({"en": ENGLISH, "zh": CHINESE})


def told_value(operand: str, value: object, words: Words) -> str | None:
    """A left value as a sentence of its own; None where it has none."""
    return words.told.get(operand, {}).get(value) if isinstance(value, str) else None


def needed_value(
    operand: str, operator: str, right: Right, words: Words, *, holds: bool
) -> str | None:
    """What would have to be for a constraint to hold, or not to, as a sentence of its own.

    None where the operand has no such sentences, or more than one value would do.
    """
    known = set(words.needed.get(operand, ()))
    named = set(right) if isinstance(right, tuple) else {right}
    if not named <= known:
        return None
    if (operator in ("eq", "isAnyOf")) != holds:
        named = known - named
    return words.needed[operand][str(named.pop())] if len(named) == 1 else None
