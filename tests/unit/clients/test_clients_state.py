"""What a node must not forget, across restarts, processes and threads."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clients.errors import ClientError, GateRefused, StateUnavailable
from clients.journal import Journal
from clients.records import ProductRecord, SeenCheckpoint, Use
from clients.state import NodeState
from ledger.errors import LogUnavailable
from ledger.note import NoteSigner
from ledger.turns import Appended
from policies.account import Amounts
from policies.entries import parse_entry
from policies.privacy_loss import NO_LOSSES, UNBOUNDED, Event, loss_of

TIME = "2026-03-01T12:00:00.000Z"
APP = "a" * 64
SEEN = SeenCheckpoint(5, b"\x05" * 32, "note five")
USE = Use(
    permit_id="permit-1",
    permit="d" * 64,
    agreement="agreement-1",
    product="clinic-a/cytology",
    app=APP,
    run="run-1",
    round=1,
    started=TIME,
    expires=TIME,
    metered_s=60,
)
DELTA = Decimal("0.00001")
RESERVED = Amounts(1, 60, loss_of(Event(Decimal(4))), Decimal(10), DELTA)
PRODUCT = ProductRecord(id="clinic-a/x", file="/data/x.json", digest="1" * 64, rows=5, card=b"one")


def agree(state: NodeState, *, digest: str = "e" * 64, agreement: str = "agreement-1") -> None:
    state.add_agreement(
        agreement=agreement,
        digest=digest,
        product="clinic-a/cytology",
        document=b"{}",
        time=TIME,
    )


def withdraw(state: NodeState, *, number: int = 1, agreement: str = "agreement-1") -> bool:
    return state.withdraw(
        agreement,
        withdrawal=f"withdrawal-{number}",
        envelope=b"signed",
        reason="no",
        commitment="c" * 64,
        opening=b"opening",
        time=TIME,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def state(path: Path) -> Iterator[NodeState]:
    state = NodeState.open(path)
    state.approve_app(APP, time=TIME)
    agree(state)
    yield state
    state.close()


def code(call: Callable[[], object]) -> str:
    with pytest.raises(GateRefused) as caught:
        call()
    return caught.value.refusal.code


def begin(state: NodeState, use: Use = USE, *, uses: int = 0, seen: SeenCheckpoint = SEEN) -> None:
    record = state.agreement(use.agreement)
    losses = record.given.losses if record is not None else NO_LOSSES
    state.begin_use(use, reserved=RESERVED, expected_uses=uses, expected_losses=losses, seen=seen)


def test_a_begun_use_survives_a_restart_whole(state: NodeState, path: Path) -> None:
    begin(state)
    state.close()
    again = NodeState.open(path)
    record = again.agreement("agreement-1")
    assert again.permit_used("permit-1")
    assert not again.permit_used("permit-2")
    assert again.last_seen() == SEEN
    assert record is not None
    assert record.uses == 1
    assert again.unfinished() == [USE]
    again.finish_use("permit-1", "receipted")
    assert again.unfinished() == []
    assert again.uses(limit=5) == [replace(USE, outcome="receipted")]
    again.close()


def account(state: NodeState) -> tuple[int, int, str, str, str | None]:
    record = state.agreement("agreement-1")
    assert record is not None
    return record.uses, record.metered_s, record.losses, record.paid, record.first_use


def test_what_the_permit_reserves_is_counted_when_the_use_begins(state: NodeState) -> None:
    begin(state)
    assert account(state) == (1, 60, '{"4":1}', "10", TIME)
    later = "2026-03-01T13:00:00.000Z"
    begin(state, replace(USE, permit_id="permit-2", started=later), uses=1)
    assert account(state) == (2, 120, '{"4":2}', "20", TIME)


@pytest.mark.parametrize(
    ("outcome", "used_s", "left_s"),
    [("receipted", 7, 7), ("receipted", 60, 60), ("failed", None, 60), ("stopped", None, 60)],
)
def test_only_a_receipt_frees_the_seconds_that_were_not_needed(
    state: NodeState, outcome: str, used_s: int | None, left_s: int
) -> None:
    begin(state)
    state.finish_use("permit-1", outcome, used_s=used_s)
    assert account(state) == (1, left_s, '{"4":1}', "10", TIME)
    state.finish_use("permit-1", outcome, used_s=used_s)
    assert account(state)[1] == left_s
    assert state.uses(limit=1)[0].metered_s == left_s


def test_what_counts_of_a_product_counts_under_all_its_agreements(state: NodeState) -> None:
    agree(state, agreement="agreement-2")
    begin(state)
    begin(state, replace(USE, permit_id="permit-2", agreement="agreement-2"))
    one, other = state.agreements()
    assert (one.losses, other.losses) == ('{"4":1}', '{"4":1}')
    assert (
        one.given
        == other.given
        == Amounts(2, 120, loss_of(Event(Decimal(4)), 2), Decimal(20), DELTA)
    )


def test_two_uses_of_a_product_under_two_agreements_cannot_both_take_the_rest(
    state: NodeState,
) -> None:
    agree(state, agreement="agreement-2")
    begin(state)
    other = replace(USE, permit_id="permit-2", agreement="agreement-2")

    def take(reserved: Amounts) -> None:
        state.begin_use(
            other, reserved=reserved, expected_uses=0, expected_losses=NO_LOSSES, seen=SEEN
        )

    assert code(lambda: take(RESERVED)) == "agreement-denies"
    take(replace(RESERVED, losses=UNBOUNDED, delta=None))  # nothing limits it


def test_a_database_of_the_version_before_is_brought_up_to_date(
    state: NodeState, path: Path
) -> None:
    begin(state)
    state.add_product(replace(PRODUCT, opening=b"opens it"))
    state.close()
    connection = sqlite3.connect(path)
    for table, columns in {
        "apps": ("environment", "environment_digest"),
        "agreements": ("metered_s", "losses", "delta", "paid", "first_use"),
        "uses": ("metered_s",),
        "products": ("opening",),
        "withdrawals": ("opening",),
    }.items():
        for column in columns:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for table in ("use_rows", "subject_rolls", "row_states", "app_states"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    again = NodeState.open(path)
    assert account(again) == (1, 0, '{"unbounded":1}', "0", TIME)
    assert again.unfinished() == [replace(USE, metered_s=0)]
    assert [product.opening for product in again.products()] == [b""]
    again.finish_use("permit-1", "stopped")
    begin(again, replace(USE, permit_id="permit-2"), uses=1)
    assert again.app_states() == []
    assert account(again) == (2, 60, '{"4":1,"unbounded":1}', "10", TIME)
    withdraw(again)
    assert [pending.opening for pending in again.pending_withdrawals()] == [b"opening"]
    again.close()
    NodeState.open(path).close()


def revoke(state: NodeState) -> None:
    state.revoke_app(APP, time=TIME)


@pytest.mark.parametrize(
    ("meanwhile", "expected"),
    [
        (begin, "permit-replayed"),
        (withdraw, "consent-withdrawn"),
        (revoke, "app-not-approved"),
        (lambda state: begin(state, replace(USE, permit_id="permit-9")), "agreement-denies"),
    ],
    ids=["same-permit", "withdrawn", "revoked", "counted"],
)
def test_what_changed_since_the_gate_stops_the_use_and_records_nothing(
    state: NodeState, meanwhile: Callable[[NodeState], object], expected: str
) -> None:
    meanwhile(state)
    before = (state.uses(limit=9), state.agreements(), state.last_seen())
    assert code(lambda: begin(state)) == expected
    assert (state.uses(limit=9), state.agreements(), state.last_seen()) == before


def test_an_agreement_that_is_not_there_stops_the_use(state: NodeState) -> None:
    assert code(lambda: begin(state, replace(USE, agreement="agreement-2"))) == "agreement-unknown"
    assert state.uses(limit=9) == []


def test_a_limit_of_uses_holds_under_many_threads(state: NodeState) -> None:
    start = threading.Barrier(6)
    won: list[str] = []

    def take(number: int) -> None:
        start.wait(5)
        try:
            begin(state, replace(USE, permit_id=f"permit-{number}"))
        except GateRefused:
            return
        won.append(f"permit-{number}")

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 1
    assert [use.permit_id for use in state.uses(limit=9)] == won


def test_the_last_checkpoint_never_shrinks(state: NodeState) -> None:
    begin(state)
    smaller = SeenCheckpoint(4, b"\x04" * 32, "note four")
    larger = SeenCheckpoint(6, b"\x06" * 32, "note six")
    begin(state, replace(USE, permit_id="permit-2"), uses=1, seen=smaller)
    assert state.last_seen() == SEEN
    begin(state, replace(USE, permit_id="permit-3"), uses=2, seen=larger)
    assert state.last_seen() == larger


def test_a_use_ends_as_receipted_only_while_consent_stands(state: NodeState) -> None:
    begin(state)
    withdraw(state)
    assert code(lambda: state.finish_use("permit-1", "receipted")) == "consent-withdrawn"
    assert state.unfinished() == [USE]
    state.finish_use("permit-1", "withdrawn")
    assert state.uses(limit=9)[0].outcome == "withdrawn"


def test_a_withdrawal_is_one_whole_and_final(state: NodeState) -> None:
    assert withdraw(state)
    assert not withdraw(state, number=2)
    agree(state)  # signing the same document again does not bring consent back
    record = state.agreement("agreement-1")
    assert record is not None
    assert (record.withdrawn, record.reason) == (TIME, "no")
    pending = state.pending_withdrawals()
    assert [(one.id, one.envelope) for one in pending] == [("withdrawal-1", b"signed")]
    entries = [parse_entry(entry) for _, entry in state.pending_entries()]
    assert [entry.type for entry in entries] == ["AppApproved", "Withdrawn"]
    state.mark_told("withdrawal-1", time=TIME)
    assert state.pending_withdrawals() == []


def test_what_is_not_there_cannot_be_withdrawn(state: NodeState) -> None:
    with pytest.raises(ClientError, match="agreement-7"):
        withdraw(state, agreement="agreement-7")
    assert state.pending_withdrawals() == []


def test_an_agreement_id_stands_for_one_document(state: NodeState) -> None:
    with pytest.raises(ClientError, match="new id"):
        agree(state, digest="f" * 64)


def test_apps_are_approved_revoked_and_approved_again(state: NodeState) -> None:
    assert not state.approve_app(APP, time=TIME)
    assert state.revoke_app(APP, time=TIME)
    assert not state.revoke_app(APP, time=TIME)
    assert not state.app_approved(APP)
    assert [app.revoked for app in state.apps()] == [TIME]
    assert state.approve_app(APP, time=TIME)
    assert state.app_approved(APP)
    assert len(state.pending_entries()) == 3


def test_a_product_is_kept_once_confirmed(state: NodeState) -> None:
    other = replace(PRODUCT, digest="2" * 64, card=b"two")
    assert state.add_product(PRODUCT) == PRODUCT
    assert state.add_product(replace(PRODUCT, card=b"later")) == PRODUCT
    assert state.add_product(other) == other  # governance never confirmed the first
    state.confirm_product("clinic-a/x", index=7)
    assert state.add_product(other) == replace(other, registered=7)
    with pytest.raises(ClientError, match="new id"):
        state.add_product(PRODUCT)
    assert state.products() == [replace(other, registered=7)]
    assert state.product("clinic-a/y") is None


class FakeLog:
    """A log in memory that keeps idempotency keys; `broken` appends do not reach it."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.keys: dict[str, int] = {}
        self.broken = False

    @property
    def size(self) -> int:
        return len(self.entries)

    def append(
        self, entries: list[bytes] | tuple[bytes, ...], *, idempotency_key: str | None = None
    ) -> Appended:
        if self.broken:
            raise LogUnavailable("disk full")
        first = self.keys.get(idempotency_key or "")
        if first is None:
            first = self.size
            self.entries.extend(entries)
            if idempotency_key is not None:
                self.keys[idempotency_key] = first
        return Appended(first, len(entries), "", self.size)

    def checkpoint(self) -> str:
        return ""


