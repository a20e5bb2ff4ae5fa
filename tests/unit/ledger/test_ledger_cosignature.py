"""Cosignatures: who cosigned what, and one fault a vector."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from witness_site import LOG, ORIGIN, TIME, History, witness

from ledger.cosignature import (
    Cosigner,
    cosigner_of,
    open_cosigned,
    parse_cosignatures,
)
from ledger.ed25519 import public_bytes
from ledger.errors import KeyRefused, NoteError, ProofError
from ledger.note import MAX_SIGNATURES, NoteSigner, NoteVerifier, SignatureType, add_signatures

ONE, TWO = witness(1), witness(2)
TWIN = witness(3, ONE.name)  # another key of the same name
HISTORY = History(9)
HEAD = HISTORY.head(7)
TEXT = HEAD[: HEAD.index("\n\n") + 1]
LINE = ONE.cosign(HEAD, time=TIME)


def stranger(number: int) -> str:
    raw = number.to_bytes(4, "big") + bytes(72)
    return f"— stranger.example {base64.b64encode(raw).decode()}\n"


def with_raw(signer: Cosigner, raw: bytes) -> str:
    encoded = base64.b64encode(signer.verifier.key_hash + raw).decode()
    return f"— {signer.name} {encoded}\n"


def names(note: str, known: Sequence[Cosigner]) -> list[tuple[str, int]]:
    opened = open_cosigned(note, LOG.verifier, [one.verifier for one in known])
    return [(one.witness.id, one.time) for one in opened.cosignatures]


def test_a_cosignature_is_what_the_format_says() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
    raw = public_bytes(key.public_key())
    key_hash = hashlib.sha256(ONE.name.encode() + b"\n\x04" + raw).digest()[:4]
    message = f"cosignature/v1\ntime {TIME}\n{TEXT}".encode()
    made = key_hash + TIME.to_bytes(8, "big") + key.sign(message)
    assert f"— {ONE.name} {base64.b64encode(made).decode()}\n" == LINE
    public = base64.b64encode(b"\x04" + raw).decode()
    assert ONE.verifier.text == f"{ONE.name}+{key_hash.hex()}+{public}"


@given(st.integers(1, 2**63 - 1))
def test_every_time_round_trips(time: int) -> None:
    assert names(HEAD + ONE.cosign(HEAD, time=time), [ONE]) == [(ONE.verifier.id, time)]


@pytest.mark.parametrize("time", [0, -1, 2**63, True, 1.5])
def test_times_that_no_cosignature_has(time: int) -> None:
    with pytest.raises(NoteError, match="expected a time"):
        ONE.cosign(HEAD, time=time)


@pytest.mark.parametrize(
    ("added", "known", "found"),
    [
        pytest.param("", [ONE], [], id="nobody"),
        pytest.param(LINE, [], [], id="nobody-is-known"),
        pytest.param(LINE, [ONE, TWO], [ONE], id="one-of-two"),
        pytest.param(LINE + TWO.cosign(HEAD, time=TIME), [ONE, TWO], [ONE, TWO], id="both"),
        pytest.param(TWIN.cosign(HEAD, time=TIME), [ONE], [], id="another-key-of-the-name"),
        pytest.param(
            LINE + TWIN.cosign(HEAD, time=TIME), [ONE, TWIN], [ONE, TWIN], id="two-keys-of-one-name"
        ),
        pytest.param(LINE + LINE, [ONE], [ONE], id="the-same-twice"),
        pytest.param(stranger(0) * 98 + LINE, [ONE], [ONE], id="98-strangers"),
    ],
)
def test_who_cosigned(added: str, known: list[Cosigner], found: list[Cosigner]) -> None:
    assert names(HEAD + added, known) == [(one.verifier.id, TIME) for one in found]


def test_of_two_times_the_newest_counts() -> None:
    note = HEAD + LINE + ONE.cosign(HEAD, time=TIME + 5)
    assert names(note, [ONE]) == [(ONE.verifier.id, TIME + 5)]


SIGNATURE = base64.b64decode(LINE.split(" ")[2])[4:]
LATER = (TIME + 1).to_bytes(8, "big") + SIGNATURE[8:]


@pytest.mark.parametrize(
    ("note", "message"),
    [
        pytest.param(HEAD + ONE.cosign(HISTORY.head(8), time=TIME), "does not fit", id="head"),
        pytest.param(HEAD + with_raw(ONE, LATER), "does not fit", id="wrong-timestamp"),
        pytest.param(
            HEAD + with_raw(ONE, b"\xff" * 8 + SIGNATURE[8:]), "below 2", id="time-of-2-64"
        ),
        pytest.param(
            HEAD + with_raw(ONE, (2**63).to_bytes(8, "big") + SIGNATURE[8:]), "below 2", id="2-63"
        ),
        pytest.param(HEAD + with_raw(ONE, SIGNATURE[:-1]), "does not fit", id="short"),
        pytest.param(HEAD + with_raw(ONE, SIGNATURE[8:]), "does not fit", id="no-timestamp"),
        pytest.param(HEAD + with_raw(ONE, b"\x00"), "does not fit", id="one-byte"),
        pytest.param(HEAD + with_raw(ONE, SIGNATURE + b"\x00"), "does not fit", id="long"),
        pytest.param(HEAD + LINE + with_raw(ONE, LATER), "does not fit", id="good-and-bad"),
        pytest.param(HEAD + LINE[:-3] + "\n", "expected a line", id="truncated-base64"),
        pytest.param(HEAD + LINE[:-1] + "=\n", "expected a line", id="padding"),
        pytest.param(HEAD + LINE[:-1], "expected a text", id="no-newline"),
        pytest.param(
            HEAD + "".join(map(stranger, range(1000))) + LINE, "at most 100", id="1000-strangers"
        ),
        pytest.param(TEXT + "\n" + LINE, "a signature by logs", id="not-signed-by-the-log"),
        pytest.param(
            History(7, "forged").head(7, NoteSigner(ORIGIN, Ed25519PrivateKey.generate())),
            "a signature by logs",
            id="another-key-of-the-log's-name",
        ),
    ],
)
def test_notes_that_are_refused(note: str, message: str) -> None:
    with pytest.raises(ProofError, match=message):
        open_cosigned(note, LOG.verifier, [ONE.verifier])


def test_a_log_key_is_no_witness_key() -> None:
    with pytest.raises(NoteError, match="type 4"):
        open_cosigned(HEAD, LOG.verifier, [LOG.verifier])
    with pytest.raises(KeyRefused, match="byte 4"):
        NoteVerifier.parse(LOG.verifier_key, SignatureType.COSIGNATURE)
    with pytest.raises(KeyRefused, match="byte 1"):
        NoteVerifier.parse(ONE.verifier.text)


def test_a_log_key_names_its_owner_as_a_witness() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
    own = NoteSigner("space/clinic", key)
    assert cosigner_of(own.verifier) == Cosigner("space/clinic", key).verifier
    assert cosigner_of(own.verifier).key_hash != own.verifier.key_hash


def test_a_cosigner_needs_a_name_that_a_note_can_carry() -> None:
    with pytest.raises(KeyRefused):
        Cosigner("a b", Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "expected 1 to", id="empty"),
        pytest.param(b"x" * 65_537, "expected 1 to", id="too-large"),
        pytest.param(b"\xff\n", "UTF-8", id="not-utf8"),
        pytest.param(LINE.encode()[:-1], "whole lines", id="no-newline"),
        pytest.param(b"\n", "expected a line", id="an-empty-line"),
        pytest.param(b"7\n", "expected a line", id="a-size"),
        pytest.param(TWO.cosign(HEAD, time=TIME).encode(), "got none", id="unknown-only"),
        pytest.param(
            ONE.cosign(HISTORY.head(8), time=TIME).encode(), "does not fit", id="another-head"
        ),
        pytest.param("".join(map(stranger, range(101))).encode(), "at most 100", id="101-lines"),
    ],
)
def test_answers_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(NoteError, match=message):
        parse_cosignatures(data, HEAD, [ONE.verifier])


def test_an_answer_with_a_time_of_zero_is_refused() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
    raw = bytes(8) + key.sign(f"cosignature/v1\ntime 0\n{TEXT}".encode())
    with pytest.raises(NoteError, match="got 0"):
        parse_cosignatures(with_raw(ONE, raw).encode(), HEAD, [ONE.verifier])


def test_known_lines_of_an_answer_join_the_note() -> None:
    answer = (stranger(1) + LINE).encode()
    lines = [line.text for line in parse_cosignatures(answer, HEAD, [ONE.verifier, TWO.verifier])]
    joined = add_signatures(HEAD, lines)
    assert joined == HEAD + LINE
    assert add_signatures(joined, [*lines, ONE.cosign(HEAD, time=TIME + 9)]) == joined


def test_a_full_note_takes_no_more() -> None:
    lines = [stranger(n) for n in range(MAX_SIGNATURES)]
    assert add_signatures(HEAD, lines[:-1]).count("stranger") == MAX_SIGNATURES - 1
    with pytest.raises(NoteError, match="at most 100"):
        add_signatures(HEAD, lines)


@pytest.mark.parametrize("line", ["", "x", LINE[:-1], LINE * 2, "\n"])
def test_what_is_no_signature_line_is_not_added(line: str) -> None:
    with pytest.raises(NoteError, match="expected a"):
        add_signatures(HEAD, [line])
