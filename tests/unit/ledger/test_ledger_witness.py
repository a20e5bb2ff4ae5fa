"""The witness's decisions (C2SP tlog-witness), one fault a vector."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from witness_site import LOG, ORIGIN, TIME, History, witness

from ledger.checkpoint import open_checkpoint
from ledger.errors import ProofError
from ledger.note import NoteSigner, sign_note
from ledger.witness import (
    Accepted,
    AddCheckpoint,
    Conflict,
    Forked,
    Refused,
    Seen,
    format_request,
    format_size,
    judge,
    parse_request,
    parse_size,
    status_of,
)

REAL, FORGED = History(12), History(12, "forged")
OTHER = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"o" * 32))
ELSEWHERE = NoteSigner("b.example/log", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def seen(size: int) -> Seen:
    note = REAL.head(size)
    return Seen(open_checkpoint(note, LOG.verifier), note)


def request(
    old: int, size: int, history: History = REAL, signer: NoteSigner = LOG
) -> AddCheckpoint:
    proof = history.proof(old, size) if 0 < old < size else ()
    return AddCheckpoint(old, proof, history.head(size, signer))


def signed(text: str) -> str:
    return sign_note(text, LOG)


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        pytest.param(None, request(0, 5), id="the-first"),
        pytest.param(None, request(0, 0), id="of-no-entries"),
        pytest.param(seen(0), request(0, 5), id="after-none"),
        pytest.param(seen(5), request(5, 9), id="grown"),
        pytest.param(seen(8), request(8, 9), id="grown-from-a-whole-tree"),
        pytest.param(seen(5), request(5, 5), id="the-same"),
    ],
)
def test_what_is_accepted(before: Seen | None, asked: AddCheckpoint) -> None:
    verdict = judge(asked, seen=before, log=LOG.verifier)
    assert isinstance(verdict, Accepted), verdict
    assert verdict.seen.note == asked.note
    assert status_of(verdict, asked) == 200


def test_cosignatures_of_others_in_the_note_are_ignored() -> None:
    note = REAL.head(5)
    asked = AddCheckpoint(0, (), note + witness(1).cosign(note, time=TIME))
    assert isinstance(judge(asked, seen=None, log=LOG.verifier), Accepted)


@pytest.mark.parametrize(
    ("before", "asked", "expected"),
    [
        pytest.param(None, request(3, 5), 0, id="never-seen"),
        pytest.param(seen(5), request(0, 9), 5, id="from-zero"),
        pytest.param(seen(5), request(4, 9), 5, id="from-an-older-one"),
        pytest.param(seen(5), request(6, 9), 5, id="from-a-newer-one"),
    ],
)
def test_conflicts_say_the_size(before: Seen | None, asked: AddCheckpoint, expected: int) -> None:
    verdict = judge(asked, seen=before, log=LOG.verifier)
    assert verdict == Conflict(expected)
    assert status_of(verdict, asked) == 409


@pytest.mark.parametrize(
    ("asked", "kind", "status"),
    [
        pytest.param(request(5, 5, FORGED), "two-roots", 422, id="two-roots"),
        pytest.param(request(5, 9, FORGED), "no-proof", 422, id="another-history"),
        pytest.param(
            AddCheckpoint(5, REAL.proof(5, 9)[:-1], REAL.head(9)), "no-proof", 422, id="short-proof"
        ),
        pytest.param(AddCheckpoint(5, (), REAL.head(9)), "no-proof", 422, id="no-proof"),
        pytest.param(request(0, 3), "rollback", 409, id="rollback"),
        pytest.param(AddCheckpoint(5, (), REAL.head(3)), "rollback", 400, id="rollback-from-5"),
        pytest.param(request(0, 0), "rollback", 409, id="rollback-to-nothing"),
    ],
)
def test_forks_keep_both_heads(asked: AddCheckpoint, kind: str, status: int) -> None:
    verdict = judge(asked, seen=seen(5), log=LOG.verifier)
    assert isinstance(verdict, Forked)
    assert (verdict.kind, status_of(verdict, asked)) == (kind, status)
    assert (verdict.before, verdict.came.note) == (seen(5), asked.note)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(request(0, 5, REAL, ELSEWHERE), 404, id="another-origin"),
        pytest.param(request(0, 5, REAL, OTHER), 403, id="another-key"),
        pytest.param(
            AddCheckpoint(0, (), REAL.head(5).replace(f"{ORIGIN}\n5", f"{ORIGIN}\n6")),
            403,
            id="changed-after-signing",
        ),
        pytest.param(AddCheckpoint(7, (), REAL.head(5)), 400, id="old-above-size"),
        pytest.param(AddCheckpoint(0, REAL.proof(5, 9), REAL.head(9)), 422, id="proof-from-zero"),
        pytest.param(
            AddCheckpoint(0, (), signed(f"{ORIGIN}\n0\n{'A' * 43}=\n")), 422, id="empty-with-a-root"
        ),
        *(
            pytest.param(AddCheckpoint(0, (), signed(f"{ORIGIN}\n{size}\n{EMPTY}\n")), 400, id=size)
            for size in ("-7", "1_0", "+1", "007", "9" * 17, "\u0663")
        ),
        pytest.param(AddCheckpoint(0, (), signed(f"{ORIGIN}\n5\nAAAA\n")), 400, id="short-root"),
        pytest.param(
            AddCheckpoint(0, (), signed(f"{ORIGIN}\n5\n{EMPTY}\nmore\n")), 400, id="extension"
        ),
    ],
)
def test_what_is_refused(asked: AddCheckpoint, status: int) -> None:
    verdict = judge(asked, seen=None, log=LOG.verifier)
    assert isinstance(verdict, Refused), verdict
    assert status_of(verdict, asked) == status


BODY = format_request(request(5, 9))


def test_a_request_is_what_the_format_says() -> None:
    head, _, note = BODY.decode().partition("\n\n")
    first, *lines = head.split("\n")
    assert (first, note) == ("old 5", REAL.head(9))
    assert tuple(base64.b64decode(line) for line in lines) == REAL.proof(5, 9)


@given(st.integers(0, 2**53 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_requests_round_trip(old: int, proof: list[bytes]) -> None:
    asked = AddCheckpoint(old, tuple(proof), REAL.head(9))
    assert parse_request(format_request(asked)) == asked


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff" + BODY, id="not-utf8"),
        pytest.param(BODY.replace(b"old 5", b"old -7"), id="minus"),
        pytest.param(BODY.replace(b"old 5", b"old 05"), id="leading-zero"),
        pytest.param(BODY.replace(b"old 5", b"old 1_0"), id="underscore"),
        pytest.param(BODY.replace(b"old 5", b"old 9007199254740992"), id="2-53"),
        pytest.param(BODY.replace(b"old 5", b"Old 5"), id="case"),
        pytest.param(BODY.replace(b"old 5\n", b""), id="no-old"),
        pytest.param(BODY.replace(b"\n\n", b"\n", 1), id="no-empty-line"),
        pytest.param(BODY.replace(b"=\n", b"\n", 1), id="truncated-base64"),
        pytest.param(BODY.replace(b"old 5\n", b"old 5\nAAAA\n"), id="short-hash"),
        pytest.param(
            BODY.replace(b"old 5\n", b"old 5\n" + (b"A" * 43 + b"=\n") * 64), id="68-hashes"
        ),
        pytest.param(BODY.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(BODY[:-1], id="no-last-newline"),
        pytest.param(BODY + b"\n", id="an-empty-line-after"),
        pytest.param(b"x" * 2_000_000, id="too-large"),
    ],
)
def test_bodies_that_are_no_request(data: bytes) -> None:
    with pytest.raises(ProofError):
        parse_request(data)


@given(st.binary(max_size=300))
def test_no_octets_break_the_parser(data: bytes) -> None:
    with pytest.raises(ProofError):
        parse_request(data)


@pytest.mark.parametrize(("old", "proof"), [(-1, ()), (True, ()), (0, (b"x",)), (2**53, ())])
def test_values_that_are_no_request(old: int, proof: tuple[bytes, ...]) -> None:
    with pytest.raises(ProofError):
        AddCheckpoint(old, proof, REAL.head(9))


@pytest.mark.parametrize("size", [0, 7, 2**53 - 1])
def test_sizes_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    "data", [b"", b"7", b"07\n", b"-7\n", b"7\n\n", b"1_0\n", b"9" * 16 + b"\n"]
)
def test_bodies_that_are_no_size(data: bytes) -> None:
    with pytest.raises(ProofError):
        parse_size(data)
