"""Concluded agreements, parsed once: they never change."""

from __future__ import annotations

from typing import Final

from policies.claim import Claim
from policies.odrl import Agreement, parse_agreement

MAX_CACHED: Final = 10_000


class Agreements:
    """A bounded cache; each owner of one uses it under the journal's lock."""

    def __init__(self) -> None:
        self._parsed: dict[str, Agreement] = {}

    def of(self, claim: Claim) -> Agreement:
        """The agreement that the claim is made under."""
        found = self._parsed.get(claim.agreement)
        if found is None:
            if len(self._parsed) >= MAX_CACHED:
                self._parsed.clear()
            found = parse_agreement(claim.document.encode())
            self._parsed[claim.agreement] = found
        return found
