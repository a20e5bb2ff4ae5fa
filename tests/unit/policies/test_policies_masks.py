"""Masks: the same from both sides, unrelated between uses, none from a key that is no secret."""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from policies.errors import MaskKeyError
from policies.masks import (
    CHUNK_BYTES,
    add_mask,
    mask_key,
    new_private_key,
    parse_public_key,
    public_key,
    shared_secret,
    subtract_mask,
    sum_masks,
)
from policies.privacy import WordBits
from policies.words import add_into, subtract_from, word_type, zeros

PERMIT = hashlib.sha256(b"permit").hexdigest()
BOTH: list[WordBits] = [32, 64]
both_sizes = pytest.mark.parametrize("word_bits", BOTH)
PRIME = 2**255 - 19
# All points of small order on Curve25519 and its twist, by u (https://cr.yp.to/ecdh.html#validate).
LOW_ORDER = {
    "0, order 4": 0,
    "1, order 4 on the twist": 1,
    "order 8": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "order 8 as well": (
        39382357235489614581723060781553021112529911719440698176882885853963445705823
    ),
    "-1, order 2 on the twist": PRIME - 1,
}


def encoded(number: int) -> str:
    return number.to_bytes(32, "little").hex()


def derived(
    private: X25519PrivateKey,
    public: str,
    *,
    permit: str = PERMIT,
    space: str = "city",
    participant: str = "bank-1",
    product: str = "bank-1:loans",
) -> bytes:
    return mask_key(
        private, public, permit=permit, space=space, participant=participant, product=product
    )


NODE, GOVERNANCE = new_private_key(), new_private_key()
KEY = derived(NODE, public_key(GOVERNANCE))


def test_both_sides_derive_the_key_that_the_format_says() -> None:
    assert derived(GOVERNANCE, public_key(NODE)) == KEY
    secret = NODE.exchange(GOVERNANCE.public_key())
    pseudo_random = hmac.digest(bytes.fromhex(PERMIT), secret, "sha256")
    info = b"tdspace mask v1\0city\0bank-1\0bank-1:loans\x01"
    assert hmac.digest(pseudo_random, info, "sha256")[:16] == KEY


