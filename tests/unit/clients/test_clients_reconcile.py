"""The two logs against each other: one difference a vector."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clients.errors import ClientError
from clients.logcopy import verify_copy
from clients.reconcile import Reconciled, Self, reconcile
from clients.records import AgreementRecord, SeenCheckpoint
from ledger.checkpoint import open_checkpoint
from ledger.errors import LogDamaged
from ledger.log import Log
from ledger.note import NoteSigner
from policies.account import NOTHING
from policies.canonical import sha256_hex
from policies.entries import EntryType, entry_bytes

TIME = "2026-03-01T12:00:00.000Z"
ME = Self(participant="clinic", receipt_key="a" * 64, key_id="b" * 64)
PERMIT = f"permit-{'1' * 32}"
OTHER = f"permit-{'2' * 32}"
RECEIPT = b"the receipt's envelope"


@dataclass
class World:
    """Two logs that agree, until a vector adds to one of them or takes from it."""

    space: list[bytes] = field(default_factory=list)
    own: list[bytes] = field(default_factory=list)
    held: list[AgreementRecord] = field(default_factory=list)

    def log(self, kind: EntryType, **body: Any) -> None:
        self.space.append(entry_bytes(kind, time=TIME, body=body))

    def note(self, kind: EntryType, **body: Any) -> None:
        self.own.append(entry_bytes(kind, time=TIME, body=body))

    def drop(self, log: list[bytes], kind: str) -> None:
        log[:] = [line for line in log if f'"type":"{kind}"'.encode() not in line]

    def reconcile(self) -> Reconciled:
        return reconcile(
            ME, space=enumerate(self.space), own=enumerate(self.own), agreements=self.held
        )

    def found(self) -> list[tuple[str, str, int | None, int | None]]:
        return [
            (one.kind, one.subject, one.entry, one.own_entry)
            for one in self.reconcile().differences
        ]

    def permit(self, id: str = PERMIT, key: str = ME.key_id) -> None:
        self.log("PermitIssued", id=id, cohort=[{"key": "f" * 64}, {"key": key}])

    def use(self, id: str = PERMIT, envelope: bytes = RECEIPT) -> None:
        self.note("UseStarted", permit_id=id)
        self.note("UseReceipted", receipt={"permit_id": id}, envelope=sha256_hex(envelope))

    def accept(self, id: str = PERMIT, envelope: bytes = RECEIPT) -> None:
        text = base64.b64encode(envelope).decode()
        self.log("ReceiptAccepted", participant="clinic", permit_id=id, envelope=text)

    def agree(self, id: str = "agreement-1", document: str = "{}") -> None:
        self.log("AgreementConcluded", assigner="clinic", agreement=id, document=document)


def held(id: str = "agreement-1", document: bytes = b"{}") -> AgreementRecord:
    return AgreementRecord(
        id=id,
        digest="d" * 64,
        product="clinic/x",
        document=document,
        concluded=TIME,
        uses=1,
        metered_s=0,
        losses="{}",
        delta="",
        paid="0",
        first_use=TIME,
        withdrawn=None,
        reason=None,
        given=NOTHING,
    )


@pytest.fixture
def world() -> World:
    made = World()
    made.log("SpaceCreated", participants=[])
    made.log("ParticipantEnrolled", participant="clinic", receipt_key=ME.receipt_key)
    made.note("NodeCreated", participant="clinic")
    made.agree()
    made.held.append(held())
    made.permit()
    made.use()
    made.accept()
    made.log("ReceiptAccepted", participant="other", permit_id=PERMIT, envelope="x")
    made.log("RoundClosed", permit_id=PERMIT)
    made.log("ConsentWithdrawn", participant="clinic", withdrawal="w-1", agreement="agreement-1")
    made.note("Withdrawn", withdrawal="w-1", agreement="agreement-1")
    return made


def test_two_logs_that_agree(world: World) -> None:
    result = world.reconcile()
    assert result.differences == ()
    assert result.counts == {"permits": 1, "receipts": 1, "withdrawals": 1, "agreements": 1}
    assert result.open == 0


def never_seen(world: World) -> None:
    world.permit(OTHER)


def not_logged(world: World) -> None:
    world.use(OTHER)


def not_ours(world: World) -> None:
    world.permit(OTHER)
    world.note("UseRefused", permit_id=OTHER, code="log-forked")
    world.accept(OTHER)


def another_receipt(world: World) -> None:
    world.drop(world.space, "ReceiptAccepted")
    world.accept(envelope=b"another")


def no_base64(world: World) -> None:
    world.drop(world.space, "ReceiptAccepted")
    world.log("ReceiptAccepted", participant="clinic", permit_id=PERMIT, envelope="?")


def dropped_receipt(world: World) -> None:
    world.drop(world.space, "ReceiptAccepted")


def reported_missing(world: World) -> None:
    world.drop(world.space, "ReceiptAccepted")
    world.log(
        "ReceiptRefused",
        participant="clinic",
        permit_id=PERMIT,
        receipt="",
        code="no-reply",
        text="late",
    )


def withdrawal_not_logged(world: World) -> None:
    world.note("Withdrawn", withdrawal="w-2", agreement="agreement-2")


def withdrawal_not_ours(world: World) -> None:
    world.drop(world.own, "Withdrawn")


def withdrawal_of_another(world: World) -> None:
    world.drop(world.own, "Withdrawn")
    world.note("Withdrawn", withdrawal="w-1", agreement="agreement-9")


def not_held(world: World) -> None:
    world.agree("agreement-2")


def other_words(world: World) -> None:
    world.held[:] = [held(document=b"[]")]


def agreement_not_logged(world: World) -> None:
    world.held.append(held("agreement-3"))


def not_enrolled(world: World) -> None:
    world.drop(world.space, "ParticipantEnrolled")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (never_seen, [("permit-never-seen", OTHER, 8, None)]),
        (not_logged, [("permit-not-logged", OTHER, None, 4)]),
        (not_ours, [("receipt-not-ours", OTHER, 9, None)]),
        (another_receipt, [("receipt-not-ours", PERMIT, 6, 2)]),
        (no_base64, [("receipt-not-ours", PERMIT, 6, 2)]),
        (dropped_receipt, [("receipt-not-logged", PERMIT, 4, 2)]),
        (reported_missing, [("receipt-not-logged", PERMIT, 6, 2)]),
        (withdrawal_not_logged, [("withdrawal-not-logged", "w-2", None, 4)]),
        (withdrawal_not_ours, [("withdrawal-not-ours", "w-1", 7, None)]),
        (
            withdrawal_of_another,
            [("withdrawal-not-ours", "w-1", 7, 3)],
        ),
        (not_held, [("agreement-not-held", "agreement-2", 8, None)]),
        (other_words, [("agreement-not-held", "agreement-1", 2, None)]),
        (agreement_not_logged, [("agreement-not-logged", "agreement-3", None, None)]),
        (not_enrolled, [("node-not-enrolled", "clinic", None, None)]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_difference_is_listed_with_its_entries(
    world: World,
    change: Callable[[World], None],
    expected: list[tuple[str, str, int | None, int | None]],
) -> None:
    change(world)
    assert world.found() == expected


def refused_here(world: World) -> None:
    world.permit(OTHER)
    world.note("UseRefused", permit_id=OTHER, code="app-not-approved")


def failed_here(world: World) -> None:
    world.permit(OTHER)
    world.note("UseStarted", permit_id=OTHER)
    world.note("UseFailed", permit_id=OTHER)


def withheld(world: World) -> None:
    world.permit(OTHER)
    world.use(OTHER)
    world.note("UseFailed", permit_id=OTHER, code="consent-withdrawn")
    world.log("RoundClosed", permit_id=OTHER)


def refused_there(world: World) -> None:
    world.permit(OTHER)
    world.use(OTHER)
    world.log("ReceiptRefused", participant="clinic", permit_id=OTHER, receipt=sha256_hex(RECEIPT))
    world.log("RoundClosed", permit_id=OTHER)


def withdrawn_twice(world: World) -> None:
    world.note("Withdrawn", withdrawal="w-2", agreement="agreement-1")


def another_s(world: World) -> None:
    world.permit(OTHER, key="c" * 64)
    world.log("ConsentWithdrawn", participant="other", withdrawal="w-9", agreement="agreement-9")
    world.log("AgreementConcluded", assigner="other", agreement="agreement-9", document="{}")


@pytest.mark.parametrize(
    "change", [refused_here, failed_here, withheld, refused_there, withdrawn_twice, another_s]
)
def test_what_is_no_difference(world: World, change: Callable[[World], None]) -> None:
    change(world)
    assert world.found() == []


def test_a_round_that_is_not_over_may_still_bring_the_receipt(world: World) -> None:
    world.permit(OTHER)
    world.use(OTHER)
    result = world.reconcile()
    assert (result.differences, result.open) == ((), 1)


@pytest.mark.parametrize(
    ("log", "entry"),
    [
        ("space", b"nonsense"),
        ("own", b"{}"),
        ("space", entry_bytes("PermitIssued", time=TIME, body={"id": "x"})),
        ("space", entry_bytes("PermitIssued", time=TIME, body={"id": "x", "cohort": [1]})),
        ("space", entry_bytes("ReceiptAccepted", time=TIME, body={})),
        ("own", entry_bytes("UseStarted", time=TIME, body={})),
        ("own", entry_bytes("UseReceipted", time=TIME, body={"receipt": []})),
    ],
)
def test_an_entry_of_another_form_is_named(world: World, log: str, entry: bytes) -> None:
    lines = world.space if log == "space" else world.own
    lines.append(entry)
    with pytest.raises(ClientError, match=f"log, entry {len(lines) - 1}: "):
        world.reconcile()


# -- copies --------------------------------------------------------------------------------------

SIGNER = NoteSigner("space.example/demo", Ed25519PrivateKey.from_private_bytes(b"l" * 32))


@dataclass
class Published:
    log: Log
    folder: Path

    def seen(self) -> SeenCheckpoint:
        note = self.log.checkpoint()
        head = open_checkpoint(note, SIGNER.verifier)
        return SeenCheckpoint(head.size, head.root, note)


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    with ExitStack() as stack:
        log = stack.enter_context(
            Log.open(
                folder=tmp_path / "log",
                database=tmp_path / "ledger.db",
                last_signed=tmp_path / "last-signed",
                signer=SIGNER,
            )
        )
        log.append([entry_bytes("NodeCreated", time=TIME, body={"n": n}) for n in range(300)])
        yield Published(log, tmp_path / "log")


def test_a_copy_is_read_once_it_is_verified(published: Published) -> None:
    copy = verify_copy(published.folder, SIGNER.verifier, published.seen())
    assert copy.size == 300
    assert [index for index, _ in copy.entries()] == list(range(300))


def test_a_copy_older_than_what_was_seen_is_not_enough(published: Published) -> None:
    seen = published.seen()
    later = SeenCheckpoint(seen.size + 1, seen.root, seen.note)
    with pytest.raises(ClientError, match="rolled back"):
        verify_copy(published.folder, SIGNER.verifier, later)


def test_a_copy_with_another_beginning_is_a_second_history(published: Published) -> None:
    seen = SeenCheckpoint(200, bytes(32), "")
    with pytest.raises(LogDamaged, match="two histories"):
        verify_copy(published.folder, SIGNER.verifier, seen)


def test_a_changed_entry_is_found(published: Published) -> None:
    path = published.folder / "tile" / "entries" / "000"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"n":7}', b'{"n":8}'))
    with pytest.raises(LogDamaged, match="changed after signing"):
        verify_copy(published.folder, SIGNER.verifier)
    path.write_bytes(data[:-1])
    with pytest.raises(LogDamaged, match="copy the folder again"):
        verify_copy(published.folder, SIGNER.verifier)
    path.unlink()
    with pytest.raises(ClientError, match="expected to read it"):
        verify_copy(published.folder, SIGNER.verifier)


def test_what_is_no_log_of_this_key_is_refused(published: Published, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="got none"):
        verify_copy(tmp_path, SIGNER.verifier)
    other = NoteSigner(SIGNER.name, Ed25519PrivateKey.generate())
    with pytest.raises(LogDamaged, match="expected a signature"):
        verify_copy(published.folder, other.verifier)


FORMER, NEXT = "c" * 64, "a" * 64


def changed(world: World, *changes: tuple[str, str], me: Self) -> list[tuple[str, int | None]]:
    """What is found where the space's log has these key changes of this node."""
    for participant, key in changes:
        world.log("KeyRotated", participant=participant, receipt_key=key)
    found = reconcile(me, space=enumerate(world.space), own=enumerate(world.own), agreements=[])
    return [(one.kind, one.entry) for one in found.differences]


def test_permits_of_before_a_key_change_are_this_nodes_too() -> None:
    world, me = World(), replace(ME, former=(FORMER,))
    world.log("ParticipantEnrolled", receipt_key=FORMER)
    world.permit(key=sha256_hex(bytes.fromhex(FORMER)))
    world.permit(id=OTHER)
    world.use()
    world.use(id=OTHER)
    for id in (PERMIT, OTHER):
        world.accept(id=id)
    assert changed(world, ("clinic", NEXT), ("other", "e" * 64), me=me) == []


@pytest.mark.parametrize(
    ("me", "changes", "expected"),
    [
        (ME, [("clinic", "e" * 64)], [("key-not-ours", 1)]),
        (replace(ME, former=(FORMER,)), [], [("key-not-logged", None)]),
    ],
)
def test_a_key_change_that_only_one_of_the_logs_has(
    me: Self, changes: list[tuple[str, str]], expected: list[tuple[str, int | None]]
) -> None:
    world = World()
    world.log("ParticipantEnrolled", receipt_key=me.former[0] if me.former else me.receipt_key)
    assert changed(world, *changes, me=me) == expected
