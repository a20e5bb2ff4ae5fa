"""One-time masks that only governance and one node can compute (DESIGN.md, steps 8 and 9).

    node         x, X = x*G      one-time X25519 pair for each use; X stands in the signed receipt
    governance   y, Y = y*G      one-time X25519 pair for each permit; Y stands in the permit
    k            HKDF-SHA256(X25519(x, Y) = X25519(y, X), salt = digest of the permit's body,
                 info = "tdspace mask v1" 0 space 0 participant 0 product), 16 bytes
    mask         AES-128-CTR(k) from counter 0, taken as little-endian words

(RFC 7748, RFC 5869, NIST SP 800-38A.) To whoever knows neither x nor y, a masked vector is uniform
and independent of what it holds, as far as AES-128 is a pseudo-random function and the gap
Diffie-Hellman problem is hard in Curve25519. The salt binds a mask to one permit and the info to
one participant's product, so no two uses share a mask, whatever keys were sent. A key is for one
vector: whoever masks two with it gives their difference away. Once governance forgets y and the
node x, nobody can compute the mask again.

A public key has one spelling (64 lower-case hexadecimal digits of a u below 2^255 - 19); one of low
order is refused, since everybody knows what the exchange with it gives.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from policies.errors import MaskKeyError
from policies.privacy import WordBits
from policies.words import MOST_WORDS, Words, word_type, zeros

MASK_DOMAIN: Final = b"tdspace mask v1"
KEY_BYTES: Final = 16
CHUNK_BYTES: Final = 256 << 10
_BLOCK_BYTES: Final = 16
_PRIME: Final = (1 << 255) - 19
_SHA256_OR_KEY: Final = re.compile(r"[0-9a-f]{64}")
# Whatever a private half is, with a point of low order the exchange gives zero: to find that out, a
# half that everybody knows is as good as a fresh one, and takes half the time.
_PROBE: Final = X25519PrivateKey.from_private_bytes(bytes(range(32)))
_ZEROS: Final = memoryview(bytes(CHUNK_BYTES))
_WORD_TYPES: Final = (word_type(32), word_type(64))


def new_private_key() -> X25519PrivateKey:
    """A fresh one-time key, from the operating system's randomness."""
    return X25519PrivateKey.generate()


def public_key(private: X25519PrivateKey) -> str:
    """Its public half, as permits and receipts hold it."""
    return private.public_key().public_bytes_raw().hex()


def parse_public_key(text: str) -> X25519PublicKey:
    """The other's public half.

    Raises:
        MaskKeyError: another spelling, or a key of low order.
    """
    key = _parsed(text)
    _exchange(_PROBE, key)
    return key


def shared_secret(private: X25519PrivateKey, public: str) -> bytes:
    """What only the holders of the two private halves can compute; 32 bytes that are no key yet.

    Raises:
        MaskKeyError: another spelling, or a key of low order.
    """
    return _exchange(private, _parsed(public))


def mask_key(
    private: X25519PrivateKey,
    public: str,
    *,
    permit: str,
    space: str,
    participant: str,
    product: str,
) -> bytes:
    """The key of the one mask of this use, the same from either side's private half.

    Args:
        private: one's own one-time key.
        public: the other's, from the permit or the receipt.
        permit: digest of the permit's body.

    Raises:
        MaskKeyError: the other's key is malformed or of low order, `permit` is no SHA-256, or a
            name holds a zero byte.
    """
    if not _SHA256_OR_KEY.fullmatch(permit):
        raise MaskKeyError("permit: expected a SHA-256, got something else")
    names = (space.encode(), participant.encode(), product.encode())
    if any(b"\0" in name for name in names):
        raise MaskKeyError("names: expected no zero byte, which parts them, got one")
    kdf = HKDF(
        algorithm=SHA256(),
        length=KEY_BYTES,
        salt=bytes.fromhex(permit),
        info=b"\0".join((MASK_DOMAIN, *names)),
    )
    return kdf.derive(shared_secret(private, public))


def add_mask(words: Words, key: bytes) -> None:
    """Add the key's mask to a vector in place, modulo 2^word_bits.

    The same key must never be used for another vector.
    """
    for part, mask in _beside(words, [key]):
        np.add(part, mask, out=part)


def subtract_mask(words: Words, key: bytes) -> None:
    """Take the key's mask off a vector in place, modulo 2^word_bits."""
    for part, mask in _beside(words, [key]):
        np.subtract(part, mask, out=part)


def sum_masks(keys: Iterable[bytes], words: int, word_bits: WordBits) -> Words:
    """The sum of several keys' masks, modulo 2^word_bits.

    Raises:
        MaskKeyError: no key, or one twice, as no sum over different uses has it.
    """
    given = list(keys)
    if not given or len(set(given)) != len(given):
        raise MaskKeyError("masks: expected one key for each use, got none, or one twice")
    if not 1 <= words <= MOST_WORDS:
        raise MaskKeyError(f"masks: expected 1 to {MOST_WORDS} words, got {words}")
    total = zeros(words, word_bits)
    for part, mask in _beside(total, given):
        np.add(part, mask, out=part)
    return total


def _beside(words: Words, keys: Sequence[bytes]) -> Iterator[tuple[Words, Words]]:
    """Each chunk of a vector beside each key's mask for it; the next overwrites the mask.

    Chunk by chunk, all keys of one before the next: a chunk and its mask stay in a core's cache.
    """
    if words.dtype not in _WORD_TYPES or words.ndim != 1:
        raise MaskKeyError("masks: expected a row of words of 32 or 64 bits, got something else")
    streams = [_key_stream(key) for key in keys]
    buffer = bytearray(CHUNK_BYTES + _BLOCK_BYTES - 1)  # as `update_into` asks for
    step = CHUNK_BYTES // words.itemsize
    for at in range(0, words.size, step):
        part = words[at : at + step]
        mask = np.frombuffer(buffer, words.dtype, part.size)
        for stream in streams:
            stream.update_into(_ZEROS[: part.nbytes], buffer)
            yield part, mask


def _key_stream(key: bytes) -> CipherContext:
    if len(key) != KEY_BYTES:
        raise MaskKeyError(f"masks: expected a key of {KEY_BYTES} bytes, got {len(key)}")
    return Cipher(AES128(key), CTR(bytes(_BLOCK_BYTES))).encryptor()


def _parsed(text: str) -> X25519PublicKey:
    if not _SHA256_OR_KEY.fullmatch(text):
        raise MaskKeyError("mask key: expected 64 digits of 0-9 and a-f, got something else")
    raw = bytes.fromhex(text)
    if int.from_bytes(raw, "little") >= _PRIME:
        raise MaskKeyError("mask key: expected a number below 2^255 - 19, got a larger one")
    return X25519PublicKey.from_public_bytes(raw)


def _exchange(private: X25519PrivateKey, public: X25519PublicKey) -> bytes:
    try:
        secret = private.exchange(public)
    except ValueError as error:  # what OpenSSL says of an all-zero secret (RFC 7748, section 6.1)
        raise _low_order() from error
    # Checked again: that the library refuses it is not for every one of its backends to keep.
    if hmac.compare_digest(secret, bytes(len(secret))):
        raise _low_order()
    return secret


def _low_order() -> MaskKeyError:
    return MaskKeyError(
        "mask key: expected a key whose exchange is secret, got one of low order; whoever sent it "
        "does not follow the protocol"
    )
