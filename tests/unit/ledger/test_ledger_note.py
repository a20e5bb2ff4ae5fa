from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import public_bytes
from ledger.errors import KeyRefused, NoteError
from ledger.note import MAX_NOTE_BYTES, NoteSigner, NoteVerifier, open_note, sign_note

A = NoteSigner("a.example/log", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
B = NoteSigner("b.example/witness", Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32))
TEXT = "first line\n\nthird – line\n"
NOTE = sign_note(TEXT, A)
STRANGER = "— stranger.example " + base64.b64encode(bytes(4 + 3)).decode() + "\n"


def line_of(signer: NoteSigner, text: str = TEXT) -> str:
    return signer.sign(text)


def test_a_note_is_what_the_format_says() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    raw = public_bytes(key.public_key())
    key_hash = hashlib.sha256(b"a.example/log\n\x01" + raw).digest()[:4]
    signature = base64.b64encode(key_hash + key.sign(TEXT.encode())).decode()
    assert f"{TEXT}\n— a.example/log {signature}\n" == NOTE
    public = base64.b64encode(b"\x01" + raw).decode()
    assert A.verifier_key == f"a.example/log+{key_hash.hex()}+{public}"


def test_a_verifier_key_round_trips() -> None:
    verifier = NoteVerifier.parse(A.verifier_key)
    assert (verifier.name, verifier.key_hash) == (A.name, A.verifier.key_hash)
    assert verifier.text == A.verifier_key
    assert open_note(NOTE, [verifier]) == TEXT


@pytest.mark.parametrize("text", ["a\n", "\n", "a\n\n", "\n\n\n", "— x y\n", "— x AAAAAAA=\n"])
def test_odd_texts_round_trip(text: str) -> None:
    assert open_note(sign_note(text, A), [A.verifier]) == text


@pytest.mark.parametrize(
    ("note", "keys"),
    [
        pytest.param(NOTE + line_of(B), [A, B], id="both"),
        pytest.param(NOTE + line_of(B), [B], id="the-other-one-is-unknown"),
        pytest.param(NOTE + STRANGER, [A], id="a-stranger"),
        pytest.param(NOTE + line_of(A), [A], id="the-same-twice"),
        pytest.param(NOTE + STRANGER * 99, [A], id="a-hundred"),
    ],
)
def test_notes_that_open(note: str, keys: list[NoteSigner]) -> None:
    assert open_note(note, [key.verifier for key in keys]) == TEXT


def with_bad_signature(signer: NoteSigner) -> str:
    return signer.sign("another text\n")


