"""Commitments: hiding without the salt, binding with it; openings in one spelling, strictly."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.canonical import canonical_bytes
from policies.disclosure import (
    MAX_OPENING_BYTES,
    AppText,
    Opening,
    ProductText,
    Profile,
    ReasonText,
    committed_in,
    new_opening,
    parse_opening,
)
from policies.entries import Entry
from policies.errors import DocumentError
from policies.fields import Document
from policies.pseudonym import is_pseudonym, pseudonym
from policies.statements import Column

SALT = bytes(range(32))
AGE = Column(name="age", type="integer", role="feature")
PROFILE = Profile(title="Riverside University Hospital", contact="dpo@riverside.example")
VALUES: list[Document] = [
    PROFILE,
    ProductText(title="Cytology", columns=[AGE]),
    AppText(title="Tabular classification", author="Ada", outputs=["weights"]),
    ReasonText(text="the board decided otherwise"),
]
SALTS = st.binary(min_size=32, max_size=32)
TEXTS = st.text(max_size=40).filter(lambda text: not any(0xD800 <= ord(c) <= 0xDFFF for c in text))


def test_a_commitment_as_written() -> None:
    opening = new_opening(ReasonText(text="enough"), SALT)
    committed = b'{"kind":"reason","value":{"text":"enough"}}'
    expected = hashlib.sha256(b"tdspace-commitment/v1" + SALT + committed).hexdigest()
    assert opening.commitment == expected


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_an_opening_reads_back(value: Document) -> None:
    opening = new_opening(value, SALT)
    again = parse_opening(opening.to_bytes())
    assert (again, again.commitment) == (opening, opening.commitment)


def test_no_salt_and_no_value_is_shown() -> None:
    shown = repr(new_opening(PROFILE, SALT))
    assert "Riverside" not in shown
    assert SALT.hex() not in shown


@given(TEXTS, SALTS, SALTS)
def test_the_salt_hides(text: str, one: bytes, other: bytes) -> None:
    """The same text under two salts gives two commitments: who has no salt cannot try out texts."""
    first, second = (new_opening(ReasonText(text=text), salt) for salt in (one, other))
    assert (first.commitment == second.commitment) == (one == other)


@given(TEXTS, TEXTS, SALTS)
def test_the_commitment_binds(one: str, other: str, salt: bytes) -> None:
    first, second = (new_opening(ReasonText(text=text), salt) for text in (one, other))
    assert (first.commitment == second.commitment) == (one == other)


def test_a_text_of_one_kind_is_none_of_another() -> None:
    profile, app = Profile(title="x"), AppText(title="x")
    assert new_opening(profile, SALT).commitment != new_opening(app, SALT).commitment
    assert Opening("app", SALT, profile).commitment != new_opening(profile, SALT).commitment


def test_what_a_column_does_not_say_is_not_committed_to() -> None:
    """Openings that were made before columns had units and ranges open the same commitments."""
    assert AGE.to_json() == {"name": AGE.name, "type": AGE.type, "role": AGE.role}


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_a_salt_of_another_length_is_the_callers_mistake(salt: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        new_opening(PROFILE, salt)


def test_only_what_is_disclosed_is_committed_to() -> None:
    with pytest.raises(ValueError, match="got Column"):
        new_opening(AGE, SALT)


GOOD: dict[str, Any] = {
    "version": 1,
    "kind": "profile",
    "salt": "0" * 64,
    "value": {"title": "x", "contact": "", "registration": "", "address": ""},
}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"version": 2}, "$.version"),
        ({"kind": "secret"}, "$.kind"),
        ({"salt": "0" * 62}, "$.salt"),
        ({"salt": "A" * 64}, "$.salt"),
        ({"value": {"title": ""}}, "$.value"),
        ({"value": {"text": "x"}}, "$.value"),
        ({"value": []}, "$.value"),
        ({"more": 1}, "$.more"),
    ],
)
def test_a_malformed_opening_is_refused(changes: dict[str, Any], where: str) -> None:
    assert parse_opening(canonical_bytes(GOOD)).value == Profile(title="x")
    with pytest.raises(DocumentError) as caught:
        parse_opening(canonical_bytes(GOOD | changes))
    assert caught.value.where == where


def test_an_opening_is_canonical_and_bounded() -> None:
    with pytest.raises(DocumentError, match="canonical"):
        parse_opening(canonical_bytes(GOOD) + b"\n")
    with pytest.raises(DocumentError, match="at most"):
        parse_opening(b" " * (MAX_OPENING_BYTES + 1))
    wide = ProductText(
        title="x", columns=[AGE.model_copy(update={"name": f"{n:0128}"}) for n in range(4096)]
    )
    with pytest.raises(DocumentError, match="at most"):
        new_opening(wide, SALT).to_bytes()


@pytest.mark.parametrize(
    ("type", "body", "found"),
    [
        ("ParticipantEnrolled", {"participant": "a", "profile": "c"}, ("profile", "c", "a")),
        ("ParticipantEnrolled", {"participant": "a", "profile": ""}, None),
        ("AuditorNamed", {"auditor": "b", "profile": "c"}, ("profile", "c", "b")),
        ("ProductRegistered", {"participant": "a", "description": "c"}, ("product", "c", "a")),
        ("AppRegistered", {"app": "x", "description": "c"}, ("app", "c", "")),
        ("ConsentWithdrawn", {"participant": "a", "reason": "c"}, ("reason", "c", "a")),
        ("CertificateRevoked", {"participant": "a", "reason": "c"}, ("reason", "c", "a")),
        ("RunEnded", {"participant": "", "said": "c"}, ("reason", "c", "")),
        ("RoundClosed", {"reason": "c"}, None),
        ("ConsentWithdrawn", {"participant": "a", "reason": 1}, None),
        ("ConsentWithdrawn", {"participant": "a"}, None),
    ],
)
def test_which_entries_commit(
    type: str, body: dict[str, Any], found: tuple[str, str, str] | None
) -> None:
    one = committed_in(Entry(type=type, time="", body=body))
    assert (one and (one.kind, one.commitment, one.participant)) == found


def test_a_pseudonym() -> None:
    made = pseudonym(bytes(10))
    assert made == "p-aaaaaaaaaaaaaaaa"
    assert is_pseudonym(made)
    with pytest.raises(ValueError, match="10 bytes"):
        pseudonym(bytes(9))


@pytest.mark.parametrize("name", ["riverside", "p-", "p-AAAAAAAAAAAAAAAA", "p-0123456789abcdef"])
def test_a_name_is_no_pseudonym(name: str) -> None:
    assert not is_pseudonym(name)
