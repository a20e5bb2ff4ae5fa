"""What the space's log says that this node did, against what the node's own log says.

Pure: entries in, differences out. The space's log is the operator's word, the own log the owner's;
either may lack what the other has, and whoever finds that out holds the proof of it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from clients.errors import ClientError
from clients.records import AgreementRecord
from policies.canonical import sha256_hex
from policies.entries import parse_entry
from policies.errors import DocumentError

Kind = Literal[
    "node-not-enrolled",
    "key-not-ours",
    "key-not-logged",
    "permit-never-seen",
    "permit-not-logged",
    "receipt-not-ours",
    "receipt-not-logged",
    "withdrawal-not-ours",
    "withdrawal-not-logged",
    "agreement-not-held",
    "agreement-not-logged",
]

_OURS: Final = frozenset({"UseStarted", "UseReceipted", "UseFailed", "UseRefused", "Withdrawn"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that only one of the two logs says.

    Attributes:
        entry: index in the space's log, None where it is the one that lacks it.
        own_entry: index in the node's own log, likewise.
        subject: id of the permit, withdrawal, agreement or participant.
    """

    kind: Kind
    subject: str
    entry: int | None
    own_entry: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was compared, and what differs.

    Attributes:
        counts: how many permits, receipts, withdrawals and agreements both logs have.
        open: uses whose round was not over in the copy: their receipts may come yet.
    """

    differences: tuple[Difference, ...]
    counts: Mapping[str, int]
    open: int


@dataclass(frozen=True, slots=True)
class Self:
    """Who the node is in the space's log.

    Attributes:
        participant: its id there.
        receipt_key: raw Ed25519 key, hexadecimal; `key_id`: as permits name it.
        former: keys that it had before, oldest first, as `receipt_key`.
    """

    participant: str
    receipt_key: str
    key_id: str
    former: tuple[str, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """All that it ever had."""
        return frozenset((self.receipt_key, *self.former))

    @property
    def key_ids(self) -> frozenset[str]:
        """Likewise, as permits name them."""
        former = (sha256_hex(bytes.fromhex(key)) for key in self.former)
        return frozenset((self.key_id, *former))


Entries = Iterable[tuple[int, bytes]]


def reconcile(
    me: Self, *, space: Entries, own: Entries, agreements: Iterable[AgreementRecord]
) -> Reconciled:
    """Every difference, in the order of the space's log, then of the own log.

    Args:
        space: entries of the space's log from its beginning, verified (`clients.logcopy`).
        own: entries of the node's own log, likewise.
        agreements: the node's own copies.

    Raises:
        ClientError: an entry that no governance or node of this version writes; names it.
    """
    theirs, ours = _Theirs(me), _Ours()
    _read(space, theirs.take, "the space's log")
    _read(own, ours.take, "the node's own log")
    held = {one.id: one for one in agreements}
    found = [
        *_enrolment(me, theirs),
        *_permits(theirs, ours),
        *_receipts(theirs, ours),
        *_withdrawals(theirs, ours),
        *_agreements(theirs, held),
    ]
    ends = (2**63, 2**63)
    found.sort(
        key=lambda one: (
            one.entry if one.entry is not None else ends[0],
            one.own_entry if one.own_entry is not None else ends[1],
        )
    )
    counts = {
        "permits": len(theirs.permits.keys() & ours.uses.keys()),
        "receipts": len(theirs.receipts.keys() & ours.receipts.keys()),
        "withdrawals": len(theirs.withdrawals.keys() & ours.withdrawals.keys()),
        "agreements": len(theirs.agreements.keys() & held.keys()),
    }
    waiting = sum(
        one in theirs.permits and one not in theirs.receipts and one not in theirs.over
        for one in ours.receipts.keys() - ours.withheld
    )
    return Reconciled(tuple(found), counts, waiting)


def _read(entries: Entries, take: Callable[[int, bytes], None], what: str) -> None:
    for index, data in entries:
        try:
            take(index, data)
        except (DocumentError, KeyError, TypeError, AttributeError) as error:
            raise ClientError(
                f"{what}, entry {index}: expected one of this version, got another form "
                f"({type(error).__name__}: {error}); see it with: tds audit find"
            ) from error


@dataclass(slots=True)
class _Theirs:
    """What the space's log says about this node."""

    me: Self
    enrolled: int | None = None
    permits: dict[str, int] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)
    receipts: dict[str, tuple[int, str]] = field(default_factory=dict)
    refusals: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    withdrawals: dict[str, tuple[int, str]] = field(default_factory=dict)
    agreements: dict[str, tuple[int, object]] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    key_ids: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.key_ids = self.me.key_ids

    def take(self, index: int, data: bytes) -> None:
        """One entry."""
        entry = parse_entry(data)
        body: Mapping[str, Any] = entry.body
        if entry.type == "ParticipantEnrolled" and body.get("receipt_key") in self.me.keys:
            self.enrolled = index
        elif entry.type == "KeyRotated":
            if body["participant"] == self.me.participant:
                self.changes[body["receipt_key"]] = index
        elif entry.type == "PermitIssued":
            if any(member["key"] in self.key_ids for member in body["cohort"]):
                self.permits[body["id"]] = index
        elif entry.type in ("RoundClosed", "RoundAbandoned"):
            self.over[str(body.get("permit_id"))] = index
        else:
            self._about_me(entry.type, index, body)

    def _about_me(self, kind: str, index: int, body: Mapping[str, Any]) -> None:
        mine = self.me.participant
        if kind == "ReceiptAccepted" and body["participant"] == mine:
            self.receipts[body["permit_id"]] = (index, _digest(body.get("envelope")))
        elif kind == "ReceiptRefused" and body["participant"] == mine:
            self.refusals[body["permit_id"]] = (index, body)
        elif kind == "ConsentWithdrawn" and body["participant"] == mine:
            self.withdrawals[body["withdrawal"]] = (index, str(body["agreement"]))
        elif kind == "AgreementConcluded" and body["assigner"] == mine:
            self.agreements[body["agreement"]] = (index, body.get("document"))


