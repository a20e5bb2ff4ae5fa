"""Whether what the log says in somebody's name was signed by them, and says what they signed.

    statement-signed    a product's card, an agreement and a withdrawal are signed by their owner's
                        enrolled key, a certificate by the space's registrar
    statement-follows   the entry says what was signed
    statement-new       an id never stands for two things; a product's newer version is its owner's

Nothing else is signed that a decision rests on; who enrolled whom is the operator's word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auditors.reading import decoded
from auditors.register import Register
from policies.canonical import Json, digest_of
from policies.certificate import CERTIFICATE_TYPE, Certificate
from policies.entries import Entry
from policies.envelope import open_envelope
from policies.errors import SignatureError
from policies.odrl import parse_agreement
from policies.places import jurisdiction_of
from policies.statements import (
    AGREEMENT_TYPE,
    PRODUCT_TYPE,
    WITHDRAWAL_TYPE,
    ProductCard,
    SignedAgreement,
    Withdrawal,
)

Fault = tuple[str, str]
Body = Mapping[str, Any]


def check_new(register: Register, entry: Entry) -> Iterator[Fault]:
    """Whether an entry takes the place of something that it must not; `register` is without it."""
    body: Body = entry.body
    for kind, name, known in (
        ("ParticipantEnrolled", "participant", register.people),
        ("AgreementConcluded", "agreement", register.agreements),
    ):
        if entry.type == kind and body[name] in known:
            yield "statement-new", f"{body[name]}: expected a new id, got one that stands"
    before = register.products.get(body["product"]) if entry.type == "ProductRegistered" else None
    if before is not None:
        owner, version = before.body["participant"], before.body["data_version"]
        if body["participant"] != owner or body["data_version"] <= version:
            text = f"expected a version above {version} by {owner}"
            yield "statement-new", f"{body['product']}: {text}, got {body['data_version']}"


def check_statement(register: Register, entry: Entry) -> Iterator[Fault]:
    """Every fault of an entry that holds a signed statement; none of any other entry.

    Args:
        register: as it is with the entry.

    Raises:
        KeyError, TypeError, ValueError, PolicyError: an entry in another form than governance
            writes.
    """
    body: Body = entry.body
    if entry.type == "BaselineAdopted" and body["digest"] != register.laws_digest:
        yield "statement-follows", "BaselineAdopted: expected the digest of its documents"
    kind = _KINDS.get(entry.type)
    if kind is None:
        return
    payload_type, read = kind
    signer, key = _signer(register, entry.type, body)
    try:
        payload = open_envelope(decoded(body["envelope"]), payload_type=payload_type, key=key)
    except SignatureError as error:
        yield "statement-signed", f"{entry.type} of {signer}: {error}"
        return
    for name, expected, got in read(register, payload, body):
        if expected != got:
            text = f"{name}: signed was {expected!r:.100}, the entry says {got!r:.100}"
            yield "statement-follows", f"{entry.type} of {signer}: {text}"


def _signer(register: Register, kind: str, body: Body) -> tuple[str, Ed25519PublicKey]:
    if kind == "CertificateIssued":
        key = bytes.fromhex(register.registrar_key)
        return "the registrar", Ed25519PublicKey.from_public_bytes(key)
    owner = register.person(body["assigner" if kind == "AgreementConcluded" else "participant"])
    return owner.id, Ed25519PublicKey.from_public_bytes(bytes.fromhex(owner.receipt_key))


def _product(register: Register, payload: Json, body: Body) -> Iterator[tuple[str, object, object]]:
    card = ProductCard.from_json(payload)
    region = register.person(card.participant).region
    yield "product", card.id, body["product"]
    yield "digest", digest_of(payload), body["digest"]
    known = jurisdiction_of(region) if region else ""
    yield "jurisdiction", card.jurisdiction or known, body["jurisdiction"]
    for name in (
        "participant",
        "description",
        "rows",
        "classification",
        "data_version",
        "personal_information",
        "subject_consent",
        "anonymization",
        "filing_number",
        "execution_environment",
        "readiness",
    ):
        yield name, getattr(card, name), body[name]


def _agreement(
    register: Register, payload: Json, body: Body
) -> Iterator[tuple[str, object, object]]:
    signed = SignedAgreement.from_json(payload)
    agreement = parse_agreement(signed.document.encode())
    product = register.products.get(agreement.target)
    yield "document", signed.document, body["document"]
    yield "agreement", agreement.id, body["agreement"]
    yield "product", agreement.target, body["product"]
    yield "assigner", agreement.assigner, body["assigner"]
    yield "assignee", agreement.assignee, body["assignee"]
    yield "participant", signed.participant, body["assigner"]
    yield "the product's owner", product.body["participant"] if product else "", body["assigner"]


def _withdrawal(
    register: Register, payload: Json, body: Body
) -> Iterator[tuple[str, object, object]]:
    wish = Withdrawal.from_json(payload)
    concluded = register.agreements.get(wish.agreement)
    yield "agreement", wish.agreement, body["agreement"]
    yield "withdrawal", wish.id, body["withdrawal"]
    yield "reason", wish.reason, body["reason"]
    yield "participant", wish.participant, body["participant"]
    yield "the agreement's owner", concluded.assigner if concluded else "", body["participant"]


def _certificate(
    register: Register, payload: Json, body: Body
) -> Iterator[tuple[str, object, object]]:
    certificate = Certificate.from_json(payload)
    yield "issuer", certificate.issuer, register.space
    for name in ("serial", "product", "digest", "owner", "not_before", "not_after"):
        yield name, getattr(certificate, name), body[name]


_Read = Callable[[Register, Json, Body], Iterator[tuple[str, object, object]]]
_KINDS: Final[Mapping[str, tuple[str, _Read]]] = MappingProxyType(
    {
        "ProductRegistered": (PRODUCT_TYPE, _product),
        "AgreementConcluded": (AGREEMENT_TYPE, _agreement),
        "ConsentWithdrawn": (WITHDRAWAL_TYPE, _withdrawal),
        "CertificateIssued": (CERTIFICATE_TYPE, _certificate),
    }
)
