from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from ledger.errors import ProofError
from ledger.note import NoteSigner, sign_note
from ledger.tree import EMPTY_ROOT

SIGNER = NoteSigner("a.example/log", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
ROOT = bytes(range(32))
ROOT_TEXT = base64.b64encode(ROOT).decode()
HEAD = Checkpoint("a.example/log", 7, ROOT)
TEXT = f"a.example/log\n7\n{ROOT_TEXT}\n"


def test_the_text_is_three_lines() -> None:
    assert format_checkpoint(HEAD) == TEXT
    assert parse_checkpoint(TEXT) == HEAD


@pytest.mark.parametrize("size", [1, 9, 10, 2**53 - 1])
def test_signed_heads_open(size: int) -> None:
    head = Checkpoint("a.example/log", size, ROOT)
    assert open_checkpoint(sign_checkpoint(head, SIGNER), SIGNER.verifier) == head


def test_the_empty_head_opens() -> None:
    head = Checkpoint("a.example/log", 0, EMPTY_ROOT)
    assert open_checkpoint(sign_checkpoint(head, SIGNER), SIGNER.verifier) == head


@pytest.mark.parametrize(
    "size",
    [
        "-7",
        "+7",
        "07",
        "7_0",
        "1_0",
        " 7",
        "7 ",
        "",
        "7.0",
        "٧",
        "0x7",
        "9007199254740992",
        "9" * 99,
    ],
)
def test_sizes_of_another_spelling(size: str) -> None:
    with pytest.raises(ProofError):
        parse_checkpoint(f"a.example/log\n{size}\n{ROOT_TEXT}\n")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(TEXT[:-1], id="no-last-newline"),
        pytest.param(TEXT + "extension\n", id="extension-line"),
        pytest.param(TEXT + "\n", id="empty-line"),
        pytest.param("\n" + TEXT, id="line-before"),
        pytest.param(f"\n7\n{ROOT_TEXT}\n", id="no-origin"),
        pytest.param(f"a\tb\n7\n{ROOT_TEXT}\n", id="control-character"),
        pytest.param("a\n7\n\n", id="no-root"),
        pytest.param(f"a\n7\n{ROOT_TEXT[:-4]}\n", id="short-root"),
        pytest.param(f"a\n7\n{ROOT_TEXT} \n", id="space-after-root"),
        pytest.param(f"a\n7\n{ROOT_TEXT[:-2]}9=\n", id="base64-spelling"),
        pytest.param("a\n7\né\n", id="root-not-ascii"),
        pytest.param(f"a\n0\n{ROOT_TEXT}\n", id="empty-tree-with-a-root"),
    ],
)
def test_texts_that_are_no_checkpoint(text: str) -> None:
    with pytest.raises(ProofError, match="checkpoint"):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 1, ROOT), ("a\nb", 1, ROOT), ("a", -1, ROOT), ("a", True, ROOT), ("a", 1, b"")],
)
def test_values_that_are_no_checkpoint(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(ProofError):
        Checkpoint(origin, size, root)


def test_only_the_log_itself_speaks_for_its_origin() -> None:
    other = Checkpoint("b.example/log", 7, ROOT)
    with pytest.raises(ProofError, match="expected origin"):
        sign_checkpoint(other, SIGNER)
    with pytest.raises(ProofError, match="expected origin"):
        open_checkpoint(sign_note(format_checkpoint(other), SIGNER), SIGNER.verifier)
