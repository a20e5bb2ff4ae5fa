"""Whether an accepted receipt is what its node signed, and keeps to its permit (step 9).

    receipt-permitted   it is signed with the enrolled key, and its entry says what was signed, of
                        the permit that it names
    receipt-masked      it states a mask and noise, and figures openly, only as its permit says
    receipt-in-bounds   at most the registered rows and the reserved seconds were used, before the
                        permit expired

This is what takes longest in a replay, and it rests on nothing but keys and permits: a share of a
replay may do it apart from all else. Whether the permit is still open, and who has answered it, is
for `auditors.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auditors.reading import Read, decoded
from policies.account import metered_seconds, whole_seconds
from policies.envelope import key_id
from policies.errors import MaskKeyError, SignatureError
from policies.fields import parse_instant
from policies.masks import parse_public_key
from policies.permit import CohortMember, PermitBody
from policies.receipt import Receipt, open_receipt_and_digest

Fault = tuple[str, str]


class _Permit:
    """A permit that is not closed."""

    __slots__ = ("body", "digest", "members")

    def __init__(self, body: PermitBody, digest: str) -> None:
        self.body, self.digest = body, digest
        self.members = {member.participant: member for member in reversed(body.cohort)}


class Receipts:
    """Keys, and permits that are open."""

    def __init__(self) -> None:
        # All that a participant ever had: a receipt is signed with the one that its permit names.
        self._keys: dict[tuple[str, str], Ed25519PublicKey] = {}
        self._permits: dict[str, _Permit] = {}
        self._open: dict[str, list[str]] = {}

    def look(self, read: Read) -> Iterable[Fault]:
        """Take one entry in; the faults are those of a receipt.

        Raises:
            KeyError, TypeError, ValueError, PolicyError: in another form than governance writes.
        """
        look = LOOKS.get(read.entry.type)
        return look(self, read) if look is not None else ()

    def _enrolled(self, read: Read) -> Iterable[Fault]:
        body = read.body
        if body["receipt_key"]:
            raw = bytes.fromhex(body["receipt_key"])
            key = Ed25519PublicKey.from_public_bytes(raw)
            self._keys[body["participant"], key_id(key)] = key
        return ()

    def _permitted(self, read: Read) -> Iterable[Fault]:
        permit, digest = read.permit, read.body_digest
        self._permits[digest] = _Permit(permit, digest)
        self._open.setdefault(permit.id, []).append(digest)
        return ()

    def _over(self, read: Read) -> Iterable[Fault]:
        for digest in self._open.pop(read.body["permit_id"], ()):
            self._permits.pop(digest, None)
        return ()

    def _accepted(self, read: Read) -> Iterable[Fault]:
        body = read.body
        issued = self._permits.get(body["permit"])
        member = issued.members.get(body["participant"]) if issued is not None else None
        if issued is None or member is None:
            return  # named by `auditors.rules`
        key = self._keys.get((member.participant, member.key))
        if key is None:
            yield (
                "receipt-permitted",
                f"{member.participant}: its permit names a key that it never enrolled",
            )
            return
        try:
            receipt, digest = open_receipt_and_digest(decoded(body["envelope"]), key)
        except SignatureError as error:
            yield "receipt-permitted", f"{member.participant}: {error}"
            return
        for rule, text in _problems(body, receipt, digest, issued, member):
            yield rule, f"{member.participant}: {text}"


LOOKS: Final[Mapping[str, Callable[[Receipts, Read], Iterable[Fault]]]] = MappingProxyType(
    {
        "KeyRotated": Receipts._enrolled,
        "ParticipantEnrolled": Receipts._enrolled,
        "PermitIssued": Receipts._permitted,
        "ReceiptAccepted": Receipts._accepted,
        "RoundAbandoned": Receipts._over,
        "RoundClosed": Receipts._over,
    }
)


def _unmasked(permit: PermitBody, receipt: Receipt) -> Iterator[str]:
    how = permit.secure_sum
    if how is not None and receipt.metrics:
        yield "expected figures within the masked update only, got them openly"
    if how is None:
        if receipt.mask_key:
            yield "expected no key of a mask, got one"
        return
    try:
        parse_public_key(receipt.mask_key)
    except MaskKeyError as error:
        yield str(error)


def _problems(
    body: dict[str, Any], receipt: Receipt, digest: str, issued: _Permit, member: CohortMember
) -> Iterator[Fault]:
    permit = issued.body
    started, finished = parse_instant(receipt.started), parse_instant(receipt.finished)
    for name, expected, got in (
        ("permit", issued.digest, receipt.permit),
        ("permit's id", permit.id, receipt.permit_id),
        ("run", permit.run, receipt.run),
        ("round", permit.round, receipt.round),
        ("participant", member.participant, receipt.participant),
        ("product", member.product, receipt.product),
        ("clip norm", permit.clip_norm, receipt.clip_norm),
        ("noise", permit.privacy.noise if permit.privacy else "", receipt.noise),
        ("entry's permit", permit.id, body["permit_id"]),
        ("entry's run", permit.run, body["run"]),
        ("entry's round", (permit.round, permit.kind), (body["round"], body["kind"])),
        ("entry's attempt", permit.attempt, body["attempt"]),
        ("entry's product", member.product, body["product"]),
        ("update", receipt.update, body["update"]),
        ("digest", digest, body["receipt"]),
        ("rows", receipt.rows_used, body["rows_used"]),
        ("metered", metered_seconds(started, finished, member.metered_s), body["metered_s"]),
    ):
        if expected != got:
            yield "receipt-permitted", f"{name}: expected {expected}, got {got}"
    for text in _unmasked(permit, receipt):
        yield "receipt-masked", text
    rows = receipt.rows_used + receipt.rows_held_back + receipt.rows_without_consent
    if rows > member.max_rows:
        yield (
            "receipt-in-bounds",
            f"expected at most {member.max_rows} rows, got "
            f"{receipt.rows_used}, {receipt.rows_held_back} held back and "
            f"{receipt.rows_without_consent} left out for want of consent",
        )
    if receipt.accelerator not in ("none", permit.limits.accelerator):
        text = f"accelerator: expected {permit.limits.accelerator}, got {receipt.accelerator}"
        yield "receipt-permitted", text
    used_s = whole_seconds(started, finished)
    if used_s is not None and used_s > member.metered_s:
        text = f"expected at most the {member.metered_s} seconds reserved, got {used_s}"
        yield "receipt-in-bounds", text
    if receipt.finished > permit.expires:
        text = f"expected an end before the permit's, {permit.expires}, got {receipt.finished}"
        yield "receipt-in-bounds", text
