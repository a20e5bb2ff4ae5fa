"""Whether a receipt holds: enrolled key, permit, rows, and the digest of what arrived (step 9)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from policies.account import whole_seconds
from policies.canonical import sha256_hex
from policies.claim import Claim
from policies.errors import DocumentError, MaskKeyError, SignatureError
from policies.evaluate import Reason
from policies.fields import parse_instant
from policies.masks import parse_public_key
from policies.permit import CohortMember, PermitBody
from policies.receipt import Receipt, open_receipt
from server import queries
from server.errors import NotAllowed, NotKnown, Superseded
from server.pki import Identity
from server.rows import RetiredKey, RoundRow, RunRow

MAX_RECEIPT_BYTES: Final = 65_536
NOTHING: Final = sha256_hex(b"")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A reply with the digest of the update that came with it, as the consumer tells."""

    node_id: str
    receipt: bytes
    update: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A node without a receipt, with the reason that the consumer saw."""

    node_id: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class PermittedRound:
    """A permitted attempt with what its receipts are checked against."""

    row: RoundRow
    run: RunRow
    permit: PermitBody
    digest: str  # of the permit
    members: Mapping[str, CohortMember]  # by node id


def load_round(connection: Connection, caller: Identity, permit_id: str) -> PermittedRound:
    """The attempt that a permit is of.

    Raises:
        NotKnown, NotAllowed, Superseded
    """
    row = queries.round_by_permit(connection, permit_id)
    run = queries.run(connection, row.run) if row is not None else None
    if row is None or run is None or row.permit_body is None:
        raise NotKnown(f"permit {permit_id!r:.80}: expected the id of a permit")
    if run.consumer != caller.participant:
        raise NotAllowed(f"{permit_id}: expected a permit of {caller.participant}, is another's")
    if row.state == "ABANDONED":
        raise Superseded(f"{permit_id}: a newer attempt at this round took its place")
    return permitted_round(row, run)


def permitted_round(row: RoundRow, run: RunRow) -> PermittedRound:
    """An attempt that has a permit, ready to be looked at."""
    permit = PermitBody.from_json(json.loads(row.permit_body or ""))
    by_place = {(member.participant, member.product): member for member in permit.cohort}
    members = {
        verdict["node_id"]: by_place[verdict["participant"], verdict["product"]]
        for verdict in json.loads(row.verdicts)
        if verdict["permitted"]
    }
    return PermittedRound(row=row, run=run, permit=permit, digest=permit.digest(), members=members)


def check_receipt(
    round_: PermittedRound,
    claims: Mapping[str, Claim],
    one: Arrived,
    accepted: set[str],
    retired: Mapping[str, RetiredKey],
) -> Receipt | Reason:
    """The receipt if everything about it holds, else the first thing that does not.

    Args:
        claims: the cohort's agreements as they stand now, by id.
        accepted: participants of whom a receipt was accepted under this permit.
        retired: keys that the permit names and that no longer count, by id.
    """
    member = round_.members.get(one.node_id)
    if member is None:
        return Reason("receipt-wrong-node", "this node has no part in the permit's cohort")
    claim = claims[member.agreement]
    for reason in _barred(claim, one, accepted):
        return reason
    key = _key_of(claim, member, retired)
    try:
        receipt = open_receipt(one.receipt, key)
        wrong = next(_wrong(round_, member, receipt, one.update), None)
    except SignatureError as error:
        return Reason("receipt-signature", str(error)[:1000])
    except DocumentError as error:
        return Reason("receipt-malformed", str(error)[:1000])
    return wrong or receipt


def _key_of(
    claim: Claim, member: CohortMember, retired: Mapping[str, RetiredKey]
) -> Ed25519PublicKey:
    """The key that the permit names, where it is or was the participant's; the present one else."""
    before = retired.get(member.key)
    counted = claim.receipt_key
    if before is not None and before.participant == claim.participant:
        counted = before.receipt_key
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(counted))


