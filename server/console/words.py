"""The console's languages: which one a visitor gets, and what each thing is called in it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from server.console.words_audit_chinese import AUDIT_CHINESE
from server.console.words_audit_english import AUDIT_ENGLISH
from server.console.words_chinese import CHINESE
from server.console.words_english import ENGLISH
from server.console.words_live_chinese import LIVE_CHINESE
from server.console.words_live_english import LIVE_ENGLISH
from server.console.words_policies_chinese import POLICIES_CHINESE
from server.console.words_policies_english import POLICIES_ENGLISH
from server.console.words_signin_chinese import SIGNIN_CHINESE
from server.console.words_signin_english import SIGNIN_ENGLISH

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
TAGS: Final[Mapping[Language, str]] = MappingProxyType({"en": "en", "zh": "zh-Hans"})
NAMES: Final[Mapping[Language, str]] = MappingProxyType({"en": "English", "zh": "中文"})
PARTS: Final[Mapping[Language, tuple[Mapping[str, str], ...]]] = MappingProxyType(
    {
        "en": (ENGLISH, AUDIT_ENGLISH, LIVE_ENGLISH, POLICIES_ENGLISH, SIGNIN_ENGLISH),
        "zh": (CHINESE, AUDIT_CHINESE, LIVE_CHINESE, POLICIES_CHINESE, SIGNIN_CHINESE),
    }
)
"""Each language's tables, in the same order; no key stands in two of them."""

_TABLES: Final[Mapping[Language, Mapping[str, str]]] = MappingProxyType(
    {name: MappingProxyType(dict(ChainMap(*map(dict, parts)))) for name, parts in PARTS.items()}
)


class Words:
    """One language's table; called with a key and what stands in its places."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.tag = TAGS[language]
        self._table = _TABLES[language]

    def __call__(self, key: str, **values: object) -> str:
        """The words; KeyError for a key that no table has."""
        return self._table[key].format(**values)

    def beginning(self, prefix: str) -> dict[str, str]:
        """All words whose keys begin like this, by the rest of the key, with their places open."""
        return {
            key.removeprefix(prefix): text
            for key, text in self._table.items()
            if key.startswith(prefix)
        }

    def either(self, key: str, other: str) -> str:
        """The words of a key that may be unknown; `other` if it is."""
        return self._table.get(key, other)


ALL: Final[Mapping[Language, Words]] = MappingProxyType({name: Words(name) for name in LANGUAGES})


def choose(chosen: str, accepted: str) -> Words:
    """The words for somebody who chose a language (a cookie), or whose browser prefers some.

    Args:
        accepted: an Accept-Language header; the first language of it that there is counts, by
            weight (RFC 9110, 12.5.4).
    """
    for name in LANGUAGES:
        if chosen == name:
            return ALL[name]
    ranked: list[tuple[float, int, Language]] = []
    for place, part in enumerate(accepted[:500].split(",")):
        tag, _, weight = part.strip().lower().partition(";q=")
        for name in LANGUAGES:
            if tag == name or tag.startswith(f"{name}-"):
                ranked.append((-_weight(weight), place, name))
    return ALL[min(ranked)[2]] if ranked else ALL["en"]


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
