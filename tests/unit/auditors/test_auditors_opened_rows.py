"""Rows that an owner opens: as its node makes them, checked by code that shares none with it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.errors import AuditError, AuditInputError
from auditors.opened_rows import check_rows
from clients.rowset import RowTree, open_row, rows_commitment, use_salt
from policies.canonical import canonical_bytes, sha256_hex
from policies.entries import EntryType, entry_bytes
from policies.receipt import Confinement, Receipt, sign_receipt

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
TIME = "2026-01-01T00:00:00.000Z"
SALT = b"s" * 32
STATES = (np.arange(700) % 3).astype(np.uint8)
TREE = RowTree.of(node_salt=SALT, product_commitment="c" * 64)
ROWS = (0, 256, 257, 699)

Document = dict[str, Any]
Change = Callable[[Document], object]


def permit(number: int) -> str:
    return f"permit-{number:032x}"


def receipt(number: int, **changes: Any) -> Receipt:
    digest = sha256_hex(permit(number).encode())
    fields: Document = {
        "version": 1,
        "permit": digest,
        "permit_id": permit(number),
        "run": "run-1",
        "round": number,
        "participant": "clinic",
        "product": "clinic/rows",
        "product_commitment": "c" * 64,
        "rows_commitment": rows_commitment(TREE, STATES, use_salt(node_salt=SALT, permit=digest)),
        "rows_used": 233,
        "rows_held_back": 233,
        "rows_without_consent": 234,
        "update": "d" * 64,
        "metrics": {},
        "confinement": Confinement.measured(
            network="none",
            user="nobody",
            files="own",
            no_new_privileges=True,
            memory_limit=True,
            scratch="bounded",
        ).to_json(),
        "started": TIME,
        "finished": TIME,
        "log_size": 3,
        "log_root": "e" * 64,
        "clip_norm": "",
        "mask_key": "",
        "noise": "",
        "accelerator": "none",
    }
    return Receipt.from_json(fields | changes)


def lines(
    *, kinds: tuple[str, ...] = ("train", "evaluate"), key: Ed25519PrivateKey = KEY
) -> list[tuple[int, bytes]]:
    public = KEY.public_key().public_bytes_raw().hex()
    found = [entry("ParticipantEnrolled", {"participant": "clinic", "receipt_key": public})]
    for number, kind in enumerate(kinds, 1):
        envelope = base64.b64encode(sign_receipt(receipt(number), key)).decode()
        body = {
            "participant": "clinic",
            "permit_id": permit(number),
            "kind": kind,
            "envelope": envelope,
        }
        found.append(entry("ReceiptAccepted", body))
    return list(enumerate(found))


def entry(kind: EntryType, body: Document) -> bytes:
    return entry_bytes(kind, time=TIME, body=body)


def proof(*numbers: int) -> Document:
    uses = []
    for number in numbers:
        one = receipt(number)
        salt = use_salt(node_salt=SALT, permit=one.permit)
        rows = [open_row(TREE, STATES, salt, row).to_json() for row in ROWS]
        names = ("permit_id", "permit", "run", "round", "product", "rows_commitment")
        uses.append({name: getattr(one, name) for name in names} | {"rows": rows})
    return {"version": 1, "participant": "clinic", "uses": uses}


def test_what_became_of_the_rows_in_each_use() -> None:
    found = check_rows(lines(), canonical_bytes(proof(1, 2)))
    assert [STATES[row] for row in ROWS] == [0, 1, 2, 0]
    assert [
        (one.entry, one.kind, one.round, one.trained, one.evaluated, one.unseen) for one in found
    ] == [(1, "train", 1, 1, 1, 2), (2, "evaluate", 2, 0, 1, 3)]
    assert {one.rows for one in found} == {ROWS}


def rotated(after: int, key: Ed25519PrivateKey) -> list[tuple[int, bytes]]:
    """The log, with another key of the owner's at this place."""
    public = key.public_key().public_bytes_raw().hex()
    change = entry("KeyRotated", {"participant": "clinic", "receipt_key": public})
    found = [line for _, line in lines()]
    return list(enumerate([*found[:after], change, *found[after:]]))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_receipt_may_be_signed_with_any_key_that_its_owner_had(after: int) -> None:
    found = check_rows(rotated(after, OTHER), canonical_bytes(proof(1, 2)))
    assert [one.round for one in found] == [1, 2]


def first(change: Change) -> Change:
    return lambda whole: change(whole["uses"][0])


def row(**values: Any) -> Change:
    return first(lambda use: use["rows"][1].update(values))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (row(state=0), "row 256 was not opened"),
        (row(salt="0" * 32), "row 256 was not opened"),
        (row(row=255), "row 255 was not opened"),
        (row(root="0" * 64), "row 256 was not opened"),
        (row(proof=[]), "row 256 was not opened"),
        (row(rows=701), "row 256"),
        (row(use_salt="0" * 64), "this is not what the node signed"),
        (first(lambda use: use["rows"].reverse()), "each row once"),
        (first(lambda use: use["rows"].insert(0, use["rows"][0])), "each row once"),
        (first(lambda use: use.update(rows_commitment="0" * 64)), "the receipt says"),
        (first(lambda use: use.update(round=2)), "the receipt says"),
        (first(lambda use: use.update(product="clinic/other")), "the receipt says"),
        (first(lambda use: use.update(permit="0" * 64)), "the receipt says"),
        (first(lambda use: use.update(permit_id=permit(9))), "no accepted receipt|got none"),
        (lambda whole: whole.update(participant="other"), "got none"),
    ],
)
def test_what_does_not_fit_the_receipt_is_refused(change: Change, words: str) -> None:
    whole = proof(1)
    change(whole)
    with pytest.raises(AuditError, match=words):
        check_rows(lines(), canonical_bytes(whole))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[" * 9999, canonical_bytes(proof(1) | {"version": 2})]
)
def test_what_is_no_proof_is_wrong_input(data: bytes) -> None:
    with pytest.raises(AuditInputError, match="proof"):
        check_rows(lines(), data)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (lines(key=OTHER), "entry 1"),
        (lines()[1:], "expected an enrolment"),
        (lines()[:1], "got none"),
        ([*lines()[:1], (1, b"{}")], "entry 1: cannot be read"),
        (
            [
                *lines()[:1],
                (1, entry("ReceiptAccepted", {"participant": "clinic", "permit_id": permit(1)})),
            ],
            "entry 1: cannot be read",
        ),
    ],
)
def test_a_log_without_that_receipt_proves_nothing(
    log: list[tuple[int, bytes]], words: str
) -> None:
    with pytest.raises(AuditError, match=words):
        check_rows(log, canonical_bytes(proof(1)))
