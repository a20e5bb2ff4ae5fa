"""`.tlog-proof` files: round trips, and one fault a vector."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from witness_site import LOG, TIME, History, witness

from ledger.errors import ProofError, QuorumMissed
from ledger.tlogpolicy import Policy, PolicyLog, parse_policy
from ledger.tlogproof import TlogProof, format_proof, parse_proof
from ledger.tree import leaf_hash

ONE = witness(1)
HISTORY = History(9)
HEAD = HISTORY.head(9)
NOTE = HEAD + ONE.cosign(HEAD, time=TIME)
PROOF = TlogProof(5, HISTORY.tree.inclusion_proof(5, 9), NOTE)
LEAF = leaf_hash(HISTORY.entries[5])
FILE = format_proof(PROOF)
POLICY = parse_policy(f"log {LOG.verifier_key}\nwitness w {ONE.verifier.text}\nquorum w\n".encode())


def test_a_proof_is_what_the_format_says() -> None:
    first, second, *hashes = FILE.decode().split("\n\n", 1)[0].split("\n")
    assert (first, second) == ("c2sp.org/tlog-proof@v1", "index 5")
    assert tuple(base64.b64decode(one) for one in hashes) == PROOF.hashes
    assert FILE.decode().split("\n\n", 1)[1] == NOTE
    with_extra = format_proof(TlogProof(5, PROOF.hashes, NOTE, b"more")).decode().split("\n")
    assert with_extra[1:3] == ["extra bW9yZQ==", "index 5"]


@given(
    index=st.integers(0, 2**53 - 1),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    extra=st.none() | st.binary(min_size=1, max_size=100),
)
def test_proofs_round_trip(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = TlogProof(index, tuple(hashes), NOTE, extra)
    assert parse_proof(format_proof(proof)) == proof


def test_a_proof_holds_for_its_entry_only() -> None:
    opened = parse_proof(FILE).verify(LEAF, POLICY)
    assert (opened.checkpoint.size, opened.witnesses) == (9, {ONE.verifier})
    with pytest.raises(ProofError, match="inclusion"):
        PROOF.verify(leaf_hash(b"another"), POLICY)
    with pytest.raises(ProofError, match="inclusion"):
        TlogProof(4, PROOF.hashes, NOTE).verify(LEAF, POLICY)


def test_a_proof_needs_log_and_quorum() -> None:
    with pytest.raises(QuorumMissed):
        TlogProof(5, PROOF.hashes, HEAD).verify(LEAF, POLICY)
    with pytest.raises(ProofError, match="by a log of the policy"):
        PROOF.verify(LEAF, Policy())
    assert PROOF.verify(LEAF, Policy(logs=(PolicyLog(LOG.verifier),))).cosignatures == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "expected c2sp", id="empty"),
        pytest.param(FILE.replace(b"@v1", b"@v2"), "expected c2sp", id="another-version"),
        pytest.param(FILE.replace(b"\n\n", b"\n", 1), "expected", id="no-empty-line"),
        pytest.param(FILE.replace(b"index 5", b"index 05"), "decimal", id="leading-zero"),
        pytest.param(FILE.replace(b"index 5", b"index -7"), "decimal", id="minus"),
        pytest.param(FILE.replace(b"index 5", b"index +1"), "decimal", id="plus"),
        pytest.param(FILE.replace(b"index 5", b"index 1_0"), "decimal", id="underscore"),
        pytest.param(FILE.replace(b"index 5", b"index  5"), "decimal", id="two-spaces"),
        pytest.param(FILE.replace(b"index 5", b"index 5 "), "decimal", id="space-after"),
        pytest.param(FILE.replace(b"index 5\n", b""), "decimal", id="no-index"),
        pytest.param(
            FILE.replace(b"index 5", b"index 9007199254740992"), "below 2", id="index-of-2-53"
        ),
        pytest.param(FILE.replace(b"index", b"extra \nindex"), "1 to", id="empty-extra"),
        pytest.param(FILE.replace(b"index", b"extra x\nindex"), "base64", id="extra-no-base64"),
        pytest.param(
            FILE.replace(b"index", b"extra AAAA\nextra AAAA\nindex"), "decimal", id="extra-twice"
        ),
        pytest.param(FILE.replace(b"=\n", b"\n", 1), "base64", id="truncated-base64"),
        pytest.param(FILE.replace(b"index 5\n", b"index 5\nAAAA\n"), "hashes", id="short-hash"),
        pytest.param(
            FILE.replace(
                b"index 5\n", b"index 5\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 63
            ),
            "hashes|base64",
            id="64-hashes",
        ),
        pytest.param(FILE.replace(b"\n", b"\r\n"), "expected", id="crlf"),
        pytest.param(FILE[:-1], "expected a text", id="no-newline-at-the-end"),
        pytest.param(b"\xff" + FILE, "UTF-8", id="not-utf8"),
        pytest.param(b"x" * 2_000_000, "at most", id="too-large"),
    ],
)
def test_files_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ProofError, match=message):
        parse_proof(data)


@pytest.mark.parametrize(
    ("index", "hashes", "extra"),
    [(-1, (), None), (True, (), None), (0, (b"x",), None), (0, (), b"")],
)
def test_values_that_are_no_proof(index: int, hashes: tuple[bytes, ...], extra: bytes) -> None:
    with pytest.raises(ProofError):
        TlogProof(index, hashes, NOTE, extra)
