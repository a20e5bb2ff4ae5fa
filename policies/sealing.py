"""Disclosures: what opens a commitment, sealed to whoever may read it.

HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; one encapsulation
for each recipient. `info` names purpose, space and commitment, so that a text sealed for one place
opens in no other. Base mode authenticates no sender: that the text is the one which was meant
follows from its commitment in the log, which is checked after every opening.

A disclosure's file is `<commitment>.json`, canonical JSON:

    {"commitment": hex, "recipients": [{"ciphertext": base64, "enc": base64, "key_id": hex}, …],
     "version": 1}
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import Field

from policies.canonical import canonical_bytes, parse_canonical, sha256_hex
from policies.disclosure import MAX_OPENING_BYTES, Opening, parse_opening
from policies.errors import DocumentError, SealError
from policies.fields import Document, Sha256, Version

SEAL_DOMAIN: Final = b"tdspace-disclosure/v1"
ENC_BYTES: Final = 32
TAG_BYTES: Final = 16
MAX_RECIPIENTS: Final = 4096
MAX_SEALED_BYTES: Final = 64 << 20
_MAX_BASE64: Final = (MAX_OPENING_BYTES + TAG_BYTES + 2) // 3 * 4
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class _Recipient(Document):
    key_id: Sha256
    enc: Annotated[str, Field(max_length=44)]
    ciphertext: Annotated[str, Field(max_length=_MAX_BASE64)]


class _File(Document):
    version: Version
    commitment: Sha256
    recipients: Annotated[list[_Recipient], Field(min_length=1, max_length=MAX_RECIPIENTS)]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A disclosure; `shares` is what each key id can open, `enc` and ciphertext in one."""

    commitment: str
    shares: dict[str, bytes]

    def to_bytes(self) -> bytes:
        """The file; recipients in the order of their key ids."""
        recipients = [
            {
                "key_id": key,
                "enc": base64.b64encode(self.shares[key][:ENC_BYTES]).decode(),
                "ciphertext": base64.b64encode(self.shares[key][ENC_BYTES:]).decode(),
            }
            for key in sorted(self.shares)
        ]
        return canonical_bytes(
            {"version": 1, "commitment": self.commitment, "recipients": recipients}
        )


def parse_private_disclosure_key(data: bytes) -> X25519PrivateKey:
    """A private key as its file holds it: PKCS #8 in PEM, without password.

    Raises:
        DocumentError: something else; nothing of it stands in the text.
    """
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DocumentError(
            "disclosure key", "an X25519 private key in PEM, without password", "something else"
        ) from error
    if not isinstance(key, X25519PrivateKey):
        raise DocumentError("disclosure key", "an X25519 private key", "another kind of key")
    return key


def private_disclosure_key_file(key: X25519PrivateKey) -> bytes:
    """What such a file holds."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def disclosure_key_id(key: X25519PublicKey) -> str:
    """SHA-256 of the raw public key in hexadecimal, as for every key."""
    return sha256_hex(key.public_bytes_raw())


def parse_disclosure_key(data: bytes) -> X25519PublicKey:
    """A raw X25519 public key that a secret can be shared with.

    Raises:
        DocumentError: not 32 bytes, or of low order.
    """
    try:
        key = X25519PublicKey.from_public_bytes(data)
        # With a point of small order the shared secret would be no secret: the exchange refuses it.
        X25519PrivateKey.generate().exchange(key)
    except ValueError as error:
        raise DocumentError(
            "disclosure key", "an X25519 public key of 32 bytes", "another value"
        ) from error
    return key


def seal(opening: Opening, recipients: Iterable[X25519PublicKey], *, space: str) -> Sealed:
    """Seal to each recipient; randomness is the library's own.

    Raises:
        DocumentError: the opening is too large, or recipients are none or too many.
    """
    return reseal(Sealed(opening.commitment, {}), opening, recipients, space=space)


def reseal(
    sealed: Sealed, opening: Opening, recipients: Iterable[X25519PublicKey], *, space: str
) -> Sealed:
    """The same disclosure for these recipients as well; what there is stays as it is."""
    if opening.commitment != sealed.commitment:
        raise SealError(f"disclosure {sealed.commitment}: expected what opens it, got another")
    text, info = opening.to_bytes(), _info(space, sealed.commitment)
    shares = dict(sealed.shares)
    for key in recipients:
        if (id := disclosure_key_id(key)) not in shares:
            shares[id] = _SUITE.encrypt(text, key, info)
    if not 1 <= len(shares) <= MAX_RECIPIENTS:
        raise DocumentError("$.recipients", f"1 to {MAX_RECIPIENTS} of them", f"{len(shares)}")
    return Sealed(sealed.commitment, shares)


def unseal(sealed: Sealed, key: X25519PrivateKey, *, space: str) -> Opening:
    """What opens the commitment, checked against it.

    Raises:
        SealError: not sealed to this key (`for_this_key` is False), altered, sealed for another
            space or commitment, or what was sealed does not open the commitment.
    """
    share = sealed.shares.get(disclosure_key_id(key.public_key()))
    if share is None:
        raise SealError(
            f"disclosure {sealed.commitment}: expected it to be sealed to this key, got "
            f"{len(sealed.shares)} others; give the key that it was sealed to",
            for_this_key=False,
        )
    try:
        text = _SUITE.decrypt(share, key, _info(space, sealed.commitment))
        opening = parse_opening(text)
    except (InvalidTag, ValueError, DocumentError) as error:
        raise SealError(
            f"disclosure {sealed.commitment}: expected it as it was sealed in space {space}, got "
            "it altered; copy the file again"
        ) from error
    if opening.commitment != sealed.commitment:
        raise SealError(
            f"disclosure {sealed.commitment}: expected what opens it, got what opens "
            f"{opening.commitment}; whoever sealed it was wrong or lied, ask the operator"
        )
    return opening


def parse_sealed(data: bytes) -> Sealed:
    """A disclosure's file, strictly.

    Raises:
        DocumentError: too large, another spelling, a recipient twice.
    """
    found = _File.from_json(parse_canonical(data, max_bytes=MAX_SEALED_BYTES))
    shares: dict[str, bytes] = {}
    for one in found.recipients:
        enc, ciphertext = _decoded(one.enc), _decoded(one.ciphertext)
        if len(enc) != ENC_BYTES or len(ciphertext) <= TAG_BYTES:
            raise DocumentError("$.recipients", f"{ENC_BYTES} bytes and a ciphertext", "less")
        shares[one.key_id] = enc + ciphertext
    sealed = Sealed(found.commitment, shares)
    if sealed.to_bytes() != data:
        raise DocumentError("$.recipients", "each once, in order", "another order or spelling")
    return sealed


def key_ids(keys: Sequence[X25519PublicKey]) -> frozenset[str]:
    """The ids of several keys."""
    return frozenset(disclosure_key_id(key) for key in keys)


def _info(space: str, commitment: str) -> bytes:
    return b"\0".join((SEAL_DOMAIN, space.encode(), commitment.encode()))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DocumentError("$.recipients", "base64", "something else") from error