@dataclass(slots=True)
class _Ours:
    """What the node's own log says; the last entry of a kind counts."""

    uses: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    receipts: dict[str, tuple[int, str]] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    withdrawals: dict[str, tuple[int, str]] = field(default_factory=dict)

    def take(self, index: int, data: bytes) -> None:
        """One entry."""
        entry = parse_entry(data)
        if entry.type not in _OURS:
            return
        body: Mapping[str, Any] = entry.body
        if entry.type == "UseStarted":
            self.uses[body["permit_id"]] = index
        elif entry.type == "UseReceipted":
            self.receipts[body["receipt"]["permit_id"]] = (index, str(body["envelope"]))
        elif entry.type == "UseFailed":
            self.uses.setdefault(body["permit_id"], index)
            self.withheld.add(body["permit_id"])  # after a receipt: it did not leave
        elif entry.type == "UseRefused":
            self.refused[str(body.get("permit_id", ""))] = index
        else:
            self.withdrawals[body["withdrawal"]] = (index, str(body["agreement"]))


def _enrolment(me: Self, theirs: _Theirs) -> Iterable[Difference]:
    if theirs.enrolled is None:
        text = "the space's log has no enrolment with this node's receipt key"
        yield Difference("node-not-enrolled", me.participant, None, None, text)
    for key, index in theirs.changes.items():
        if key not in me.keys:
            text = f"this node's key was changed to {key[:16]}…, which this node never had"
            yield Difference("key-not-ours", me.participant, index, None, text)
    for key in (*me.former, me.receipt_key)[1:]:
        if key not in theirs.changes:
            text = f"this node changed its key to {key[:16]}…; the space's log does not have it"
            yield Difference("key-not-logged", me.participant, None, None, text)


def _permits(theirs: _Theirs, ours: _Ours) -> Iterable[Difference]:
    for permit, index in theirs.permits.items():
        if permit not in ours.uses and permit not in ours.refused:
            text = "a permit names this node, which neither used nor refused it: it never came"
            yield Difference("permit-never-seen", permit, index, None, text)
    for permit, index in ours.uses.items():
        if permit not in theirs.permits:
            text = "this node began a use under a permit that the space's log does not have"
            yield Difference("permit-not-logged", permit, None, index, text)


def _receipts(theirs: _Theirs, ours: _Ours) -> Iterable[Difference]:
    for permit, (index, digest) in theirs.receipts.items():
        own = ours.receipts.get(permit)
        if own is None:
            text = "a receipt was accepted that this node's own log does not have"
            yield Difference("receipt-not-ours", permit, index, None, text)
        elif digest != own[1]:
            text = f"another receipt was accepted (SHA-256 {digest}) than this node signed"
            yield Difference("receipt-not-ours", permit, index, own[0], text)
    for permit, (own_index, digest) in ours.receipts.items():
        if permit in theirs.receipts or permit in ours.withheld or permit not in theirs.permits:
            continue
        refused = theirs.refusals.get(permit)
        if refused is not None and refused[1].get("receipt") == digest:
            continue  # it came, and was refused with a reason
        if refused is not None:
            code, text = refused[1].get("code", ""), refused[1].get("text", "")
            said = f"this node's receipt did not come, the log says: {code}: {text}"
            yield Difference("receipt-not-logged", permit, refused[0], own_index, said[:1000])
        elif permit in theirs.over:
            text = "the round is over, and the space's log has no word of this node's receipt"
            yield Difference("receipt-not-logged", permit, theirs.over[permit], own_index, text)


def _withdrawals(theirs: _Theirs, ours: _Ours) -> Iterable[Difference]:
    for withdrawal, (index, agreement) in theirs.withdrawals.items():
        own = ours.withdrawals.get(withdrawal)
        if own is None or own[1] != agreement:
            text = f"consent to {agreement} was withdrawn by no act that this node's log has"
            yield Difference("withdrawal-not-ours", withdrawal, index, own and own[0], text)
    gone = {agreement for _, agreement in theirs.withdrawals.values()}
    for withdrawal, (index, agreement) in ours.withdrawals.items():
        if withdrawal not in theirs.withdrawals and agreement not in gone:
            text = f"consent to {agreement} was withdrawn here; the space's log does not have it"
            yield Difference("withdrawal-not-logged", withdrawal, None, index, text)


def _agreements(theirs: _Theirs, held: Mapping[str, AgreementRecord]) -> Iterable[Difference]:
    for agreement, (index, document) in theirs.agreements.items():
        own = held.get(agreement)
        if own is None:
            text = "an agreement in this node's name, of which it keeps no copy"
            yield Difference("agreement-not-held", agreement, index, None, text)
        elif isinstance(document, str) and document.encode("utf-8") != own.document:
            text = "an agreement with other words than this node's copy has"
            yield Difference("agreement-not-held", agreement, index, None, text)
    for agreement in sorted(held.keys() - theirs.agreements.keys()):
        text = "an agreement that this node keeps, and the space's log does not have"
        yield Difference("agreement-not-logged", agreement, None, None, text)


def _digest(envelope: object) -> str:
    try:
        return sha256_hex(base64.b64decode(str(envelope), validate=True))
    except (ValueError, binascii.Error):
        return "none"
