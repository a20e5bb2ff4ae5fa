"""Public keys as others send them: only NIST EC on P-256 or P-384, in one spelling."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from policies.canonical import sha256_hex
from server.errors import CertificateError

MAX_PEM_BYTES: Final = 16_384
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)


def parse_csr(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a signing request whose holder proved to hold it; nothing else in it is used.

    Raises:
        CertificateError: malformed, its signature does not hold, or no P-256 or P-384 key.
    """
    check_size(pem, "signing request")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = _nist_key(request.public_key(), "signing request")
        holds = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise CertificateError("signing request: expected PKCS #10 in PEM") from error
    if not holds:
        raise CertificateError("signing request: its signature does not hold; make a new one")
    return key


def parse_ec_public_key(pem: bytes, what: str) -> ec.EllipticCurvePublicKey:
    """A P-256 or P-384 public key from PEM; CertificateError otherwise, naming `what`."""
    check_size(pem, what)
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{what}: expected a public key in PEM") from error
    return _nist_key(key, what)


def key_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """The key's one spelling: SubjectPublicKeyInfo, PEM, named curve, uncompressed point."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_digest(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo in DER: how EC keys are told apart."""
    return sha256_hex(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def check_size(pem: bytes, what: str) -> None:
    """Returns only if `pem` is small enough to be parsed; CertificateError names `what`."""
    if len(pem) > MAX_PEM_BYTES:
        raise CertificateError(f"{what}: expected at most {MAX_PEM_BYTES} bytes, got {len(pem)}")


def _nist_key(key: object, what: str) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
        raise CertificateError(f"{what}: expected a key on NIST P-256 or P-384, got {kind}")
    return key
