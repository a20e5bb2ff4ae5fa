"""The space's certificates: one CA, two servers, and a client certificate for each participant.

Keys are NIST EC. A client certificate names who calls in one SAN URI,
`tds://<space>/<role>/<participant>`; its subject is for people and is never read. The CA signs with
path length 0, so no certificate of a participant can sign another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.errors import CertificateError
from server.keys import check_size

Role = Literal["operator", "consumer", "node", "auditor"]
ROLES: Final[frozenset[str]] = frozenset(get_args(Role))

CA_VALID: Final = timedelta(days=3652)
SERVER_VALID: Final = timedelta(days=825)
CLIENT_VALID: Final = timedelta(days=365)
CLOCK_SKEW: Final = timedelta(minutes=5)
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """The space's CA, able to sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """What everybody trusts."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The CA's secret, PKCS #8."""
        return _key_pem(self.key)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client certificate names; the TLS handshake has checked chain and dates."""

    space: str
    role: str
    participant: str

    @property
    def uri(self) -> str:
        """How it stands in the certificate."""
        return f"tds://{self.space}/{self.role}/{self.participant}"


def create_ca(name: str, *, now: datetime, valid: timedelta = CA_VALID) -> Authority:
    """A new CA for a space (P-256; keyCertSign only; path length 0)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"{name} CA")
    builder = (
        _builder(subject, subject, key.public_key(), key.public_key(), now, valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def load_ca(certificate_pem: bytes, key_pem: bytes) -> Authority:
    """The CA from its two files.

    Raises:
        CertificateError: malformed, or the key is not the certificate's.
    """
    certificate = _load_certificate(certificate_pem)
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError("CA key: expected a PEM private key without password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"CA key: expected a NIST EC key, got {type(key).__name__}")
    if key.public_key() != certificate.public_key():
        raise CertificateError("CA key: expected the key of ca.crt, got another one")
    return Authority(certificate, key)


def issue_server(
    ca: Authority, hosts: Iterable[str], *, now: datetime, valid: timedelta = SERVER_VALID
) -> Issued:
    """A TLS server certificate for these names and addresses, and always for this machine's own.

    Raises:
        CertificateError: a host that no certificate can name.
    """
    names = list(dict.fromkeys([*hosts, *LOCAL_HOSTS]))
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([_host(name) for name in names])
    usage = ExtendedKeyUsageOID.SERVER_AUTH
    certificate = _issue(ca, _subject(names[0]), key.public_key(), alternatives, usage, now, valid)
    return Issued(certificate, _key_pem(key))


def issue_client(
    ca: Authority,
    public_key: ec.EllipticCurvePublicKey,
    identity: Identity,
    *,
    now: datetime,
    valid: timedelta = CLIENT_VALID,
) -> bytes:
    """A client certificate (PEM) that names `identity`.

    Raises:
        CertificateError: an unknown role.
    """
    if identity.role not in ROLES:
        raise CertificateError(f"role: expected one of {sorted(ROLES)}, got {identity.role!r:.40}")
    alternatives = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)])
    usage = ExtendedKeyUsageOID.CLIENT_AUTH
    subject = _subject(identity.participant)
    return _issue(ca, subject, public_key, alternatives, usage, now, valid)


def new_client(
    ca: Authority, identity: Identity, *, now: datetime, valid: timedelta = CLIENT_VALID
) -> Issued:
    """As `issue_client`, with a new P-256 key: for the operator's own machine only."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Issued(issue_client(ca, key.public_key(), identity, now=now, valid=valid), _key_pem(key))


def reissue(ca: Authority, held: x509.Certificate, *, now: datetime) -> bytes:
    """A certificate (PEM) for the key, the names and the use of one that this CA issued before.

    Raises:
        CertificateError: another CA's, or none that this module issues.
    """
    key = held.public_key()
    try:
        held.verify_directly_issued_by(ca.certificate)
        names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        [usage] = held.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, ValueError, TypeError) as error:
        raise CertificateError("certificate: expected one that this space's CA issued") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError("certificate: expected one for a NIST EC key")
    valid = SERVER_VALID if usage == ExtendedKeyUsageOID.SERVER_AUTH else CLIENT_VALID
    return _issue(ca, held.subject, key, names, usage, now, valid)


def parse_identity(certificate_pem: bytes) -> Identity:
    """Who a client certificate names. Call it only on what the TLS handshake accepted.

    Raises:
        CertificateError: not for clients, or not exactly one `tds://` name with a known role.
    """
    certificate = _load_certificate(certificate_pem)
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateError("certificate: expected a client's, with a tds:// name") from error
    if list(usage) != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        raise CertificateError("certificate: expected one for clients, got another's")
    uris = san.get_values_for_type(x509.UniformResourceIdentifier)
    parts = uris[0].removeprefix("tds://").rsplit("/", 2) if len(uris) == 1 else []
    if len(list(san)) != 1 or len(parts) != 3 or not uris[0].startswith("tds://"):
        raise CertificateError("certificate: expected one name tds://space/role/participant")
    identity = Identity(space=parts[0], role=parts[1], participant=parts[2])
    if identity.role not in ROLES or not identity.space or not identity.participant:
        raise CertificateError(f"certificate: expected a known role, got {uris[0]!r:.120}")
    return identity


def valid_until(certificate_pem: bytes, *, now: datetime) -> datetime:
    """When a certificate that is valid now ends.

    Raises:
        CertificateError: malformed, not valid yet, or expired.
    """
    certificate = _load_certificate(certificate_pem)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now < end:
        raise CertificateError(f"certificate: expected one that is valid now, got {start} to {end}")
    return end


def _load_certificate(pem: bytes) -> x509.Certificate:
    check_size(pem, "certificate")
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateError("certificate: expected X.509 in PEM") from error


def _issue(
    ca: Authority,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    alternatives: x509.SubjectAlternativeName,
    usage: x509.ObjectIdentifier,
    now: datetime,
    valid: timedelta,
) -> bytes:
    issuer_key = ca.key.public_key()
    certificate = (
        _builder(subject, ca.certificate.subject, key, issuer_key, now, valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(alternatives, critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
    valid: timedelta,
) -> x509.CertificateBuilder:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority, critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> x509.Name:
    # X.520 bounds a common name to 64 characters; it is for people only.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise CertificateError(
            f"host: expected a DNS name or an address, got {name!r:.80}"
        ) from error


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
