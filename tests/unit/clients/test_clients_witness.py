"""The node as a witness, over real logs: what it cosigns, refuses, keeps, logs and tells."""

from __future__ import annotations

import logging
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clients import evidence
from clients.alarm import ForkAlarm
from clients.errors import (
    ClientError,
    GateRefused,
    GovernanceRefused,
    GovernanceUnavailable,
    IdentityError,
    StateUnavailable,
)
from clients.evidence import keep_evidence, read_evidence
from clients.folder import NodePaths
from clients.journal import Journal
from clients.logcheck import check_not_forked
from clients.records import Fork, SeenCheckpoint
from clients.state import NodeState
from clients.witness import NodeWitness, read_witness_policy
from ledger.checkpoint import open_checkpoint
from ledger.cosignature import Cosigner, open_cosigned
from ledger.errors import LedgerError, LogUnavailable
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.witness import AddCheckpoint, format_request
from policies.entries import Entry, parse_entry
from policies.fields import instant

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPACE = NoteSigner("space.example/demo", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
OWN = NoteSigner("space.example/demo/clinic", Ed25519PrivateKey.from_private_bytes(b"n" * 32))
COSIGNER = Cosigner(OWN.name, Ed25519PrivateKey.from_private_bytes(b"n" * 32))


@dataclass
class Governance:
    """The space's log, as a node meets it; `log` may be exchanged for another history."""

    log: Log
    cosigned: list[tuple[int, bytes]] = field(default_factory=list)
    reports: list[tuple[str, str, str, str]] = field(default_factory=list)
    down: bool = False
    stream: Callable[[int], Iterator[bytes]] | None = None
    asked: list[int] = field(default_factory=list)

    def head(self, known: int, *, note: str = "") -> bytes:
        size = open_checkpoint(note or self.log.checkpoint(), SPACE.verifier).size
        proof = self.log.consistency_proof(known, size) if 0 < known < size else ()
        return format_request(AddCheckpoint(known, tuple(proof), note or self.log.checkpoint()))

    def get_consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        if self.down:
            raise GovernanceUnavailable("no answer")
        try:
            return self.log.consistency_proof(old_size, new_size)
        except LedgerError as error:
            raise GovernanceRefused(str(error), code="invalid_argument") from error

    def cosign(self, size: int, lines: bytes) -> None:
        if self.down:
            raise GovernanceUnavailable("no answer")
        self.cosigned.append((size, lines))

    def report_fork(self, *, kind: str, seen: str, came: str, text: str) -> None:
        if self.down:
            raise GovernanceUnavailable("no answer")
        self.reports.append((kind, seen, came, text))

    def watch_checkpoints(self, size: int) -> Iterator[bytes]:
        self.asked.append(size)
        assert self.stream is not None
        return self.stream(size)


class World:
    """A space's log in one folder, a node in another."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.governance = Governance(self.open_log("space"))
        self.state = NodeState.open(folder / "state.db")
        stack.callback(self.state.close)
        self.own = stack.enter_context(
            Log.open(
                folder=folder / "own",
                database=folder / "own.db",
                last_signed=folder / "own-signed",
                signer=OWN,
            )
        )
        self.journal = Journal(log=self.own, state=self.state, verifier=OWN.verifier)
        self.alarm = self.new_alarm()
        self.witness = NodeWitness(
            cosigner=COSIGNER,
            space_log=SPACE.verifier,
            state=self.state,
            governance=self.governance,
            on_fork=self.alarm.raised,
            log_turn=threading.Lock(),
            clock=lambda: NOW,
        )

    def open_log(self, name: str) -> Log:
        return self.stack.enter_context(
            Log.open(
                folder=self.folder / name / "log",
                database=self.folder / name / "ledger.db",
                last_signed=self.folder / name / "last-signed",
                signer=SPACE,
            )
        )

    def new_alarm(self) -> ForkAlarm:
        return ForkAlarm(
            folder=self.evidence,
            journal=self.journal,
            space_log=SPACE.verifier,
            governance=self.governance,
            clock=lambda: NOW,
        )

    @property
    def evidence(self) -> Path:
        return self.folder / "evidence"

    def grow(self, count: int, word: str = "entry") -> None:
        start = self.governance.log.size
        self.governance.log.append([b"%s %d" % (word.encode(), start + n) for n in range(count)])

    def offer(self, known: int | None = None) -> bool:
        seen = self.state.last_seen()
        size = known if known is not None else seen.size if seen else 0
        return self.witness.handle(self.governance.head(size))

    def seen_size(self) -> int:
        seen = self.state.last_seen()
        return seen.size if seen else -1

    def forks(self) -> list[Entry]:
        entries = [parse_entry(line) for line in self.own.entries(0, self.own.size)]
        return [entry for entry in entries if entry.type == "ForkSeen"]

    def exchange(self, size: int, word: str) -> None:
        """The same log's key, with another history of this size."""
        self.governance.log = self.open_log(f"other-{word}-{size}")
        self.grow(size, word)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def test_a_head_is_remembered_and_cosigned(world: World) -> None:
    for count, size in ((3, 3), (4, 7), (1, 8)):
        world.grow(count)
        assert world.offer()
        assert world.seen_size() == size
        at, line = world.governance.cosigned[-1]
        opened = open_cosigned(
            world.governance.log.checkpoint() + line.decode(), SPACE.verifier, [COSIGNER.verifier]
        )
        assert (at, opened.cosignatures[0].time) == (size, int(NOW.timestamp()))
    assert world.forks() == []


def test_the_same_head_is_cosigned_again(world: World) -> None:
    world.grow(3)
    assert world.offer() and world.offer()
    assert [size for size, _ in world.governance.cosigned] == [3, 3]


def test_what_the_gate_saw_counts_for_the_witness_too(world: World) -> None:
    world.grow(2)
    assert world.offer()
    world.grow(3)
    gate = open_checkpoint(world.governance.log.checkpoint(), SPACE.verifier)
    note = world.governance.log.checkpoint()
    world.state.keep_seen(SeenCheckpoint(gate.size, gate.root, note))
    world.grow(1)
    assert world.offer(known=2)  # governance does not know of the gate's: the proof is fetched
    assert world.seen_size() == 6
    assert not world.witness.handle(world.governance.head(2, note=note))  # sent before, came late
    assert world.seen_size() == 6
    assert world.forks() == []


@pytest.mark.parametrize("body", [b"", b"\xff", b"old 0\n\nnonsense", b"x" * 2_000_000])
def test_what_is_no_request_is_not_cosigned(world: World, body: bytes) -> None:
    assert not world.witness.handle(body)
    assert world.governance.cosigned == []


def test_a_head_of_another_log_or_key_is_not_cosigned(world: World) -> None:
    world.grow(2)
    head = world.governance.head(0)
    for bad in (
        head.replace(b"space.example/demo", b"space.example/dem0"),
        head[:-9] + b"AAAA==\n",
    ):
        assert not world.witness.handle(bad)
    assert world.seen_size() == -1
    assert world.forks() == []


def test_a_cosignature_that_cannot_be_handed_in_is_not_lost_for_good(world: World) -> None:
    world.grow(2)
    body = world.governance.head(0)
    world.governance.down = True
    assert not world.witness.handle(body)
    assert world.seen_size() == 2  # remembered before it is cosigned
    world.governance.down = False
    assert world.witness.handle(body)


# -- forks and rollbacks -------------------------------------------------------------------------


def same_size(world: World) -> None:
    world.exchange(5, "forged")


def grown(world: World) -> None:
    world.exchange(9, "forged")


def smaller(world: World) -> None:
    world.exchange(3, "entry")


def emptied(world: World) -> None:
    world.exchange(1, "anew")


@pytest.mark.parametrize(
    ("happens", "kind"),
    [
        (same_size, "two-roots"),
        (grown, "no-proof"),
        (smaller, "rollback"),
        (emptied, "rollback"),
    ],
)
def test_a_fork_is_refused_kept_logged_and_told(
    world: World, happens: Callable[[World], None], kind: str
) -> None:
    world.grow(5)
    assert world.offer()
    before = world.governance.log.checkpoint()
    happens(world)
    after = world.governance.log.checkpoint()
    assert not world.offer()
    assert world.seen_size() == 5
    assert len(world.governance.cosigned) == 1

    (kept,) = read_evidence(world.evidence)
    assert (kept.record.kind, kept.seen, kept.came) == (kind, before, after)
    for which in ("seen", "came"):
        path = world.evidence / f"{kept.record.id}-{which}.note"
        open_checkpoint(path.read_text(), SPACE.verifier)  # signed by the log, both
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    (entry,) = world.forks()
    assert entry.body["kind"] == kind
    seen, came = entry.body["seen"], entry.body["came"]
    assert isinstance(seen, dict) and isinstance(came, dict)
    assert (seen["size"], seen["note"], came["note"]) == (5, before, after)
    assert [(one[0], one[1], one[2]) for one in world.governance.reports] == [(kind, before, after)]


def test_a_fork_seen_again_is_no_second_one(world: World) -> None:
    world.grow(5)
    assert world.offer()
    same_size(world)
    assert not world.offer() and not world.offer()
    assert len(world.forks()) == len(read_evidence(world.evidence)) == 1
    assert len(world.governance.reports) == 1


def test_a_log_put_back_to_yesterday_is_refused_until_it_is_the_newest_again(world: World) -> None:
    """Database, folder and last-signed record restored together: governance itself cannot tell."""
    world.grow(5)
    assert world.offer()
    world.governance.log.close()
    shutil.copytree(world.folder / "space", world.folder / "backup")
    world.governance.log = world.open_log("space")
    world.grow(4)
    assert world.offer()
    newest = world.governance.log
    newest.close()
    world.governance.log = world.open_log("backup")
    assert not world.offer()
    assert [entry.body["kind"] for entry in world.forks()] == ["rollback"]
    world.grow(6, "another")  # it goes on, and signs a second history
    assert not world.offer()
    assert [entry.body["kind"] for entry in world.forks()] == ["rollback", "no-proof"]
    gate = open_checkpoint(world.governance.log.checkpoint(), SPACE.verifier)
    came = SeenCheckpoint(gate.size, gate.root, world.governance.log.checkpoint())
    with pytest.raises(GateRefused, match="log-forked"):
        check_not_forked(came, world.state.last_seen(), world.governance.get_consistency)
    world.governance.log = world.open_log("space")
    assert world.offer()


def test_without_an_answer_nothing_is_a_fork(world: World) -> None:
    world.grow(5)
    assert world.offer()
    world.grow(2)
    world.governance.down = True
    assert not world.offer(known=2)
    assert world.forks() == []


def test_governance_hears_of_it_when_it_is_back(world: World) -> None:
    world.grow(5)
    assert world.offer()
    same_size(world)
    world.governance.down = True
    assert not world.offer()
    world.governance.down = False
    world.alarm.tell()
    world.alarm.tell()
    assert len(world.governance.reports) == 1


def test_a_crash_between_evidence_and_log_is_made_up_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.grow(5)
    assert world.offer()
    same_size(world)

    def crash(*_: object, **__: object) -> int:
        raise LogUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "write", crash)
        assert not world.offer()
    assert world.forks() == []
    restarted = world.new_alarm()
    restarted.settle()
    restarted.settle()
    assert len(world.forks()) == 1


