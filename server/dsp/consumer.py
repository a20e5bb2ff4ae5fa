"""What a consumer looks at before it signs: the offer it takes, and the agreement it gets."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from policies.canonical import Json, canonical_bytes, parse_canonical
from policies.envelope import open_envelope, sign_envelope
from policies.errors import DocumentError
from policies.odrl import Agreement, Offer, agreement_from_offer, parse_agreement, parse_offer
from policies.statements import (
    AGREEMENT_TYPE,
    VERIFICATION_TYPE,
    SignedAgreement,
    VerifiedAgreement,
)
from server.dsp import documents
from server.dsp.documents import Out
from server.dsp.messages import SIGNATURE


@dataclass(frozen=True, slots=True)
class Negotiation:
    """A negotiation as the provider tells it.

    Attributes:
        consumer_pid: `documents.NONE` in one that the owner opened, until the consumer answers.
        product, offer: what the provider offers while it is the consumer's turn (OFFERED).
        agreement: the agreement's text from AGREED on; envelope: its owner's signature.
    """

    provider_pid: str
    consumer_pid: str
    state: str
    product: str | None = None
    offer: Offer | None = None
    agreement: str | None = None
    envelope: bytes | None = None


def published_offer(dataset: dict[str, Json], id: str = "") -> Offer:
    """An offer of a dataset, read as the profile wants it.

    Args:
        id: which one; may be left out where there is only one.

    Raises:
        DocumentError: no such offer, or none that the profile knows.
    """
    listed = dataset.get("hasPolicy", [])
    offers = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    chosen = [one for one in offers if not id or one.get("@id") == id]
    if len(chosen) != 1:
        ids = ", ".join(str(one.get("@id")) for one in offers) or "none"
        raise DocumentError("$.hasPolicy", f"one offer {id}".strip(), f"{len(chosen)} of {ids}")
    return parse_offer(canonical_bytes(chosen[0]))


def check_agreement(
    known: Negotiation,
    *,
    offer: Offer,
    product: str,
    consumer: str,
    owner_key: Ed25519PublicKey,
) -> Agreement:
    """The agreement of a negotiation, if it is what was asked for and its owner signed this text.

    Args:
        owner_key: as the owner enrolled it.

    Raises:
        DocumentError: no agreement yet, or one about something else.
        SignatureError: the owner's signature does not hold.
    """
    if known.agreement is None or known.envelope is None:
        raise DocumentError("$", "a negotiation that is AGREED", known.state)
    agreement = parse_agreement(known.agreement.encode())
    if offer.assigner is None:
        raise DocumentError("$.offer.assigner", "the owner", "nobody")
    expected = agreement_from_offer(
        offer,
        id=agreement.id,
        target=product,
        assigner=offer.assigner,
        assignee=consumer,
        timestamp=agreement.timestamp,
    )
    if expected.digest != agreement.digest:
        raise DocumentError("$.agreement", f"{offer.id} word for word", "another document")
    payload = open_envelope(known.envelope, payload_type=AGREEMENT_TYPE, key=owner_key)
    signed = SignedAgreement.from_json(payload)
    if (signed.participant, signed.document) != (offer.assigner, known.agreement):
        raise DocumentError("$.signature", "one by the owner under this text", "another's")
    return agreement


def verification(
    known: Negotiation, *, document: str, key: Ed25519PrivateKey, participant: str
) -> Out:
    """A ContractAgreementVerificationMessage with the consumer's signature."""
    statement = VerifiedAgreement(version=1, participant=participant, document=document)
    envelope = sign_envelope(statement.to_json(), payload_type=VERIFICATION_TYPE, key=key)
    message = documents.process_message(
        "ContractAgreementVerificationMessage", known.provider_pid, known.consumer_pid
    )
    return message | {SIGNATURE: parse_canonical(envelope, max_bytes=len(envelope))}
