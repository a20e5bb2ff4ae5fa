"""Texts of explanations in one language, and small readings of what is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from auditors.explain_chinese import CHINESE
from auditors.explain_english import ENGLISH
from auditors.known import Known
from policies.phrases import Language

MAX_NAMED: Final = 12
EXPLAIN_WORDS: Final[Mapping[Language, Mapping[str, str]]] = MappingProxyType(
    {"en": ENGLISH, "zh": CHINESE}
)
Body = Mapping[str, Any]


class Say:
    """Texts of one language; names stand beside the pseudonyms that they are known for."""

    def __init__(self, language: Language, known: Known) -> None:
        self.language = language
        self._words = EXPLAIN_WORDS[language]
        self._known = known

    def __call__(self, key: str, **fields: object) -> str:
        """A text with its fields filled in."""
        return self._words[key].format(**fields)

    def who(self, participant: object) -> str:
        """A participant, with its name where it is known."""
        name = self._known.name(str(participant))
        return f"{name} ({participant})" if name else str(participant)

    def several(self, names: Sequence[str]) -> str:
        """Names as a list, cut where there are many."""
        if not names:
            return self("nobody")
        listed = ("、" if self.language == "zh" else ", ").join(names[:MAX_NAMED])
        more = len(names) - MAX_NAMED
        return self("and-more", names=listed, n=more) if more > 0 else listed

    def round(self, body: Body) -> str:
        """Which round of which run."""
        fields = {name: body[name] for name in ("round", "attempt", "run")}
        return self("round", kind=self(body["kind"]), **fields)

    def words(self, commitment: object, field: str = "text") -> str:
        """What the log commits to; where that is not known, that it does; "" without one."""
        if not isinstance(commitment, str) or not commitment:
            return ""
        return self._known.text(commitment, field) or self("committed")


def digest(value: object) -> str:
    """The beginning of a digest."""
    return str(value)[:16]


def signed(envelope: object) -> Body:
    """What a statement's envelope holds, whoever signed it; nothing where it cannot be read."""
    try:
        outer = json.loads(base64.b64decode(str(envelope)))
        found = json.loads(base64.b64decode(outer["payload"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