@both_sizes
def test_the_mask_is_the_key_stream_from_counter_zero(word_bits: WordBits) -> None:
    blocks = b"".join(counter.to_bytes(16, "big") for counter in range(2 * CHUNK_BYTES // 16 + 1))
    stream = Cipher(AES(KEY), ECB()).encryptor().update(blocks)
    words = np.frombuffer(stream, word_type(word_bits))
    assert np.array_equal(sum_masks([KEY], words.size, word_bits), words)


@pytest.mark.parametrize("words", [1, 3, 4, CHUNK_BYTES // 4, CHUNK_BYTES // 4 + 1, 200_000])
@both_sizes
def test_the_sum_of_masks_opens_the_sum(words: int, word_bits: WordBits) -> None:
    keys = [bytes([at]) * 16 for at in range(3)]
    rng = np.random.default_rng(3)
    total, plain = zeros(words, word_bits), zeros(words, word_bits)
    for key in keys:
        vector = rng.integers(0, 2**word_bits, words, word_type(word_bits))
        add_into(plain, vector)
        masked = vector.copy()
        add_mask(masked, key)
        assert words < 3 or not np.array_equal(masked, vector)
        add_into(total, masked)
        subtract_mask(masked, key)
        assert np.array_equal(masked, vector)
    subtract_from(total, sum_masks(keys, words, word_bits))
    assert np.array_equal(total, plain)


@pytest.mark.parametrize(
    "change",
    [
        {"permit": hashlib.sha256(b"another permit").hexdigest()},
        {"space": "town"},
        {"participant": "bank-2"},
        {"product": "bank-1:cards"},
    ],
)
def test_the_same_keys_give_unrelated_masks_to_different_uses(change: dict[str, str]) -> None:
    other = derived(NODE, public_key(GOVERNANCE), **change)
    assert differing_bits(KEY, other) > 30
    streams = [sum_masks([key], 4096, 32) for key in (KEY, other)]
    assert 0.48 < differing_bits(*(one.tobytes() for one in streams)) / (4096 * 32) < 0.52


def differing_bits(left: bytes, right: bytes) -> int:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).bit_count()


def test_names_cannot_be_shifted_from_one_to_the_next() -> None:
    one = derived(NODE, public_key(GOVERNANCE), participant="a", product="b-c")
    two = derived(NODE, public_key(GOVERNANCE), participant="a-b", product="c")
    assert one != two
    for name in ("space", "participant", "product"):
        with pytest.raises(MaskKeyError, match="no zero byte"):
            derived(NODE, public_key(GOVERNANCE), **{name: "a\0b"})


def test_anothers_key_opens_nothing() -> None:
    stranger = new_private_key()
    assert derived(stranger, public_key(NODE)) != KEY
    assert derived(NODE, public_key(stranger)) != KEY
    vector = np.arange(1000, dtype=np.uint32)
    masked = vector.copy()
    add_mask(masked, KEY)
    subtract_mask(masked, derived(stranger, public_key(NODE)))
    assert int((masked == vector).sum()) < 5


@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER.keys())
def test_a_key_of_low_order_is_refused(point: int) -> None:
    for refuse in (
        parse_public_key,
        lambda text: shared_secret(NODE, text),
        lambda text: derived(NODE, text),
    ):
        with pytest.raises(MaskKeyError, match="low order"):
            refuse(encoded(point))


class FakeLaxKey:
    """A private key of a library that lets the all-zero secret pass."""

    def exchange(self, _: object) -> bytes:
        return bytes(32)


def test_the_all_zero_secret_is_refused_whatever_the_library_says() -> None:
    with pytest.raises(MaskKeyError, match="low order"):
        shared_secret(cast("X25519PrivateKey", FakeLaxKey()), public_key(NODE))


# The same points, and one of large order, written in another way.
SECOND_SPELLINGS = [
    PRIME,
    PRIME + 1,
    2 * PRIME - 1,
    2 * PRIME,
    2 * PRIME + 1,
    PRIME + 9,
    2**255 + 9,
]


@pytest.mark.parametrize(
    "text",
    [
        *map(encoded, SECOND_SPELLINGS),
        "",
        "09" * 31,
        "09" * 33,
        "0A" * 32,
        "x" * 64,
        "09" * 32 + "\n",
        "٠٩" * 32,
    ],
)
def test_another_spelling_of_a_key_is_refused(text: str) -> None:
    for refuse in (lambda: parse_public_key(text), lambda: shared_secret(NODE, text)):
        with pytest.raises(MaskKeyError, match="mask key: expected") as refusal:
            refuse()
        assert not text or text not in str(refusal.value)


def test_a_public_key_reads_back() -> None:
    text = public_key(NODE)
    assert len(text) == 64
    assert parse_public_key(text).public_bytes_raw().hex() == text
    keys = [public_key(new_private_key()) for _ in range(4)]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("permit", ["", "0" * 63, "Z" * 64, "0" * 64 + "\n"])
def test_a_mask_is_bound_to_a_permits_digest(permit: str) -> None:
    with pytest.raises(MaskKeyError, match="permit: expected a SHA-256"):
        derived(NODE, public_key(GOVERNANCE), permit=permit)


@pytest.mark.parametrize(
    ("keys", "words", "says"),
    [
        ([], 4, "got none, or one twice"),
        ([KEY, KEY], 4, "got none, or one twice"),
        ([KEY[:15]], 4, "a key of 16 bytes, got 15"),
        ([KEY * 2], 4, "a key of 16 bytes, got 32"),
        ([KEY], 0, "expected 1 to"),
        ([KEY], (1 << 28) + 1, "expected 1 to"),
    ],
)
def test_what_is_no_set_of_masks_is_not_summed(keys: list[bytes], words: int, says: str) -> None:
    with pytest.raises(MaskKeyError, match=says):
        sum_masks(keys, words, 32)


@pytest.mark.parametrize("dtype", ["<i4", ">u4", "<u2", "<f4"])
def test_only_words_are_masked(dtype: str) -> None:
    with pytest.raises(MaskKeyError, match="words of 32 or 64 bits"):
        add_mask(np.zeros(4, dtype), KEY)


def test_masks_of_many_uses_share_no_block() -> None:
    """One block twice in the masks of a permit would be one word pair of a two-time pad."""
    seen = [sum_masks([derived(new_private_key(), public_key(GOVERNANCE))], 256, 32) for _ in "abc"]
    blocks = sorted(one.tobytes()[at : at + 16] for one in seen for at in range(0, 1024, 16))
    assert all(left != right for left, right in pairwise(blocks))