@pytest.mark.parametrize(
    ("note", "keys", "message"),
    [
        pytest.param(NOTE, [], "at least one key", id="nobody"),
        pytest.param(NOTE, [B], r"a signature by b\.example", id="not-signed"),
        pytest.param(NOTE, [A, B], r"a signature by b\.example", id="signed-by-one-of-two"),
        pytest.param(NOTE.replace("first", "other"), [A], "changed after", id="text-changed"),
        pytest.param(NOTE + with_bad_signature(A), [A], "changed after", id="good-and-bad"),
        pytest.param(TEXT + "\n" + with_bad_signature(B) + A.sign(TEXT), [A, B], "changed", id="b"),
        pytest.param(
            NOTE.replace("a.example/log ", "c.example/log "), [A], "a signature", id="name"
        ),
        pytest.param("", [A], "expected a text", id="empty"),
        pytest.param(TEXT, [A], "expected a line", id="no-signature"),
        pytest.param("one line\n", [A], "expected a text", id="no-empty-line"),
        pytest.param(TEXT + "\n", [A], "expected a line", id="no-line"),
        pytest.param(NOTE[:-1], [A], "expected a text", id="no-newline-at-the-end"),
        pytest.param(NOTE + "\n", [A], "expected a line", id="an-empty-line-after"),
        pytest.param(NOTE.replace("— ", "- "), [A], "expected a line", id="no-em-dash"),
        pytest.param(NOTE.replace("— ", "—"), [A], "expected a line", id="no-space"),
        pytest.param(NOTE.replace("— ", "—  "), [A], "expected a line", id="two-spaces"),
        pytest.param(NOTE[:-1] + " \n", [A], "expected a line", id="trailing-space"),
        pytest.param(NOTE[:-1] + "=\n", [A], "expected a line", id="base64-padding"),
        pytest.param(NOTE + "— c.example AAAA\n", [A], "expected a line", id="too-short"),
        pytest.param(NOTE + "— c+d AAAAAAA=\n", [A], "expected a line", id="plus-in-a-name"),
        pytest.param(NOTE + "— c\u00a0d AAAAAAA=\n", [A], "expected a line", id="nbsp-in-a-name"),
        pytest.param(NOTE + "— c.example AAAAAAB=\n", [A], "expected a line", id="base64-spelling"),
        pytest.param(NOTE + "— c.example é\n", [A], "expected a line", id="not-ascii"),
        pytest.param(NOTE.replace("\n", "\r\n"), [A], "control character", id="crlf"),
        pytest.param(NOTE.replace("first", "fi\0rst"), [A], "control character", id="nul"),
        pytest.param(NOTE.replace("first", "\ud800"), [A], "surrogate", id="surrogate"),
        pytest.param(NOTE + STRANGER * 100, [A], "at most 100 signatures", id="a-hundred-and-one"),
        pytest.param("x" * MAX_NOTE_BYTES + NOTE, [A], "at most 1000000 bytes", id="too-large"),
    ],
)
def test_notes_that_do_not_open(note: str, keys: list[NoteSigner], message: str) -> None:
    with pytest.raises(NoteError, match=message):
        open_note(note, [key.verifier for key in keys])


def test_a_signature_of_another_length_is_wrong() -> None:
    raw = base64.b64encode(A.verifier.key_hash + bytes(63)).decode()
    with pytest.raises(NoteError, match="changed after"):
        open_note(f"{TEXT}\n— {A.name} {raw}\n", [A.verifier])


@pytest.mark.parametrize(
    "text",
    ["", "no newline", "tab\there\n", "cr\r\n", "\ud800\n", "x" * MAX_NOTE_BYTES + "\n"],
    ids=["empty", "no-newline", "tab", "cr", "surrogate", "too-large"],
)
def test_texts_that_no_note_can_carry(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, A)


def spoiled(raw: bytes) -> str:
    return f"x+{A.verifier.key_hash.hex()}+{base64.b64encode(raw).decode()}"


def own_hash(name: str, raw: bytes) -> str:
    digest = hashlib.sha256(name.encode() + b"\n\x01" + raw).hexdigest()[:8]
    return f"{name}+{digest}+{base64.b64encode(bytes([1]) + raw).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a.example/log", id="name-only"),
        pytest.param("a.example/log+00000000", id="no-key"),
        pytest.param(A.verifier_key + " ", id="trailing-space"),
        pytest.param(A.verifier_key.replace("a.example", "b.example"), id="another-name"),
        pytest.param(A.verifier_key.replace("log+", "log+0"), id="another-hash"),
        pytest.param(A.verifier_key.upper(), id="upper-case"),
        pytest.param(spoiled(b"\x01" + bytes(31)), id="short-key"),
        pytest.param(spoiled(b"\x04" + bytes(32)), id="another-type"),
        pytest.param(own_hash("x", bytes(32)), id="low-order"),
        pytest.param(own_hash("", bytes([9]) * 32), id="empty-name"),
        pytest.param(own_hash("a b", bytes([9]) * 32), id="space-in-the-name"),
        pytest.param(own_hash("a" * 256, bytes([9]) * 32), id="long-name"),
    ],
)
def test_verifier_keys_that_are_refused(text: str) -> None:
    with pytest.raises(KeyRefused):
        NoteVerifier.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a" * 256])
def test_names_that_no_signer_can_have(name: str) -> None:
    with pytest.raises(KeyRefused, match="key name"):
        NoteSigner(name, Ed25519PrivateKey.from_private_bytes(bytes(32)))
