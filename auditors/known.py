"""What an auditor knows beside the log: names of pseudonyms, and texts that it only commits to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """Whoever hands it in vouches for it: none of it is in the log.

    Attributes:
        names: by pseudonym.
        texts: what opens a commitment, by commitment.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Value] = field(default_factory=dict)

    def name(self, participant: str) -> str:
        """A participant's name; "" where it is not known."""
        return self.names.get(participant, "")

    def text(self, commitment: str, field: str) -> str:
        """A field of what opens a commitment; "" where that is not known."""
        value = self.texts.get(commitment, {}).get(field)
        return value if isinstance(value, str) else ""

    def several(self, commitment: str, field: str) -> list[str]:
        """A list in what opens a commitment; of columns their names."""
        value = self.texts.get(commitment, {}).get(field)
        items = value if isinstance(value, list) else []
        named = (one.get("name") if isinstance(one, dict) else one for one in items)
        return [one for one in named if isinstance(one, str)]


NOTHING_KNOWN = Known()