SIGNER = NoteSigner("space.example/demo/clinic-a", Ed25519PrivateKey.from_private_bytes(b"n" * 32))


def journal(state: NodeState, log: FakeLog) -> Journal:
    return Journal(log=log, state=state, verifier=SIGNER.verifier)  # type: ignore[arg-type]


def types(log: FakeLog) -> list[str]:
    return [parse_entry(entry).type for entry in log.entries]


def test_entries_of_other_processes_come_first_and_in_order(state: NodeState) -> None:
    log = FakeLog()
    withdraw(state)
    assert journal(state, log).write("UseStarted", time=TIME, body={}) == 2
    assert types(log) == ["AppApproved", "Withdrawn", "UseStarted"]
    assert state.pending_entries() == []
    assert journal(state, log).drain() == 0


def test_a_crash_between_append_and_removal_appends_nothing_twice(
    state: NodeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FakeLog()
    with monkeypatch.context() as patch:
        patch.setattr(NodeState, "drop_entry", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            journal(state, log).drain()
    assert len(state.pending_entries()) == 1
    assert journal(state, log).drain() == 1
    assert types(log) == ["AppApproved"]


def test_entries_wait_while_the_log_cannot_be_written(state: NodeState) -> None:
    log = FakeLog()
    log.broken = True
    with pytest.raises(LogUnavailable):
        journal(state, log).drain()
    log.broken = False
    assert journal(state, log).drain() == 1
    assert types(log) == ["AppApproved"]


def test_numbers_of_entries_are_never_given_twice(state: NodeState) -> None:
    log = FakeLog()
    journal(state, log).drain()
    revoke(state)
    journal(state, log).drain()
    assert sorted(log.keys) == ["journal-1", "journal-2"]


def test_the_file_is_open_to_its_owner_only(state: NodeState, path: Path) -> None:
    found = [path, *path.parent.glob("state.db-*")]
    assert len(found) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in found} == {0o600}
    assert state.path == path


def test_a_file_of_another_version_or_none_of_ours_is_refused(tmp_path: Path) -> None:
    later = tmp_path / "later.db"
    connection = sqlite3.connect(later)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    (tmp_path / "text.db").write_text("this is no database, but long enough to look at" * 50)
    for name, text in (("later.db", "version"), ("text.db", "not a database"), ("a/b", "opened")):
        with pytest.raises(StateUnavailable, match=text):
            NodeState.open(tmp_path / name)
