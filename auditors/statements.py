"""Whether what the log says in somebody's name was signed by them, and says what they signed.

    statement-signed    a product's card, an offer, an agreement and a withdrawal are signed with
                        their owner's enrolled key, a negotiated agreement with its consumer's,
                        too, and a certificate with the space's registrar's
    statement-follows   the entry says what was signed
    statement-new       an id never stands for two things, and a space is created once; a product's
                        newer version is its owner's
    key-sound           a key that is enrolled is of full order

Nothing else is signed that a decision rests on; who enrolled whom, and which app was filed for
what, is the operator's word. A participant's key changes by its own word only: the old key signs
for the new one, and the new one proves to be held (`policies.keychange`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auditors.keychanges import check_key_change
from auditors.reading import decoded
from auditors.register import Register
from ledger.ed25519 import load_public_key
from ledger.errors import KeyRefused
from policies.canonical import Json, digest_of
from policies.certificate import CERTIFICATE_TYPE, Certificate
from policies.entries import Entry
from policies.envelope import open_envelope
from policies.errors import SignatureError
from policies.odrl import parse_agreement
from policies.places import jurisdiction_of
from policies.statements import (
    AGREEMENT_TYPE,
    OFFER_TYPE,
    PRODUCT_TYPE,
    VERIFICATION_TYPE,
    WITHDRAWAL_TYPE,
    ProductCard,
    SignedAgreement,
    SignedOffer,
    VerifiedAgreement,
    Withdrawal,
)

Fault = tuple[str, str]
Body = Mapping[str, Any]


def check_new(register: Register, entry: Entry) -> Iterator[Fault]:
    """Whether an entry takes the place of something that it must not; `register` is without it."""
    body: Body = entry.body
    if entry.type == "SpaceCreated" and register.space:
        text = "expected one creation, at the log's beginning; it names all keys of the space"
        yield "statement-new", f"{register.space}: {text}"
    for kind, name, known in (
        ("ParticipantEnrolled", "participant", register.people),
        ("AgreementConcluded", "agreement", register.agreements),
        ("CertificateIssued", "serial", register.certificates),
    ):
        if entry.type == kind and body[name] in known:
            yield "statement-new", f"{body[name]}: expected a new id, got one that stands"
    if entry.type == "KeyRotated":
        yield from check_key_change(register, entry)
    before = register.products.get(body["product"]) if entry.type == "ProductRegistered" else None
    if before is not None:
        owner, version = before.body["participant"], before.body["data_version"]
        if body["participant"] != owner or body["data_version"] <= version:
            text = f"expected a version above {version} by {owner}"
            yield "statement-new", f"{body['product']}: {text}, got {body['data_version']}"


def check_keys(entry: Entry) -> Iterator[Fault]:
    """Whether the keys that an entry enrols are such that a signature under them proves something.

    Raises:
        KeyError, TypeError, ValueError: an entry in another form than governance writes.
    """
    body: Body = entry.body
    people: list[Body] = []
    if entry.type == "SpaceCreated":
        people = body["participants"]
    elif entry.type in ("ParticipantEnrolled", "KeyRotated"):
        people = [body]
    keys = [(one["participant"], one.get("receipt_key")) for one in people]
    if entry.type == "SpaceCreated":
        keys.append(("the registrar", body["space"]["registrar_key"]))
    for name, key in keys:
        if key:
            try:
                load_public_key(bytes.fromhex(key))
            except KeyRefused as error:
                yield "key-sound", f"{name}: {error}"


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
    yield from check_keys(entry)
    for kind in _KINDS.get(entry.type, ()):
        if not kind.optional or body.get(kind.field) is not None:
            yield from _signed(register, entry, kind)


def _signed(register: Register, entry: Entry, kind: _Kind) -> Iterator[Fault]:
    body: Body = entry.body
    signer, key = _signer(register, kind.signer, body)
    try:
        signed = decoded(body[kind.field])
        payload = open_envelope(signed, payload_type=kind.payload_type, key=key)
    except SignatureError as error:
        yield "statement-signed", f"{entry.type} of {signer}: {error}"
        return
    for name, expected, got in kind.read(register, payload, body):
        if expected != got:
            text = f"{name}: signed was {expected!r:.100}, the entry says {got!r:.100}"
            yield "statement-follows", f"{entry.type} of {signer}: {text}"


def _signer(register: Register, field: str, body: Body) -> tuple[str, Ed25519PublicKey]:
    """Who signs: the registrar, or the participant that a field names."""
    if not field:
        key = bytes.fromhex(register.registrar_key)
        return "the registrar", Ed25519PublicKey.from_public_bytes(key)
    signer = register.person(body[field])
    return signer.id, Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.receipt_key))


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


def _offer(register: Register, payload: Json, body: Body) -> Iterator[tuple[str, object, object]]:
    signed = SignedOffer.from_json(payload)
    for name in ("offer", "product", "participant", "auto_agree", "document"):
        yield name, getattr(signed, name), body[name]
    yield "digest", digest_of(signed.to_json()), body["digest"]
    product = register.products.get(signed.product)
    owner = product.body["participant"] if product else ""
    yield "the product's owner", owner, body["participant"]


def _verification(
    _register: Register, payload: Json, body: Body
) -> Iterator[tuple[str, object, object]]:
    signed = VerifiedAgreement.from_json(payload)
    yield "participant", signed.participant, body["assignee"]
    yield "document", signed.document, body["document"]


_Read = Callable[[Register, Json, Body], Iterator[tuple[str, object, object]]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One signature in an entry of a type.

    Attributes:
        field: of the body, which holds the envelope.
        signer: field that names the signer; "" is the registrar.
        read: what was signed, and what the entry says.
        optional: there may be none.
    """

    field: str
    payload_type: str
    signer: str
    read: _Read
    optional: bool = False


_KINDS: Final[Mapping[str, tuple[_Kind, ...]]] = MappingProxyType(
    {
        "ProductRegistered": (_Kind("envelope", PRODUCT_TYPE, "participant", _product),),
        "AgreementConcluded": (
            _Kind("envelope", AGREEMENT_TYPE, "assigner", _agreement),
            _Kind("verification", VERIFICATION_TYPE, "assignee", _verification, optional=True),
        ),
        "ConsentWithdrawn": (_Kind("envelope", WITHDRAWAL_TYPE, "participant", _withdrawal),),
        "CertificateIssued": (_Kind("envelope", CERTIFICATE_TYPE, "", _certificate),),
        "OfferPublished": (_Kind("envelope", OFFER_TYPE, "participant", _offer),),
    }
)
