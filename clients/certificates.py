"""A participant's TLS certificate: how it is asked for, and whether what came is it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from clients.errors import IdentityError
from clients.files import read_file, replace_file

MAX_CERTIFICATE_BYTES: Final = 64 * 1024


def signing_request(path: Path, tls: ec.EllipticCurvePrivateKey, participant: str) -> bytes:
    """The PEM request for the TLS key; kept, since enrolling again must send the same bytes."""
    if path.exists():
        data = read_file(path, max_bytes=MAX_CERTIFICATE_BYTES)
        if _csr_fits(data, tls, participant):
            return data
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, participant)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    data = request.sign(tls, hashes.SHA256()).public_bytes(Encoding.PEM)
    replace_file(path, data)
    return data


def check_issued(certificate_pem: bytes, *, ca_pem: bytes, tls: ec.EllipticCurvePrivateKey) -> None:
    """Returns only if this CA issued the certificate for this key.

    Raises:
        IdentityError: malformed, another key's, or another CA's.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        authority = x509.load_pem_x509_certificate(ca_pem)
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(
            "certificate: expected one that the space's CA issued, got another "
            f"({type(error).__name__}); enrol with the join file of this space"
        ) from error
    if _spki(certificate.public_key()) != _spki(tls.public_key()):
        raise IdentityError(
            "certificate: expected one for this node's keys/tls.key, got one for another key; "
            "restore the folder from one backup, not from several"
        )


def _csr_fits(data: bytes, tls: ec.EllipticCurvePrivateKey, participant: str) -> bool:
    try:
        request = x509.load_pem_x509_csr(data)
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return False
    return [name.value for name in names] == [participant] and (
        _spki(request.public_key()) == _spki(tls.public_key())
    )


def _spki(key: object) -> bytes:
    """SubjectPublicKeyInfo of a public key; empty for a kind that has none."""
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
