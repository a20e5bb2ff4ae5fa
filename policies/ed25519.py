"""Whether an Ed25519 signature holds (RFC 8032): OpenSSL's answer, mostly from libsodium.

libsodium takes little more than half of OpenSSL's time. Both compare the encoding of [S]B - [k]A
with R without multiplying by the cofactor, and refuse an S that is not reduced; libsodium refuses,
beyond that, keys and R of low order and keys that are not canonical. So what libsodium accepts
OpenSSL accepts too, and what it refuses OpenSSL decides: everybody gets the same answer as from
OpenSSL alone, whoever asked.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

SIGNATURE_BYTES = 64


def verify_signature(key: Ed25519PublicKey, signature: bytes, message: bytes) -> None:
    """Returns only if the signature holds.

    Raises:
        InvalidSignature: of `cryptography`; it does not.
    """
    if len(signature) == SIGNATURE_BYTES:
        try:
            crypto_sign_open(signature + message, key.public_bytes_raw())
        except (CryptoError, ValueError):
            pass  # for OpenSSL to say
        else:
            return
    key.verify(signature, message)
