"""Disclosures: who can open one, and that nothing else opens it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from policies.canonical import canonical_bytes
from policies.disclosure import Profile, ReasonText, new_opening
from policies.errors import DocumentError, SealError
from policies.sealing import (
    MAX_RECIPIENTS,
    MAX_SEALED_BYTES,
    Sealed,
    disclosure_key_id,
    key_ids,
    parse_disclosure_key,
    parse_sealed,
    reseal,
    seal,
    unseal,
)

SPACE = "example.org/health"
OPENING = new_opening(Profile(title="Riverside University Hospital"), bytes(32))
OWNER, AUDITOR, NOBODY = (X25519PrivateKey.generate() for _ in range(3))
SEALED = seal(OPENING, [OWNER.public_key(), AUDITOR.public_key()], space=SPACE)
FILE: dict[str, Any] = json.loads(SEALED.to_bytes())


@pytest.mark.parametrize("key", [OWNER, AUDITOR], ids=["owner", "auditor"])
def test_each_recipient_opens_it(key: X25519PrivateKey) -> None:
    again = parse_sealed(SEALED.to_bytes())
    assert unseal(again, key, space=SPACE) == OPENING


def test_nothing_of_the_content_is_in_the_file() -> None:
    data = SEALED.to_bytes()
    assert b"Riverside" not in data
    assert OPENING.salt.hex().encode() not in data
    for one in FILE["recipients"]:
        assert b"Riverside" not in base64.b64decode(one["ciphertext"])


def test_two_seals_share_nothing() -> None:
    again = seal(OPENING, [OWNER.public_key()], space=SPACE)
    own = disclosure_key_id(OWNER.public_key())
    assert again.shares[own] != SEALED.shares[own]


def test_another_key_is_told_so() -> None:
    with pytest.raises(SealError, match="sealed to this key") as caught:
        unseal(SEALED, NOBODY, space=SPACE)
    assert not caught.value.for_this_key


def _another_commitment(sealed: Sealed) -> Sealed:
    return Sealed(new_opening(ReasonText(text="x"), bytes(32)).commitment, sealed.shares)


def _others_share(sealed: Sealed) -> Sealed:
    first, second = sorted(sealed.shares)
    return Sealed(sealed.commitment, {first: sealed.shares[second], second: sealed.shares[first]})


@pytest.mark.parametrize(
    ("change", "space"),
    [
        (lambda sealed: sealed, "example.org/other"),
        (_another_commitment, SPACE),
        (_others_share, SPACE),
    ],
    ids=["another space", "another commitment", "another's share"],
)
def test_what_was_sealed_for_another_place_does_not_open(
    change: Callable[[Sealed], Sealed], space: str
) -> None:
    with pytest.raises(SealError, match="altered"):
        unseal(change(SEALED), OWNER, space=space)


@given(st.data())
def test_no_flipped_bit_opens(data: st.DataObject) -> None:
    own = disclosure_key_id(OWNER.public_key())
    share = bytearray(SEALED.shares[own])
    place = data.draw(st.integers(0, len(share) - 1))
    # The highest bit of an X25519 coordinate is masked (RFC 7748), but HPKE binds `enc` as it is.
    share[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealError):
        unseal(Sealed(SEALED.commitment, {own: bytes(share)}), OWNER, space=SPACE)


def test_a_seal_over_what_opens_nothing_is_refused() -> None:
    other = new_opening(Profile(title="Northgate Clinic"), bytes(32))
    with pytest.raises(SealError, match="what opens it"):
        reseal(SEALED, other, [OWNER.public_key()], space=SPACE)


def test_resealing_keeps_what_there_is() -> None:
    wider = reseal(SEALED, OPENING, [OWNER.public_key(), NOBODY.public_key()], space=SPACE)
    assert set(wider.shares) == key_ids([k.public_key() for k in (OWNER, AUDITOR, NOBODY)])
    assert SEALED.shares.items() <= wider.shares.items()
    assert unseal(wider, NOBODY, space=SPACE) == OPENING


@pytest.mark.parametrize("count", [0, MAX_RECIPIENTS + 1])
def test_recipients_are_some_and_not_too_many(count: int) -> None:
    keys = [X25519PrivateKey.generate().public_key() for _ in range(count)]
    with pytest.raises(DocumentError, match="recipients"):
        seal(OPENING, keys, space=SPACE)


FIRST = FILE["recipients"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"commitment": "x"},
        {"recipients": []},
        {"recipients": FILE["recipients"][::-1]},
        {"recipients": [FIRST, FIRST]},
        {"recipients": [FIRST | {"enc": "AAAA"}]},
        {"recipients": [FIRST | {"enc": FIRST["enc"] + "="}]},
        {"recipients": [FIRST | {"ciphertext": ""}]},
        {"recipients": [FIRST | {"ciphertext": "****"}]},
        {"recipients": [FIRST | {"key_id": "0"}]},
        {"recipients": [FIRST | {"note": ""}]},
        {"more": 1},
    ],
)
def test_a_malformed_file_is_refused(changes: dict[str, Any]) -> None:
    assert parse_sealed(canonical_bytes(FILE)) == SEALED
    with pytest.raises(DocumentError):
        parse_sealed(canonical_bytes(FILE | changes))


def test_a_file_is_canonical_and_bounded() -> None:
    for data in (SEALED.to_bytes() + b"\n", b" " * (MAX_SEALED_BYTES + 1), b"\xff", b""):
        with pytest.raises(DocumentError):
            parse_sealed(data)


# RFC 7748, section 6.1, and the points of small order.
@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(31),
        bytes(32),
        (1).to_bytes(32, "little"),
        (2**255 - 20).to_bytes(32, "little"),
        (2**255 - 19).to_bytes(32, "little"),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ],
)
def test_a_key_that_shares_no_secret_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match="X25519"):
        parse_disclosure_key(data)


def test_a_key_reads_back() -> None:
    raw = OWNER.public_key().public_bytes_raw()
    assert parse_disclosure_key(raw).public_bytes_raw() == raw
