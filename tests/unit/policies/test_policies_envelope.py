"""Envelopes: the signer's payload comes back, and any change whatever is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies import envelope
from policies.canonical import canonical_bytes, sha256_hex
from policies.entries import MAX_ENTRY_BYTES
from policies.envelope import (
    MAX_ENVELOPE_BYTES,
    key_id,
    open_envelope,
    sign_envelope,
    unverified_payload,
)
from policies.errors import DocumentError, PolicyError, SignatureError

TYPE = "application/vnd.tdspace.test+json"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
PAYLOAD: dict[str, Any] = {"b": [1, None, "中文"], "a": {"x": True}}
SIGNED = sign_envelope(PAYLOAD, payload_type=TYPE, key=KEY)


def opened(data: bytes, *, payload_type: str = TYPE, key: Ed25519PrivateKey = KEY) -> object:
    return open_envelope(data, payload_type=payload_type, key=key.public_key())


def changed(change: Callable[[Any], object]) -> bytes:
    """The envelope with one change, spelled canonically again."""
    outer = json.loads(SIGNED)
    change(outer)
    return canonical_bytes(outer)


def signature(**fields: object) -> Callable[[Any], None]:
    return lambda outer: outer["signatures"][0].update(fields)


def signed_body(body: bytes) -> bytes:
    """An envelope that holds, over any bytes: what a careless signer could make."""
    pae = b"DSSEv1 %d %b %d %b" % (len(TYPE), TYPE.encode(), len(body), body)
    sig = base64.b64encode(KEY.sign(pae)).decode()
    return changed(
        lambda outer: outer.update(
            payload=base64.b64encode(body).decode(),
            signatures=[{"keyid": key_id(KEY.public_key()), "sig": sig}],
        )
    )


def test_the_payload_comes_back() -> None:
    assert opened(SIGNED) == PAYLOAD
    assert unverified_payload(SIGNED, payload_type=TYPE) == PAYLOAD
    assert sign_envelope(PAYLOAD, payload_type=TYPE, key=KEY) == SIGNED


def test_the_signature_is_over_dsse_pre_authentication_encoding() -> None:
    assert signed_body(canonical_bytes(PAYLOAD)) == SIGNED


def test_a_key_is_named_by_the_digest_of_its_raw_bytes() -> None:
    public = KEY.public_key()
    assert key_id(public) == sha256_hex(public.public_bytes_raw())
    assert json.loads(SIGNED)["signatures"][0]["keyid"] == key_id(public)


def test_any_flipped_bit_is_refused() -> None:
    for place in range(len(SIGNED)):
        data = bytearray(SIGNED)
        data[place] ^= 1 << place % 8
        with pytest.raises(PolicyError):
            opened(bytes(data))


def test_any_cut_is_refused() -> None:
    for size in range(len(SIGNED)):
        with pytest.raises(DocumentError):
            opened(SIGNED[:size])


@pytest.mark.parametrize(
    ("data", "where", "expected"),
    [
        (SIGNED + b"\n", "$", "canonical JSON"),
        (json.dumps(json.loads(SIGNED)).encode(), "$", "canonical JSON"),
        (SIGNED.replace(b'"signatures"', b'"payload":"","signatures"'), "$", "each key once"),
        (b"[]", "$", "a DSSE envelope"),
        (b"null", "$", "a DSSE envelope"),
        (changed(lambda outer: outer.update(extra=1)), "$", "a DSSE envelope"),
        (changed(lambda outer: outer.pop("payload")), "$", "a DSSE envelope"),
        (changed(lambda outer: outer.update(payloadType="x")), "$.payloadType", TYPE),
        (changed(lambda outer: outer.update(payloadType=None)), "$.payloadType", TYPE),
        (changed(lambda outer: outer.update(signatures=[])), "$.signatures", "exactly one"),
        (changed(lambda outer: outer.update(signatures={})), "$.signatures", "exactly one"),
        (
            changed(lambda outer: outer["signatures"].append(outer["signatures"][0])),
            "$.signatures",
            "exactly one",
        ),
        (
            changed(lambda outer: outer.update(signatures=["x"])),
            "$.signatures[0]",
            "keyid and sig",
        ),
        (changed(signature(extra="x")), "$.signatures[0]", "keyid and sig"),
        (
            changed(lambda outer: outer["signatures"][0].pop("keyid")),
            "$.signatures[0]",
            "keyid and sig",
        ),
        (changed(signature(keyid=1)), "$.signatures[0].keyid", "hexadecimal"),
        (changed(signature(keyid="é")), "$.signatures[0].keyid", "hexadecimal"),
        (changed(signature(sig=None)), "$.signatures[0].sig", "base64"),
        (changed(signature(sig="é")), "$.signatures[0].sig", "base64"),
        (changed(signature(sig="AAA")), "$.signatures[0].sig", "base64"),
        (changed(signature(sig="A-_A")), "$.signatures[0].sig", "base64"),
        (changed(signature(sig="AB==")), "$.signatures[0].sig", "canonical base64"),
        (changed(lambda outer: outer.update(payload=7)), "$.payload", "base64"),
        (changed(lambda outer: outer.update(payload="e30=\n")), "$.payload", "base64"),
        (b" " * (MAX_ENVELOPE_BYTES + 1), "$", f"at most {MAX_ENVELOPE_BYTES} bytes"),
        (signed_body(b'{"a": 1}'), "$", "canonical JSON"),
        (signed_body(b"[0.5]"), "$", "integers only"),
        (signed_body(b"\xff"), "$", "UTF-8"),
        (signed_body(b""), "$", "JSON"),
    ],
)
def test_malformed(data: bytes, where: str, expected: str) -> None:
    for read in (opened, lambda data: unverified_payload(data, payload_type=TYPE)):
        with pytest.raises(DocumentError) as caught:
            read(data)
        assert caught.value.where == where
        assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (sign_envelope(PAYLOAD, payload_type=TYPE, key=OTHER), "expected a signature by key"),
        (changed(signature(keyid="0" * 64)), "expected a signature by key"),
        (changed(signature(keyid="")), "expected a signature by key"),
        (changed(signature(keyid=key_id(KEY.public_key()).upper())), "expected a signature"),
        (changed(signature(sig="")), "does not hold"),
        (changed(signature(sig=base64.b64encode(bytes(64)).decode())), "does not hold"),
        (changed(signature(sig=base64.b64encode(bytes(65)).decode())), "does not hold"),
        (changed(lambda outer: outer.update(payload="e30=")), "does not hold"),
    ],
)
def test_not_signed_by_the_expected_key(data: bytes, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        opened(data)


def test_another_key_with_the_same_name_does_not_help() -> None:
    foreign = json.loads(sign_envelope(PAYLOAD, payload_type=TYPE, key=OTHER))
    data = changed(signature(sig=foreign["signatures"][0]["sig"]))
    with pytest.raises(SignatureError, match="does not hold"):
        opened(data)


def test_the_type_is_signed_too() -> None:
    relabelled = changed(lambda outer: outer.update(payloadType="application/other"))
    with pytest.raises(DocumentError, match=r"\$\.payloadType"):
        opened(SIGNED, payload_type="application/other")
    with pytest.raises(SignatureError, match="does not hold"):
        opened(relabelled, payload_type="application/other")


@pytest.mark.parametrize("payload", [0.5, {"a": b""}, {"a": "\ud800"}, 2**53])
def test_what_has_no_canonical_form_is_not_signed(payload: object) -> None:
    with pytest.raises(DocumentError):
        sign_envelope(payload, payload_type=TYPE, key=KEY)


def test_the_largest_log_entry_still_fits_with_proof_and_checkpoint() -> None:
    payload = {"body": "x" * MAX_ENTRY_BYTES, "log": "x" * (63 * 67 + 4096)}
    assert opened(sign_envelope(payload, payload_type=TYPE, key=KEY)) == payload


def test_nothing_is_signed_that_could_not_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "MAX_ENVELOPE_BYTES", len(SIGNED))
    assert opened(sign_envelope(PAYLOAD, payload_type=TYPE, key=KEY)) == PAYLOAD
    monkeypatch.setattr(envelope, "MAX_ENVELOPE_BYTES", len(SIGNED) - 1)
    with pytest.raises(DocumentError, match="an envelope of at most"):
        sign_envelope(PAYLOAD, payload_type=TYPE, key=KEY)
