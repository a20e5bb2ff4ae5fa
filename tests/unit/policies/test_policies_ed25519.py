"""Two libraries, one answer: OpenSSL's, for whatever key, signature and message."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.ed25519 import verify_signature

ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
# y of the points whose order divides 8, and spellings of them that are not reduced
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
LOW = [1, FIELD - 1, 0, ORDER_8, FIELD - ORDER_8, FIELD, FIELD + 1]
LOW_ORDER = [(y | sign << 255).to_bytes(32, "little") for y in LOW for sign in (0, 1)]


def holds(key: bytes, signature: bytes, message: bytes) -> tuple[bool, bool]:
    """What we say, and what OpenSSL does."""
    answers = []
    public = Ed25519PublicKey.from_public_bytes(key)
    for verify in (partial(verify_signature, public), public.verify):
        try:
            verify(signature, message)
            answers.append(True)
        except InvalidSignature:
            answers.append(False)
    ours, theirs = answers
    return ours, theirs


def changed(data: bytes, at: int) -> bytes:
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def test_a_signature_that_holds_and_every_single_bit_of_it_changed() -> None:
    key, signature = KEY.public_key().public_bytes_raw(), KEY.sign(b"message")
    assert holds(key, signature, b"message") == (True, True)
    assert holds(key, signature, b"another") == (False, False)
    for at in range(512):
        assert holds(key, changed(signature, at), b"message") == (False, False)
    for at in range(256):
        assert holds(changed(key, at), signature, b"message") == (False, False)


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_a_signature_of_another_length(size: int) -> None:
    key, signature = KEY.public_key().public_bytes_raw(), KEY.sign(b"") * 2
    assert holds(key, signature[:size], b"") == (False, False)


def test_an_s_that_is_not_reduced() -> None:
    key, signature = KEY.public_key().public_bytes_raw(), KEY.sign(b"message")
    s = int.from_bytes(signature[32:], "little")
    for times in range(1, 15):
        larger = (s + times * ORDER).to_bytes(33, "little")[:32]
        assert holds(key, signature[:32] + larger, b"message") == (False, False)


def test_keys_and_commitments_of_low_order() -> None:
    """Some of these hold by the equation: libsodium refuses them, OpenSSL is asked."""
    random, held = Random(1), 0
    for key in LOW_ORDER:
        for commitment in LOW_ORDER:
            for s in (0, 1, ORDER - 1):
                message = random.randbytes(8)
                signature = commitment + s.to_bytes(32, "little")
                ours, theirs = holds(key, signature, message)
                assert ours == theirs
                held += ours
    assert held > 0
