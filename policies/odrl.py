"""ODRL 2.2 agreements and offers in the shapes of the Dataspace Protocol 2025-1.

What leaves this module is whole and understood: every key, action, operand and operator has a row
in `policies.operands`, every right operand has its row's type (`policies.intake` sees to it).
`Agreement.to_json` is the normal form (short terms, times in UTC, no empty lists) that the digest
is over, so that two spellings of one agreement have one digest. The format is written down in
`profile.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from policies.canonical import Json, canonical_bytes, digest_of
from policies.errors import DocumentError
from policies.fields import instant
from policies.intake import (
    CONTEXT,
    MAX_BYTES,
    MAX_CONSTRAINTS,
    MAX_LOGIC_DEPTH,
    MAX_RULES,
    AgreementDocument,
    OfferDocument,
    read_document,
    read_rules,
)
from policies.operands import OPERANDS, PROFILE, parse_datetime
from policies.rules import Constraint, Logic, Rule

__all__ = [
    "CONTEXT",
    "MAX_BYTES",
    "MAX_CONSTRAINTS",
    "MAX_LOGIC_DEPTH",
    "MAX_RULES",
    "PROFILE",
    "Agreement",
    "Constraint",
    "Logic",
    "Offer",
    "Rule",
    "agreement_from_offer",
    "parse_agreement",
    "parse_datetime",
    "parse_offer",
]


@dataclass(frozen=True, slots=True)
class Offer:
    """What an owner allows to whoever agrees; a template for agreements."""

    id: str
    assigner: str | None
    permissions: tuple[Rule, ...]
    prohibitions: tuple[Rule, ...]

    def to_json(self) -> dict[str, Json]:
        """The offer in normal form."""
        document = _policy_json(self, "Offer")
        if self.assigner is not None:
            document["assigner"] = self.assigner
        return document


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two parties agreed about one target.

    Attributes:
        thresholds: every `minParticipants` it asks for, ascending; derived.
        digest: SHA-256 of the normal form; derived.
    """

    id: str
    target: str
    assigner: str
    assignee: str
    timestamp: datetime
    permissions: tuple[Rule, ...]
    prohibitions: tuple[Rule, ...]
    thresholds: tuple[int, ...] = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        asked = {
            leaf.right
            for rule in self.permissions
            for leaf in _leaves(rule.constraints)
            if OPERANDS[leaf.operand].cohort and isinstance(leaf.right, int)
        }
        object.__setattr__(self, "thresholds", tuple(sorted(asked)))
        object.__setattr__(self, "digest", digest_of(self.to_json()))

    def to_json(self) -> dict[str, Json]:
        """The agreement in normal form; `parse_agreement` reads it back as an equal one."""
        return _policy_json(self, "Agreement") | {
            "target": self.target,
            "assigner": self.assigner,
            "assignee": self.assignee,
            "timestamp": instant(self.timestamp),
        }


def parse_agreement(data: bytes) -> Agreement:
    """An agreement from JSON as people write it, at most `MAX_BYTES`.

    Raises:
        DocumentError: anything the profile does not know, with the JSON path of the place.
    """
    document = read_document(AgreementDocument, data)
    permissions, prohibitions = read_rules(document)
    return Agreement(
        id=document.id,
        target=document.target,
        assigner=document.assigner,
        assignee=document.assignee,
        timestamp=parse_datetime(document.timestamp, "$.timestamp"),
        permissions=permissions,
        prohibitions=prohibitions,
    )


def parse_offer(data: bytes) -> Offer:
    """An offer from JSON as people write it; it names neither target nor assignee.

    Raises:
        DocumentError: as `parse_agreement`.
    """
    document = read_document(OfferDocument, data)
    permissions, prohibitions = read_rules(document)
    return Offer(document.id, document.assigner or None, permissions, prohibitions)


def agreement_from_offer(
    offer: Offer, *, id: str, target: str, assigner: str, assignee: str, timestamp: datetime
) -> Agreement:
    """The agreement that accepts an offer word for word.

    Args:
        timestamp: when it was agreed, aware.

    Raises:
        DocumentError: the offer is another assigner's, or a value has not the form that
            `parse_agreement` asks for (it reads the result).
    """
    if offer.assigner not in (None, assigner):
        raise DocumentError("$.assigner", f"the offer's assigner {offer.assigner}", assigner[:80])
    if timestamp.tzinfo is None:
        raise DocumentError("$.timestamp", "an aware datetime", "a naive one")
    document = offer.to_json() | {
        "@id": id,
        "@type": "Agreement",
        "target": target,
        "assigner": assigner,
        "assignee": assignee,
        "timestamp": instant(timestamp),
    }
    return parse_agreement(canonical_bytes(document))


def _policy_json(policy: Offer | Agreement, kind: str) -> dict[str, Json]:
    document: dict[str, Json] = {
        "@context": [CONTEXT],
        "@id": policy.id,
        "@type": kind,
        "profile": PROFILE,
        "conflict": "prohibit",
    }
    if policy.permissions:
        document["permission"] = [rule.to_json() for rule in policy.permissions]
    if policy.prohibitions:
        document["prohibition"] = [rule.to_json() for rule in policy.prohibitions]
    return document


def _leaves(parts: tuple[Constraint | Logic, ...]) -> Iterator[Constraint]:
    for part in parts:
        if isinstance(part, Logic):
            yield from _leaves(part.parts)
        else:
            yield part
