"""What the secrets of a pairwise secure sum are derived from, and what binds them to their round.

    mask of a pair   HKDF-SHA256(X25519(s_u, s_v), salt = permit digest,
                     info = "tdspace pairwise mask v1" 0 space 0 u 0 v), u before v; 16 bytes, for
                     AES-128-CTR as in `policies.masks`; u adds it and v takes it off
    self-mask of u   the same of its seed, info = "tdspace self mask v1" 0 space 0 u
    shares u to v    AES-256-GCM; 32 bytes of key and 12 of nonce from HKDF-SHA256(X25519(c_u, e_v)
                     X25519(e_u, e_v), salt = permit digest,
                     info = "tdspace pairwise share v1" 0 space 0 u 0 v)

s are one-time mask keys, c one-time share keys, e enrolled keys. Both exchanges go into the key of
shares, as in HPKE's authenticated mode (RFC 9180, section 4.1): the second is secret to u and v, so
that nobody else can have written them; the first, because c_u's private half is forgotten once the
shares are made, keeps them from whoever later gets hold of u's enrolled key. The key is fresh each
time, which makes the nonce fresh, too. The additional data is the round's statement with sender,
receiver and the sender's one-time keys.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from policies.canonical import sha256_hex
from policies.ed25519 import verify_signature
from policies.errors import MaskKeyError, NotSigned, ShareNotOpened
from policies.masks import KEY_BYTES, shared_secret
from policies.pairwise_messages import OneTimeKeys
from policies.pairwise_round import PairwiseRound
from policies.shamir import SHARE_BYTES

KEYS_DOMAIN: Final = b"tdspace pairwise keys v1"
SPLIT_DOMAIN: Final = b"tdspace pairwise split v1"
SHARE_DOMAIN: Final = b"tdspace pairwise share v1"
SEED_DOMAIN: Final = b"tdspace self mask seed v1"
PAIR_MASK_DOMAIN: Final = b"tdspace pairwise mask v1"
SELF_MASK_DOMAIN: Final = b"tdspace self mask v1"
_AEAD_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


def seed_digest(terms: PairwiseRound, participant: str, seed: bytes) -> str:
    """What a node signs of its seed; of 256 random bits it tells nothing."""
    context = terms.statement(SEED_DOMAIN, participant=participant)
    return hashlib.sha256(context + b"\0" + seed).hexdigest()


def keys_statement(terms: PairwiseRound, keys: OneTimeKeys) -> bytes:
    """What the signature on one-time keys is over."""
    return terms.statement(
        KEYS_DOMAIN,
        participant=keys.participant,
        mask_key=keys.mask_key,
        share_key=keys.share_key,
        seed_digest=keys.seed_digest,
    )


def sign_split(terms: PairwiseRound, split: bytes, key: Ed25519PrivateKey) -> str:
    """A node's agreement to a split."""
    return key.sign(terms.statement(SPLIT_DOMAIN, split=sha256_hex(split))).hex()


def verify_split(terms: PairwiseRound, split: bytes, keys: OneTimeKeys, signature: str) -> None:
    """Returns only if the owner of these (verified) keys agreed to the split.

    Raises:
        NotSigned: it did not.
    """
    message = terms.statement(SPLIT_DOMAIN, split=sha256_hex(split))
    _verify(keys, signature, message, "agreement")


def verify_keys(terms: PairwiseRound, keys: OneTimeKeys) -> None:
    """Returns only if a member of the permit's cohort signed them for this permit.

    Raises:
        UnknownPeer: outside of the cohort.
        NotSigned: by another receipt key than the permit names, or not for this permit.
    """
    peer = terms.peer(keys.participant)
    if sha256_hex(bytes.fromhex(keys.receipt_key)) != peer.key:
        raise NotSigned(
            f"keys of {keys.participant}: expected receipt key {peer.key[:16]}… of the permit, got "
            "another"
        )
    _verify(keys, keys.signature, keys_statement(terms, keys), "one-time keys")


def pair_mask_key(
    terms: PairwiseRound, own: X25519PrivateKey, participant: str, other: str, other_key: str
) -> bytes:
    """The key of the mask of two participants, the same from either's private half.

    Raises:
        MaskKeyError: the other's key is malformed or of low order.
    """
    pair = sorted((participant, other))
    secret = _exchange(own, other_key, f"mask key of {other}")
    return _derive(terms, secret, PAIR_MASK_DOMAIN, pair, KEY_BYTES)


