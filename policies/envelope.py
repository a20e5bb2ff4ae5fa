"""Signed statements: DSSE envelopes over canonical JSON, Ed25519.

Format: Dead Simple Signing Envelope v1 (secure-systems-lab/dsse). The signature covers the
pre-authentication encoding of payload type and payload, so a receipt can never pass as a permit.
An envelope of ours carries exactly one signature, and its own bytes are canonical JSON.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope

from policies.canonical import Json, canonical_bytes, parse_canonical, sha256_hex
from policies.ed25519 import verify_signature
from policies.errors import DocumentError, SignatureError

# Base64 makes a payload a third longer. So every entry of 1 MiB, the most that the log takes, still
# fits when a permit carries it with its proof: what was logged can always be signed and opened.
MAX_ENVELOPE_BYTES = 2 << 20


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw 32-byte public key, in hexadecimal: how a key is named everywhere."""
    return sha256_hex(key.public_bytes_raw())


def sign_envelope(payload: object, *, payload_type: str, key: Ed25519PrivateKey) -> bytes:
    """A DSSE envelope (canonical JSON bytes) over the canonical bytes of `payload`.

    Raises:
        DocumentError: the payload has no canonical form, or the envelope would be too large to
            be opened again.
    """
    body = canonical_bytes(payload)
    signature = key.sign(Envelope(body, payload_type, {}).pae())
    envelope = canonical_bytes(
        {
            "payload": base64.b64encode(body).decode(),
            "payloadType": payload_type,
            "signatures": [
                {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}
            ],
        }
    )
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise DocumentError(
            "$", f"an envelope of at most {MAX_ENVELOPE_BYTES} bytes", f"{len(envelope)} bytes"
        )
    return envelope


def open_envelope(data: bytes, *, payload_type: str, key: Ed25519PublicKey) -> Json:
    """The payload of an envelope that `key` signed; see `signed_payload`."""
    return signed_payload(data, payload_type=payload_type, key=key)[0]


def signed_payload(data: bytes, *, payload_type: str, key: Ed25519PublicKey) -> tuple[Json, bytes]:
    """The payload of an envelope that `key` signed, and its canonical bytes.

    Args:
        data: the envelope, at most `MAX_ENVELOPE_BYTES`.
        payload_type: the only type accepted.
        key: the signer's enrolled public key (checked for low order at enrolment).

    Raises:
        DocumentError: malformed, too large, another payload type.
        SignatureError: signed by another key, or the signature does not hold.
    """
    body, keyid, signature = _split(data, payload_type)
    if not hmac.compare_digest(keyid, key_id(key)):
        raise SignatureError(
            f"envelope of type {payload_type}: expected a signature by key {key_id(key)[:16]}…, "
            f"got one by {keyid[:16]}…"
        )
    try:
        verify_signature(key, signature, Envelope(body, payload_type, {}).pae())
    except InvalidSignature as error:
        raise SignatureError(
            f"envelope of type {payload_type}: the signature by key {keyid[:16]}… does not hold; "
            "the envelope was changed after signing, or was never signed by that key"
        ) from error
    return parse_canonical(body, max_bytes=MAX_ENVELOPE_BYTES), body


def unverified_payload(data: bytes, *, payload_type: str) -> Json:
    """The payload without checking who signed: only to learn which key to check against."""
    body, _, _ = _split(data, payload_type)
    return parse_canonical(body, max_bytes=MAX_ENVELOPE_BYTES)


def _split(data: bytes, payload_type: str) -> tuple[bytes, str, bytes]:
    """Payload, key id and signature of a well-formed envelope."""
    outer = parse_canonical(data, max_bytes=MAX_ENVELOPE_BYTES)
    if not isinstance(outer, dict) or set(outer) != {"payload", "payloadType", "signatures"}:
        raise DocumentError("$", "a DSSE envelope", "other fields")
    if outer["payloadType"] != payload_type:
        raise DocumentError("$.payloadType", payload_type, str(outer["payloadType"])[:80])
    signatures = outer["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise DocumentError("$.signatures", "exactly one signature", "another number")
    entry = signatures[0]
    if not isinstance(entry, dict) or set(entry) != {"keyid", "sig"}:
        raise DocumentError("$.signatures[0]", "keyid and sig", "other fields")
    keyid = entry["keyid"]
    if not isinstance(keyid, str) or not keyid.isascii():
        raise DocumentError("$.signatures[0].keyid", "a hexadecimal string", "something else")
    return _b64(outer["payload"], "$.payload"), keyid, _b64(entry["sig"], "$.signatures[0].sig")


def _b64(value: Json, where: str) -> bytes:
    if not isinstance(value, str):
        raise DocumentError(where, "base64", type(value).__name__)
    try:
        data = binascii.a2b_base64(value)
        if binascii.b2a_base64(data, newline=False).decode() == value:
            return data
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DocumentError(where, "base64", "something else") from error
    raise DocumentError(where, "canonical base64", "another spelling")
