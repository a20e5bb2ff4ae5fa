"""What became of single rows in uses, as an owner opens them against its receipts in the log.

A receipt's `rows_commitment` is SHA-256("tds rows v1\\n" || use salt || rows (8 bytes) || root), of
an RFC 6962 tree with a leaf for each row: SHA-256(0x00 || salt || state || row (8 bytes)), state 0
for a row that no app saw, 1 for one to train on, 2 for one to evaluate on. An opened row brings its
salts and the hashes on its way to the root, and says nothing of any other row.

Whose row it is, is the owner's word: a receipt commits to states, and to the data as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from auditors.errors import AuditError, AuditInputError
from auditors.lines import MALFORMED, quick_entry
from auditors.reading import decoded
from ledger.errors import ProofError
from ledger.proofs import verify_inclusion
from ledger.tree import leaf_hash
from policies.canonical import parse_json
from policies.errors import DocumentError, SignatureError
from policies.fields import Count, Document, Id, ParticipantId, Sha256, Version
from policies.receipt import Receipt, open_receipt

MAX_PROOF_BYTES: Final = 1 << 26
TRAINING: Final = 1
EVALUATION: Final = 2
_KEYS: Final = ("ParticipantEnrolled", "KeyRotated")
_TAG: Final = b"tds rows v1\n"

Lines = Iterable[tuple[int, bytes]]


class _Row(Document):
    version: Version
    use_salt: Sha256
    rows: Count
    row: Count
    state: Annotated[int, Field(ge=0, le=2)]
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    root: Sha256
    proof: Annotated[list[Sha256], Field(max_length=63)]


class _Use(Document):
    permit_id: Annotated[str, Field(pattern=r"^permit-[0-9a-f]{32}$")]
    permit: Sha256
    run: Id
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    product: Id
    rows_commitment: Sha256
    rows: list[_Row]


class _Proof(Document):
    version: Version
    participant: ParticipantId
    uses: Annotated[list[_Use], Field(max_length=100_000)]


@dataclass(frozen=True, slots=True)
class OpenedUse:
    """What became of the rows in one use.

    Attributes:
        entry: of the receipt, in the log.
        rows: which, ascending, from 0, in the order of the owner's data.
        trained, evaluated, unseen: how many of them the app was given for it, and how many not.
    """

    entry: int
    run: str
    round: int
    kind: str
    participant: str
    product: str
    rows: tuple[int, ...]
    trained: int
    evaluated: int
    unseen: int


def check_rows(lines: Lines, proof: bytes) -> list[OpenedUse]:
    """Every use that a proof opens, in its order, each against the receipt in the log.

    Args:
        lines: the log's entries; that they are its own, the caller has verified.
        proof: a file of `tds node subject --prove`.

    Raises:
        AuditInputError: no such file.
        AuditError: a row does not fit its receipt, or the log has no such receipt.
    """
    try:
        found = _Proof.from_json(parse_json(proof, max_bytes=MAX_PROOF_BYTES))
    except DocumentError as error:
        raise AuditInputError(f"proof: {error}; make one with: tds node subject") from error
    receipts = _receipts(lines, found)
    return [_checked(found.participant, use, receipts) for use in found.uses]


@dataclass(frozen=True, slots=True)
class _Signed:
    entry: int
    kind: str
    receipt: Receipt


def _receipts(lines: Lines, proof: _Proof) -> dict[str, _Signed]:
    """Those that the proof is about, by permit, signed with a key that their owner had by then.

    Whether it is the one that its permit names, is for the replay (`auditors.receipts`) to say.
    """
    wanted = {use.permit_id for use in proof.uses}
    found: dict[str, _Signed] = {}
    keys: list[Ed25519PublicKey] = []
    for index, line in lines:
        try:
            entry = quick_entry(line)
            body: Any = entry.body
            if body.get("participant") != proof.participant:
                continue
            if entry.type in _KEYS and body["receipt_key"]:
                raw = bytes.fromhex(body["receipt_key"])
                keys.insert(0, Ed25519PublicKey.from_public_bytes(raw))
            elif entry.type == "ReceiptAccepted" and body["permit_id"] in wanted:
                receipt = _opened(decoded(body["envelope"]), keys)
                found[receipt.permit_id] = _Signed(index, body["kind"], receipt)
        except (*MALFORMED, SignatureError) as error:
            raise AuditError(f"entry {index}: cannot be read: {error}") from error
    return found


def _opened(envelope: bytes, keys: list[Ed25519PublicKey]) -> Receipt:
    refused = SignatureError("expected an enrolment of its owner before it, got none")
    for key in keys:
        try:
            return open_receipt(envelope, key)
        except SignatureError as error:
            refused = error
    raise refused


def _checked(participant: str, use: _Use, receipts: Mapping[str, _Signed]) -> OpenedUse:
    signed = receipts.get(use.permit_id)
    if signed is None:
        raise AuditError(
            f"permit {use.permit_id}: expected an accepted receipt of {participant} in the log, "
            "got none; take a newer copy of the log"
        )
    receipt = signed.receipt
    for name in ("permit", "run", "round", "product", "rows_commitment"):
        expected, got = getattr(receipt, name), getattr(use, name)
        if expected != got:
            raise AuditError(
                f"entry {signed.entry}: {name}: the receipt says {expected}, the proof {got}"
            )
    places = [row.row for row in use.rows]
    if any(after <= before for before, after in pairwise(places)):
        raise AuditError(f"permit {use.permit_id}: expected each row once, in ascending order")
    for row in use.rows:
        _verify(row, receipt, signed.entry)
    states = [row.state for row in use.rows]
    trained = states.count(TRAINING) if signed.kind == "train" else 0
    evaluated = states.count(EVALUATION)
    return OpenedUse(
        entry=signed.entry,
        run=receipt.run,
        round=receipt.round,
        kind=signed.kind,
        participant=participant,
        product=receipt.product,
        rows=tuple(places),
        trained=trained,
        evaluated=evaluated,
        unseen=len(states) - trained - evaluated,
    )


def _verify(row: _Row, receipt: Receipt, entry: int) -> None:
    root, place = bytes.fromhex(row.root), row.row.to_bytes(8, "big")
    leaf = leaf_hash(bytes.fromhex(row.salt) + bytes([row.state]) + place)
    siblings = [bytes.fromhex(one) for one in row.proof]
    head = _TAG + bytes.fromhex(row.use_salt) + row.rows.to_bytes(8, "big") + root
    try:
        verify_inclusion(index=row.row, size=row.rows, leaf=leaf, proof=siblings, root=root)
    except ProofError as error:
        raise AuditError(f"entry {entry}: row {row.row} was not opened: {error}") from error
    found = hashlib.sha256(head).hexdigest()
    if found != receipt.rows_commitment:
        raise AuditError(
            f"entry {entry}: row {row.row}: expected the receipt's commitment "
            f"{receipt.rows_commitment}, got {found}: this is not what the node signed"
        )
