"""ODRL 2.2 agreements and offers in the shapes of the Dataspace Protocol 2025-1.

What leaves this module is whole and understood: every key, action, operand and operator has a row
in `policies.operands`, every right operand has its row's type (`policies.intake` sees to it).
`Agreement.to_json` is the normal form (short terms, times in UTC, no empty lists) that the digest
is over, so that two spellings of one agreement have one digest. The format is written down in
`profile.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

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
    read_next_policy,
    read_obligations,
    read_rules,
)
from policies.operands import OPERANDS, PROFILE, Kind, parse_datetime
from policies.rules import Constraint, Duty, Logic, NextPolicy, Rule, leaves, rules_to_json

__all__ = [
    "CONTEXT",
    "MAX_BYTES",
    "MAX_CONSTRAINTS",
    "MAX_LOGIC_DEPTH",
    "MAX_RULES",
    "PROFILE",
    "Agreement",
    "Constraint",
    "Duty",
    "Logic",
    "NextPolicy",
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
    obligations: tuple[Duty, ...] = ()
    next_policy: NextPolicy | None = None

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
        obligations: duties that stand beside every permission.
        next_policy: the rules for what is derived from the product.
        thresholds: every `minParticipants` it asks for, ascending; derived.
        partners, rivals: participants that a `togetherWith` or a `notTogetherWith` names; derived.
        shares: operator and limit of every `rowShare` that it asks for; derived.
        digest: SHA-256 of the normal form; derived.
    """

    id: str
    target: str
    assigner: str
    assignee: str
    timestamp: datetime
    permissions: tuple[Rule, ...]
    prohibitions: tuple[Rule, ...]
    obligations: tuple[Duty, ...] = ()
    next_policy: NextPolicy | None = None
    thresholds: tuple[int, ...] = field(init=False)
    partners: frozenset[str] = field(init=False)
    rivals: frozenset[str] = field(init=False)
    shares: tuple[tuple[str, Decimal], ...] = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        asked: set[int] = set()
        named: dict[str, set[str]] = {"togetherWith": set(), "notTogetherWith": set()}
        shares: list[tuple[str, Decimal]] = []
        for rule in self.permissions:
            for leaf in leaves(rule.constraints):
                row = OPERANDS[leaf.operand]
                if not row.cohort:
                    continue
                if row.kind is Kind.NAMES:
                    right = leaf.right if isinstance(leaf.right, tuple) else (str(leaf.right),)
                    named[leaf.operand].update(right)
                elif isinstance(leaf.right, int):
                    asked.add(leaf.right)
                elif isinstance(leaf.right, Decimal):
                    shares.append((leaf.operator, leaf.right))
        object.__setattr__(self, "thresholds", tuple(sorted(asked)))
        object.__setattr__(self, "partners", frozenset(named["togetherWith"]))
        object.__setattr__(self, "rivals", frozenset(named["notTogetherWith"]))
        object.__setattr__(self, "shares", tuple(shares))
        object.__setattr__(self, "digest", digest_of(self.to_json()))

    @property
    def post_duties(self) -> tuple[str, ...]:
        """What any use under it leaves to be done afterwards, sorted."""
        beside = [duty for rule in self.permissions for duty in rule.duties]
        due = {duty.action for duty in (*self.obligations, *beside) if not duty.is_pre}
        return tuple(sorted(due))

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
        obligations=read_obligations(document),
        next_policy=read_next_policy(document),
    )


def parse_offer(data: bytes) -> Offer:
    """An offer from JSON as people write it; it names neither target nor assignee.

    Raises:
        DocumentError: as `parse_agreement`.
    """
    document = read_document(OfferDocument, data)
    permissions, prohibitions = read_rules(document)
    return Offer(
        id=document.id,
        assigner=document.assigner or None,
        permissions=permissions,
        prohibitions=prohibitions,
        obligations=read_obligations(document),
        next_policy=read_next_policy(document),
    )


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
    document |= rules_to_json(policy.permissions, policy.prohibitions)
    if policy.obligations:
        document["obligation"] = [duty.to_json() for duty in policy.obligations]
    if policy.next_policy is not None:
        document["nextPolicy"] = policy.next_policy.to_json()
    return document
