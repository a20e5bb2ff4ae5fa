from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from server_site import make_csr

from server.errors import CertificateError
from server.keys import key_digest, key_pem, parse_csr, parse_ec_public_key
from server.pki import (
    CLOCK_SKEW,
    Authority,
    Identity,
    create_ca,
    issue_client,
    issue_server,
    load_ca,
    new_client,
    parse_identity,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
NODE = Identity(space="example.org/health", role="node", participant="alpha")


@pytest.fixture(scope="module")
def ca() -> Authority:
    return create_ca("example.org/health", now=NOW)


def extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


def test_the_ca_signs_certificates_and_nothing_below_it_does(ca: Authority) -> None:
    constraints = extension(ca.certificate, x509.BasicConstraints)
    usage = extension(ca.certificate, x509.KeyUsage)
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert ca.certificate.not_valid_after_utc - NOW == timedelta(days=3652)
    ca.certificate.verify_directly_issued_by(ca.certificate)


def test_a_server_certificate_names_its_hosts_and_this_machine(ca: Authority) -> None:
    issued = issue_server(ca, ["gov.example.org", "10.0.0.5"], now=NOW)
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    names = extension(certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["gov.example.org", "localhost"]
    addresses = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["10.0.0.5", "127.0.0.1"]
    usage = extension(certificate, x509.ExtendedKeyUsage)
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extension(certificate, x509.BasicConstraints).ca
    certificate.verify_directly_issued_by(ca.certificate)


def test_a_client_certificate_carries_its_identity_and_key(ca: Authority) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    pem = issue_client(ca, key.public_key(), NODE, now=NOW, valid=timedelta(days=1))
    certificate = x509.load_pem_x509_certificate(pem)
    assert parse_identity(pem) == NODE
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc == NOW - CLOCK_SKEW
    assert certificate.not_valid_after_utc == NOW + timedelta(days=1)
    assert not extension(certificate, x509.BasicConstraints).ca


def test_a_ca_is_loaded_from_its_files_and_not_with_another_key(ca: Authority) -> None:
    other = create_ca("other", now=NOW)
    assert load_ca(ca.certificate_pem, ca.key_pem).certificate == ca.certificate
    with pytest.raises(CertificateError, match=r"the key of ca\.crt"):
        load_ca(ca.certificate_pem, other.key_pem)
    with pytest.raises(CertificateError, match="PEM private key"):
        load_ca(ca.certificate_pem, b"nothing")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("server", "for clients"),
        ("ca", "client's"),
        ("garbage", r"X\.509"),
        ("large", "at most"),
    ],
)
def test_no_identity_in(ca: Authority, what: str, message: str) -> None:
    pems = {
        "server": issue_server(ca, ["a"], now=NOW).certificate,
        "ca": ca.certificate_pem,
        "garbage": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "large": b"x" * 20_000,
    }
    with pytest.raises(CertificateError, match=message):
        parse_identity(pems[what])


@pytest.mark.parametrize("role", ["", "root", "Operator"])
def test_an_unknown_role_is_not_issued(ca: Authority, role: str) -> None:
    identity = Identity(space="s", role=role, participant="p")
    with pytest.raises(CertificateError, match="role"):
        new_client(ca, identity, now=NOW)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda c: c.name)
def test_a_signing_request_yields_its_key(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    assert parse_csr(make_csr(key)) == key.public_key()


def _tampered() -> bytes:
    pem = make_csr(ec.generate_private_key(ec.SECP256R1()))
    der = bytearray(x509.load_pem_x509_csr(pem).public_bytes(encoding=Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(encoding=Encoding.PEM)


@pytest.mark.parametrize(
    ("csr", "message"),
    [
        (lambda: make_csr(ec.generate_private_key(ec.SECP521R1())), "P-256 or P-384"),
        (lambda: make_csr(ec.generate_private_key(ec.SECP256K1())), "P-256 or P-384"),
        (lambda: make_csr(rsa.generate_private_key(65537, 2048)), "P-256 or P-384"),
        (lambda: make_csr(Ed25519PrivateKey.generate()), "P-256 or P-384"),
        (_tampered, "signature does not hold"),
        (lambda: b"", "PKCS"),
        (lambda: b"x" * 20_000, "at most"),
    ],
    ids=["p521", "k1", "rsa", "ed25519", "tampered", "empty", "large"],
)
def test_a_signing_request_is_refused(csr: Any, message: str) -> None:
    with pytest.raises(CertificateError, match=message):
        parse_csr(csr())


def test_two_spellings_of_a_key_are_one_key() -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    spelled = key_pem(key).replace(b"\n", b"\r\n")
    assert key_digest(parse_ec_public_key(spelled, "key")) == key_digest(key)
