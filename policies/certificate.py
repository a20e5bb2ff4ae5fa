"""Product certificates: the registrar's word that one version of a product is registered.

    {"version": 1, "serial": "certificate-…", "product": "clinic-a/ecg", "digest": "…",
     "owner": "clinic-a", "issuer": "space.example/health",
     "not_before": "2026-01-31T08:00:00.000Z", "not_after": "2027-01-31T08:00:00.000Z"}

in a DSSE envelope signed with the space's registrar key (`SpaceCard.registrar_key`). `digest` is
the SHA-256 of the owner's card in canonical JSON, so that a certificate speaks of one version only.
That one was revoked stands in the space's log, never in the certificate.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field

from policies.envelope import open_envelope, sign_envelope
from policies.errors import DocumentError
from policies.fields import Document, Id, Instant, ParticipantId, Sha256, Version, parse_instant

MAX_DAYS = 3650  # that a certificate may be valid
CERTIFICATE_TYPE = "application/vnd.tdspace.certificate+json"

Validity = Literal["valid", "not-yet-valid", "expired"]


class Certificate(Document):
    """What the registrar signs.

    Attributes:
        serial: unguessable, never used again.
        digest: of the product's card.
        issuer: name of the space whose registrar signed.
        not_before, not_after: valid from the first moment until just before the second.
    """

    version: Version
    serial: Annotated[str, Field(pattern=r"^certificate-[0-9a-f]{32}$")]
    product: Id
    digest: Sha256
    owner: ParticipantId
    issuer: Id
    not_before: Instant
    not_after: Instant

    def validity(self, now: datetime) -> Validity:
        """As `validity` says of its two moments."""
        return validity(self.not_before, self.not_after, now)


def validity(not_before: str, not_after: str, now: datetime) -> Validity:
    """Whether a moment lies in a certificate's time; revocation is another matter.

    Args:
        not_before, not_after: as `policies.fields.instant` spells them.
        now: aware.
    """
    if now < parse_instant(not_before):
        return "not-yet-valid"
    return "expired" if now >= parse_instant(not_after) else "valid"


def sign_certificate(certificate: Certificate, key: Ed25519PrivateKey) -> bytes:
    """The envelope.

    Raises:
        DocumentError: `open_certificate` would refuse it.
    """
    _check(certificate)
    return sign_envelope(certificate.to_json(), payload_type=CERTIFICATE_TYPE, key=key)


def open_certificate(envelope: bytes, key: Ed25519PublicKey, *, issuer: str) -> Certificate:
    """The certificate in an envelope that the registrar of `issuer` signed.

    Args:
        key: the space's registrar key.
        issuer: the space's name.

    Raises:
        DocumentError: malformed, an unknown field, another issuer, or it ends before it begins.
        SignatureError: signed by another key, or changed.
    """
    payload = open_envelope(envelope, payload_type=CERTIFICATE_TYPE, key=key)
    certificate = Certificate.from_json(payload)
    if certificate.issuer != issuer:
        raise DocumentError("$.issuer", issuer, certificate.issuer)
    _check(certificate)
    return certificate


def _check(certificate: Certificate) -> None:
    start, end = parse_instant(certificate.not_before), parse_instant(certificate.not_after)
    if start >= end:
        raise DocumentError(
            "$.not_after", f"a moment after {certificate.not_before}", certificate.not_after
        )