def self_mask_key(terms: PairwiseRound, participant: str, seed: bytes) -> bytes:
    """The key of the mask that takes away what the pairs' masks leave open if one drops."""
    return _derive(terms, seed, SELF_MASK_DOMAIN, [participant], KEY_BYTES)


def seal_shares(
    terms: PairwiseRound,
    keys: OneTimeKeys,
    receiver: str,
    shares: bytes,
    *,
    once: X25519PrivateKey,
    enrolled: X25519PrivateKey,
) -> str:
    """Two shares for a peer, encrypted.

    Args:
        keys: the sender's.
        once, enrolled: private halves of its share key and of its enrolled key.

    Raises:
        MaskKeyError: the peer's enrolled key is malformed or of low order.
    """
    sealing, whose = terms.peer(receiver).sealing, f"enrolled key of {receiver}"
    secret = _exchange(once, sealing, whose) + _exchange(enrolled, sealing, whose)
    key, nonce = _aead(terms, secret, keys.participant, receiver)
    return key.encrypt(nonce, shares, _additional(terms, keys, receiver)).hex()


def open_shares(
    terms: PairwiseRound, keys: OneTimeKeys, receiver: str, sealed: str, enrolled: X25519PrivateKey
) -> tuple[bytes, bytes]:
    """The shares of a peer's mask key and of its seed.

    Args:
        keys: the sender's, verified.
        enrolled: private half of the receiver's enrolled key.

    Raises:
        ShareNotOpened: altered, or not made for this receiver, this round and these keys.
        MaskKeyError: the sender's share key is of low order.
    """
    sender = terms.peer(keys.participant)
    secret = _exchange(enrolled, keys.share_key, f"share key of {sender.participant}")
    secret += _exchange(enrolled, sender.sealing, f"enrolled key of {sender.participant}")
    key, nonce = _aead(terms, secret, keys.participant, receiver)
    additional = _additional(terms, keys, receiver)
    try:
        shares = key.decrypt(nonce, bytes.fromhex(sealed), additional)
    except InvalidTag as error:
        raise ShareNotOpened(
            f"shares of {keys.participant} for {receiver}: expected them as they were encrypted "
            "for this permit, got what does not decrypt; one of the two, or whoever carried them, "
            "does not follow the protocol"
        ) from error
    return shares[:SHARE_BYTES], shares[SHARE_BYTES:]


def _exchange(own: X25519PrivateKey, other: str, whose: str) -> bytes:
    try:
        return shared_secret(own, other)
    except MaskKeyError as error:
        raise MaskKeyError(f"{whose}: {error}") from error


def _aead(terms: PairwiseRound, secret: bytes, sender: str, receiver: str) -> tuple[AESGCM, bytes]:
    size = _AEAD_KEY_BYTES + _NONCE_BYTES
    found = _derive(terms, secret, SHARE_DOMAIN, [sender, receiver], size)
    return AESGCM(found[:_AEAD_KEY_BYTES]), found[_AEAD_KEY_BYTES:]


def _additional(terms: PairwiseRound, keys: OneTimeKeys, receiver: str) -> bytes:
    return terms.statement(
        SHARE_DOMAIN,
        sender=keys.participant,
        receiver=receiver,
        mask_key=keys.mask_key,
        share_key=keys.share_key,
        seed_digest=keys.seed_digest,
    )


def _derive(
    terms: PairwiseRound, secret: bytes, domain: bytes, names: list[str], size: int
) -> bytes:
    kdf = HKDF(
        algorithm=SHA256(),
        length=size,
        salt=bytes.fromhex(terms.permit),
        info=b"\0".join([domain, *(name.encode() for name in (terms.space, *names))]),
    )
    return kdf.derive(secret)


def _verify(keys: OneTimeKeys, signature: str, message: bytes, what: str) -> None:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys.receipt_key))
        verify_signature(key, bytes.fromhex(signature), message)
    except InvalidSignature as error:
        raise NotSigned(
            f"{what} of {keys.participant}: expected its signature for this permit, got one that "
            "does not hold; whoever carried it does not follow the protocol"
        ) from error