def _wrongly_masked(permit: PermitBody, receipt: Receipt) -> Iterator[Reason]:
    """In what a receipt does not fit the permit's secure sum, or the want of one."""
    how = permit.secure_sum
    if (receipt.update == NOTHING) != (permit.kind == "evaluate" and how is None):
        text = "an update leaves every training and every use under a secure sum, and no other use"
        yield Reason("receipt-wrong-update", text)
    if how is not None and receipt.metrics:
        text = "under a secure sum figures leave within the update, this one states them openly"
        yield Reason("receipt-wrong-metrics", text)
    if how is None:
        if receipt.mask_key:
            text = "it states a key for a mask of which the permit knows nothing"
            yield Reason("receipt-wrong-mask", text)
        return
    try:
        parse_public_key(receipt.mask_key)
    except MaskKeyError as error:
        yield Reason("receipt-wrong-mask", str(error))


def _barred(claim: Claim, one: Arrived, accepted: set[str]) -> Iterator[Reason]:
    """What keeps a reply out before its receipt is read."""
    if claim.participant in accepted:
        text = f"a receipt of {claim.participant} was accepted already"
        yield Reason("receipt-twice", text)
    if claim.withdrawn is not None:
        text = f"{claim.participant} withdrew its consent at {claim.withdrawn}"
        yield Reason("consent-withdrawn", text)
    if not claim.active:
        yield Reason("participant-inactive", f"{claim.participant} is not active")
    if len(one.receipt) > MAX_RECEIPT_BYTES:
        yield Reason("receipt-malformed", f"expected at most {MAX_RECEIPT_BYTES} bytes")


def _wrong(
    round_: PermittedRound, member: CohortMember, receipt: Receipt, arrived: str
) -> Iterator[Reason]:
    """In what a genuine receipt does not fit the permit or what arrived."""
    permit = round_.permit
    stated = {
        "permit": (round_.digest, receipt.permit),
        "permit_id": (permit.id, receipt.permit_id),
        "run": (permit.run, receipt.run),
        "round": (permit.round, receipt.round),
        "participant": (member.participant, receipt.participant),
        "product": (member.product, receipt.product),
        "clip_norm": (permit.clip_norm, receipt.clip_norm),
        "noise": (permit.privacy.noise if permit.privacy else "", receipt.noise),
    }
    for name, (expected, got) in stated.items():
        if expected != got:
            text = f"{name}: the permit says {expected or 'none'}, the receipt {got or 'none'}"
            yield Reason("receipt-wrong-permit", text)
    used, held_back, without = (
        receipt.rows_used,
        receipt.rows_held_back,
        receipt.rows_without_consent,
    )
    rows = used + held_back + without
    if rows > member.max_rows or (permit.kind == "train" and used == 0):
        text = f"rows: expected 1 to {member.max_rows} used, held back and left out for want "
        text += f"of consent, got {used} of {rows}"
        yield Reason("receipt-wrong-rows", text)
    if receipt.update != arrived:
        text = f"update: the receipt says {receipt.update}, what arrived is {arrived}"
        yield Reason("receipt-wrong-update", text)
    yield from _wrongly_masked(permit, receipt)
    if not set(receipt.metrics) <= set(permit.metrics):
        text = "it carries a figure that the permit does not name"
        yield Reason("receipt-wrong-metrics", text)
    if receipt.accelerator not in ("none", permit.limits.accelerator):
        text = f"accelerator: the permit says {permit.limits.accelerator}, the receipt "
        yield Reason("receipt-wrong-permit", text + receipt.accelerator)
    if receipt.finished > permit.expires:
        text = f"finished at {receipt.finished}, the permit expired at {permit.expires}"
        yield Reason("receipt-late", text)
    used_s = whole_seconds(parse_instant(receipt.started), parse_instant(receipt.finished))
    if used_s is not None and used_s > member.metered_s:
        text = f"expected at most the {member.metered_s} seconds that were reserved, got {used_s}"
        yield Reason("receipt-over-time", text)
