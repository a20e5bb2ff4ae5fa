"""Certificates: one accepted, and one fault each refused where it stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.canonical import canonical_bytes, parse_canonical
from policies.certificate import (
    CERTIFICATE_TYPE,
    Certificate,
    open_certificate,
    sign_certificate,
    validity,
)
from policies.envelope import sign_envelope
from policies.errors import DocumentError, SignatureError
from policies.fields import parse_instant
from policies.statements import PRODUCT_TYPE

KEY = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
SPACE = "space.example/health"
GOOD: dict[str, Any] = {
    "version": 1,
    "serial": "certificate-" + "0" * 32,
    "product": "clinic-a/ecg",
    "digest": "a" * 64,
    "owner": "clinic-a",
    "issuer": SPACE,
    "not_before": "2026-01-31T08:00:00.000Z",
    "not_after": "2027-01-31T08:00:00.000Z",
}


def test_what_the_registrar_signed_is_read_back() -> None:
    certificate = Certificate.from_json(GOOD)
    envelope = sign_certificate(certificate, KEY)
    assert open_certificate(envelope, KEY.public_key(), issuer=SPACE) == certificate
    assert certificate.to_json() == GOOD


@pytest.mark.parametrize("field", GOOD)
def test_no_field_may_be_left_out(field: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Certificate.from_json({key: value for key, value in GOOD.items() if key != field})
    assert caught.value.where == f"$.{field}"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"note": "x"}, "$.note"),
        ({"version": 2}, "$.version"),
        ({"serial": "certificate-1"}, "$.serial"),
        ({"serial": "certificate-" + "G" * 32}, "$.serial"),
        ({"product": "two words"}, "$.product"),
        ({"digest": "a" * 63}, "$.digest"),
        ({"owner": "Clinic"}, "$.owner"),
        ({"issuer": ""}, "$.issuer"),
        ({"issuer": "space.example/other"}, "$.issuer"),
        ({"not_before": "2026"}, "$.not_before"),
        ({"not_after": "2026-01-31T08:00:00.000Z"}, "$.not_after"),
        ({"not_after": "2025-01-31T08:00:00.000Z"}, "$.not_after"),
        ({"not_after": "2026-02-30T08:00:00.000Z"}, "$"),
    ],
)
def test_one_fault(changes: dict[str, Any], where: str) -> None:
    envelope = sign_envelope(GOOD | changes, payload_type=CERTIFICATE_TYPE, key=KEY)
    with pytest.raises(DocumentError) as caught:
        open_certificate(envelope, KEY.public_key(), issuer=SPACE)
    assert caught.value.where == where


def test_what_another_signed_is_no_certificate() -> None:
    other = Ed25519PrivateKey.generate()
    envelope = sign_certificate(Certificate.from_json(GOOD), other)
    with pytest.raises(SignatureError, match="expected a signature by key"):
        open_certificate(envelope, KEY.public_key(), issuer=SPACE)


def test_another_statement_of_the_registrar_is_no_certificate() -> None:
    envelope = sign_envelope(GOOD, payload_type=PRODUCT_TYPE, key=KEY)
    with pytest.raises(DocumentError, match="payloadType"):
        open_certificate(envelope, KEY.public_key(), issuer=SPACE)


def test_a_certificate_that_was_changed_is_refused() -> None:
    envelope = parse_canonical(sign_certificate(Certificate.from_json(GOOD), KEY), max_bytes=9999)
    changed = sign_certificate(Certificate.from_json(GOOD | {"owner": "clinic-b"}), KEY)
    payload = parse_canonical(changed, max_bytes=9999)
    assert isinstance(envelope, dict) and isinstance(payload, dict)
    forged = canonical_bytes(envelope | {"payload": payload["payload"]})
    with pytest.raises(SignatureError, match="does not hold"):
        open_certificate(forged, KEY.public_key(), issuer=SPACE)


def test_one_that_ends_before_it_begins_is_not_signed() -> None:
    with pytest.raises(DocumentError, match="after"):
        sign_certificate(Certificate.from_json(GOOD | {"not_after": GOOD["not_before"]}), KEY)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-0.001, "not-yet-valid"), (0, "valid"), (59.999, "valid"), (60, "expired")],
)
def test_it_is_valid_from_its_first_moment_until_just_before_its_last(
    seconds: float, expected: str
) -> None:
    start = "2026-01-31T08:00:00.000Z"
    now = parse_instant(start) + timedelta(seconds=seconds)
    assert validity(start, "2026-01-31T08:01:00.000Z", now) == expected
    certificate = Certificate.from_json(GOOD | {"not_after": "2026-01-31T08:01:00.000Z"})
    assert certificate.validity(now) == expected