def test_evidence_that_cannot_be_kept_is_told_at_least(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.evidence.write_text("in the way")
    world.grow(5)
    assert world.offer()
    same_size(world)
    assert not world.offer()
    assert "not to be trusted" in caplog.text
    assert "could not be kept" in caplog.text


def heads(number: int) -> Fork:
    seen = SeenCheckpoint(5, bytes(32), "seen")
    return Fork("no-proof", seen, SeenCheckpoint(6 + number, bytes(32), "came"), "why")


def test_endless_forks_do_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MAX_KEPT", 2)
    kept = [keep_evidence(tmp_path / "e", heads(n), time=instant(NOW)) for n in range(3)]
    assert [one is not None for one in kept] == [True, True, False]
    assert keep_evidence(tmp_path / "e", heads(0), time=instant(NOW)) == kept[0]


@pytest.mark.parametrize("text", ["", "{}", '{"version":1}', "[" * 2000])
def test_evidence_that_was_changed_is_named(tmp_path: Path, text: str) -> None:
    kept = keep_evidence(tmp_path, heads(1), time=instant(NOW))
    assert kept is not None
    (tmp_path / f"{kept.record.id}.json").write_text(text)
    with pytest.raises(ClientError, match=kept.record.id):
        read_evidence(tmp_path)


# -- watching ------------------------------------------------------------------------------------


def test_watching_goes_on_after_a_broken_stream(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("clients.witness._FIRST_PAUSE_S", 0.01)
    caplog.set_level(logging.INFO)
    stop = threading.Event()
    calls = 0

    def stream(size: int) -> Iterator[bytes]:
        nonlocal calls
        calls += 1
        world.grow(1)
        yield world.governance.head(size)
        if calls == 2:
            raise StateUnavailable("disk full")
        if calls == 3:
            stop.set()
        raise GovernanceUnavailable("the stream broke")

    world.governance.stream = stream
    world.witness.run(stop)
    assert world.governance.asked == [0, 1, 2]
    assert [size for size, _ in world.governance.cosigned] == [1, 2, 3]
    assert "waiting for governance: the stream broke" in caplog.text
    assert "governance is there again" in caplog.text and "cannot witness" in caplog.text


def test_a_stop_ends_the_watching(world: World) -> None:
    stop = threading.Event()

    def stream(size: int) -> Iterator[bytes]:
        world.grow(1)
        stop.set()
        yield world.governance.head(size)
        raise AssertionError("it goes on")

    world.governance.stream = stream
    world.witness.run(stop)
    assert len(world.governance.cosigned) == 1


# -- the owner's policy --------------------------------------------------------------------------


def test_without_a_file_nobody_s_cosignature_is_asked_for(tmp_path: Path) -> None:
    assert read_witness_policy(NodePaths(tmp_path), SPACE.verifier).quorum == "none"


def test_the_owner_s_policy_is_read(tmp_path: Path) -> None:
    text = f"log {SPACE.verifier_key}\nwitness w {COSIGNER.verifier.text}\nquorum w\n"
    (tmp_path / "witness-policy").write_text(text)
    policy = read_witness_policy(NodePaths(tmp_path), SPACE.verifier)
    assert policy.keys == (COSIGNER.verifier,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quorum w\n", "line 1"),
        (f"log {OWN.verifier_key}\nquorum none\n", "expected no log line"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "witness-policy").write_text(text)
    with pytest.raises(IdentityError, match=message):
        read_witness_policy(NodePaths(tmp_path), SPACE.verifier)
