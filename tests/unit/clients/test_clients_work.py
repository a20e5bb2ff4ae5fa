"""Steps 6 to 8 around a fake runner: order, crashes, withdrawals, and what must never leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from test_clients_gate import APP, KEYS, NOW, PERMIT_KEY, World, agreement, body
from test_clients_selection import product as subjects_product
from test_clients_selection import table

from clients.declared import UNDECLARED, Declaration
from clients.environments import Environment
from clients.errors import (
    AppFailed,
    AppTimeout,
    BundleError,
    ProductError,
    SandboxCancelled,
    SandboxUnavailable,
    VaultError,
)
from clients.jobs import Job, JobResult
from clients.journal import Journal
from clients.observing import NOBODY, Observer
from clients.records import Fork
from clients.room import Room
from clients.rowset import RowTree
from clients.sdk import Rows
from clients.selection import Selection, Selector
from clients.state import NodeState
from clients.statevault import StateVault
from clients.tasks import Done, Reply, Task
from clients.watcher import StateWatcher
from clients.work import Worker
from ledger.errors import LogUnavailable
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.turns import Appended
from policies.canonical import sha256_hex
from policies.entries import Entry, parse_entry
from policies.fields import instant
from policies.odrl import parse_agreement
from policies.permit import sign_permit
from policies.provenance import UNMARKED, pack_model
from policies.receipt import Confinement, open_receipt
from policies.runconfig import config_digest
from policies.tensors import architecture_digest, pack_tensors, unpack_tensors
from policies.wire import Refusal

CANARY = "canary-4711"
RECEIPT_KEY = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
SEALING_KEY = X25519PrivateKey.from_private_bytes(b"s" * 32)
OWN_LOG = NoteSigner("space.example/demo/clinic-a", Ed25519PrivateKey.from_private_bytes(b"n" * 32))
MODEL = pack_tensors({"weight": np.zeros((2, 3), dtype=np.float32)})
CONFIG = {"lr": 0.1, "epochs": 1}
UPDATE = {"weight": np.ones((2, 3), dtype=np.float32)}
CONFINEMENT = Confinement.measured(
    network="none",
    user="nobody",
    files="own",
    no_new_privileges=True,
    memory_limit=True,
    scratch="bounded",
)


class Crash(BaseException):
    """The process dies here; nothing in it runs on."""


@dataclass
class FakeRunner:
    """Returns what it is told to; `waits` makes it run until it is cancelled."""

    result: JobResult | Exception = field(
        default_factory=lambda: JobResult(dict(UPDATE), {"loss": 0.5, "secret": 1.0}, CANARY)
    )
    waits: bool = False
    running: threading.Event = field(default_factory=threading.Event)
    jobs: list[Job] = field(default_factory=list)

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        self.jobs.append(job)
        self.running.set()
        if self.waits:
            assert cancelled is not None
            assert cancelled.wait(5), "the task was not ended"
            raise SandboxCancelled("ended")
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@dataclass
class FakeMaterials:
    """Five rows, one held back."""

    error: Exception | None = None
    chosen: Callable[[str, datetime], Selection] | None = None

    def select(self, product: str, *, purpose: str, now: datetime) -> Selection:
        if self.error is not None:
            raise self.error
        if self.chosen is not None:
            return self.chosen(purpose, now)
        return Selection(
            rows=Rows(
                features=np.full((4, 2), 4711, dtype=np.float32),
                labels=np.zeros(4, dtype=np.int64),
                held_out_features=np.full((1, 2), 4711, dtype=np.float32),
                held_out_labels=np.zeros(1, dtype=np.int64),
                feature_names=("x", "y"),
                classes=("a", "b"),
            ),
            states=np.array([1, 1, 2, 1, 1], dtype=np.uint8),
            product_commitment="f" * 64,
            tree=RowTree(b"k" * 32),
            salt=b"s" * 32,
        )

    def app_folder(self, app: str) -> Path:
        return Path("/nonexistent") / app

    def declaration(self, app: str) -> Declaration:
        return UNDECLARED


class FullDisk:
    """A log whose disk is full after so many entries."""

    def __init__(self, log: Log, left: int) -> None:
        self._log, self.left = log, left

    @property
    def size(self) -> int:
        return self._log.size

    def append(self, entries: Any, *, idempotency_key: str | None = None) -> Appended:
        if self.left == 0:
            raise LogUnavailable("disk full at /secret/place")
        self.left -= 1
        return self._log.append(entries, idempotency_key=idempotency_key)

    def checkpoint(self) -> str:
        return self._log.checkpoint()


class Node:
    """A node's process: state and log opened from the folder; `restart` opens them again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.space = World()
        self.runner = FakeRunner()
        self.materials = FakeMaterials()
        self.crash_at = ""
        self.at: dict[str, Callable[[], None]] = {}
        self.details: list[str] = []
        self.keep_detail: Callable[[str], None] = self.details.append
        self.observer: Observer = NOBODY
        self.room: Room | None = None
        self.prepare: Callable[[int], None] | None = None
        self.forks: list[Fork] = []
        self.environment: Environment | None = None
        self.now = NOW
        self.devices: tuple[Path, ...] = ()
        self._stack = ExitStack()
        self._open()

    def _open(self, entries_left: int = -1) -> None:
        self.state = NodeState.open(self.folder / "state.db")
        self._stack.callback(self.state.close)
        self.log = self._stack.enter_context(
            Log.open(
                folder=self.folder / "log",
                database=self.folder / "ledger.db",
                last_signed=self.folder / "last-signed",
                signer=OWN_LOG,
            )
        )
        writer = self.log if entries_left < 0 else FullDisk(self.log, entries_left)
        self.writer = writer
        self.journal = Journal(log=writer, state=self.state, verifier=OWN_LOG.verifier)
        self.worker = Worker(
            keys=KEYS,
            receipt_key=RECEIPT_KEY,
            sealing_key=SEALING_KEY,
            confinement=CONFINEMENT,
            state=self.state,
            journal=self.journal,
            materials=self.materials,
            runner=self.runner,
            fetch_consistency=self.space.consistency,
            clock=lambda: self.now,
            keep_detail=self.keep_detail,
            observer=self.observer,
            room=self.room,
            prepare=self.prepare,
            on_fork=self.forks.append,
            devices=self.devices,
            environment_of=lambda app: self.environment,
            states=StateVault(key=b"k" * 32, participant="clinic-a", states=self.state),
            on_step=self._step,
        )

    def _step(self, name: str) -> None:
        if name in self.at:
            self.at[name]()
        if name == self.crash_at:
            raise Crash(name)

    def restart(self, *, entries_left: int = -1) -> None:
        self.close()
        self.crash_at = ""
        self._open(entries_left)

    def close(self) -> None:
        self._stack.close()
        self._stack = ExitStack()

    def consent(self, document: bytes) -> None:
        parsed = parse_agreement(document)
        self.state.add_agreement(
            agreement=parsed.id,
            digest=parsed.digest,
            product=parsed.target,
            document=document,
            time=instant(NOW),
        )

    def withdraw(self) -> None:
        other = NodeState.open(self.folder / "state.db")  # as another process would
        other.withdraw(
            "agreement-clinic-a",
            withdrawal=f"withdrawal-{'0' * 32}",
            envelope=b"{}",
            reason="no more",
            commitment="",
            opening=b"",
            time=instant(NOW),
        )
        other.close()

    def task(self, number: int = 1, **changes: Any) -> Task:
        sizes = {
            "model": sha256_hex(MODEL),
            "architecture": architecture_digest(unpack_tensors(MODEL)),
            "config": config_digest(CONFIG),
        }
        permit = body(id=f"permit-{number:032x}", **(sizes | changes))
        return Task(
            flower_run="77",
            fab_sha256=APP,
            run_config=CONFIG,
            permit=sign_permit(permit, self.space.log(permit), PERMIT_KEY),
            model=MODEL,
        )

    def entries(self) -> list[Entry]:
        return [parse_entry(line) for line in self.log.entries(0, self.log.size)]

    def types(self) -> list[str]:
        return [entry.type for entry in self.entries() if entry.type != "AppApproved"]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement())
    yield node
    node.close()


def code(reply: Reply) -> str:
    assert isinstance(reply, Refusal)
    return reply.code


def test_a_task_gives_a_receipt_that_says_what_was_done(node: Node) -> None:
    task = node.task()
    reply = node.worker.handle(task)
    assert isinstance(reply, Done)
    receipt = open_receipt(reply.receipt, RECEIPT_KEY.public_key())
    assert receipt.update == sha256_hex(reply.update)
    assert reply.update == pack_tensors(UPDATE)
    assert (receipt.rows_used, receipt.rows_held_back) == (4, 1)
    assert receipt.metrics == {"loss": "0.5"}
    assert receipt.log_size == node.log.size - 1
    assert node.types() == ["UseStarted", "UseReceipted"]
    assert node.entries()[-1].body["envelope"] == sha256_hex(reply.receipt)
    assert [use.outcome for use in node.state.uses(limit=9)] == ["receipted"]
    job = node.runner.jobs[0]
    assert (job.kind, job.round, job.timeout_s, job.run_config) == ("train", 3, 60, CONFIG)


def test_an_update_leaves_within_the_permits_norm(node: Node) -> None:
    """The receipt repeats the bound; that it had to be applied is for the owner alone."""
    reply = node.worker.handle(node.task(clip_norm="0.5"))
    assert isinstance(reply, Done)
    left = unpack_tensors(reply.update)["weight"].astype(float)
    assert 0.49 < np.linalg.norm(left - unpack_tensors(MODEL)["weight"]) <= 0.5
    receipt = open_receipt(reply.receipt, RECEIPT_KEY.public_key())
    assert (receipt.clip_norm, receipt.update) == ("0.5", sha256_hex(reply.update))
    assert b"clipped" not in reply.receipt
    egress = node.entries()[-1].body["egress"]
    assert (egress["clip_norm"], egress["clipped"]) == ("0.5", True)


def test_an_app_runs_with_the_packages_it_was_approved_with(node: Node) -> None:
    node.environment = Environment(name="one", digest="0" * 64, site=Path("/nonexistent"))
    node.worker.handle(node.task())
    node.environment = None
    node.worker.handle(node.task(2))
    names = [job.environment and job.environment.name for job in node.runner.jobs]
    assert names == ["one", None]


def test_who_withdraws_between_rounds_is_left_out_of_the_next(node: Node, tmp_path: Path) -> None:
    one = subjects_product(tmp_path, ["p1", "p2", "p3", "p4"], held_back="0")
    lines = [f"p{number},medical-research,2020-01-01,,e" for number in (1, 2, 3)]
    table(tmp_path, *lines)
    selector = Selector(salt=b"s" * 32)
    node.materials.chosen = lambda purpose, now: selector.select(one, purpose=purpose, now=now)
    first = node.worker.handle(node.task(purpose="medical-research"))
    lines[1] = "p2,medical-research,2020-01-01,2021-01-01,e"
    table(tmp_path, *lines)
    second = node.worker.handle(node.task(2, purpose="medical-research"))
    table(tmp_path, "canary")
    third = node.worker.handle(node.task(3, purpose="medical-research"))
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    before, after = (
        open_receipt(done.receipt, RECEIPT_KEY.public_key()) for done in (first, second)
    )
    assert (before.rows_used, before.rows_without_consent) == (3, 1)
    assert (after.rows_used, after.rows_without_consent) == (2, 2)
    assert before.rows_commitment != after.rows_commitment
    assert [job.rows.features[:, 0].tolist() for job in node.runner.jobs] == [[0, 1, 2], [0, 2]]
    assert code(third) == "product-unreadable"
    assert "canary" not in str(third)


def test_an_evaluation_leaves_figures_only(node: Node) -> None:
    node.consent(
        agreement(permission=[{"action": "evaluate"}], **{"@id": "agreement-for-evaluation"})
    )
    node.runner.result = JobResult(None, {"loss": 0.25}, "")
    cohort = [
        member | {"agreement": "agreement-for-evaluation"}
        for member in body().to_json()["cohort"]  # type: ignore[union-attr]
    ]
    reply = node.worker.handle(node.task(kind="evaluate", cohort=cohort))
    assert isinstance(reply, Done)
    receipt = open_receipt(reply.receipt, RECEIPT_KEY.public_key())
    assert reply.update == b""
    assert (receipt.rows_used, receipt.rows_held_back) == (0, 1)
    assert receipt.update == sha256_hex(b"")


def test_each_use_counts_once_and_no_permit_works_twice(node: Node) -> None:
    task = node.task()
    assert isinstance(node.worker.handle(task), Done)
    assert code(node.worker.handle(task)) == "permit-replayed"
    node.restart()
    assert code(node.worker.handle(task)) == "permit-replayed"
    assert len(node.runner.jobs) == 1
    record = node.state.agreement("agreement-clinic-a")
    assert record is not None
    assert record.uses == 1
    assert node.types() == ["UseStarted", "UseReceipted", "UseRefused", "UseRefused"]


def test_a_forked_log_is_refused_and_told_of(node: Node) -> None:
    assert isinstance(node.worker.handle(node.task()), Done)
    node.space = World()
    node.restart()
    assert code(node.worker.handle(node.task(2))) == "log-forked"
    assert [(fork.kind, fork.seen.size, fork.came.size) for fork in node.forks] == [
        ("two-roots", 2, 2)
    ]


def test_a_refusal_of_the_gate_is_logged_with_its_reason(node: Node) -> None:
    reply = node.worker.handle(node.task(purpose="marketing", space="space.example/other"))
    assert isinstance(reply, Refusal)
    assert node.runner.jobs == []
    entry = node.entries()[-1]
    assert (entry.type, entry.body["code"]) == ("UseRefused", "permit-wrong-space")
    assert entry.body["text"] == reply.text


BAD_SHAPE = {"weight": np.ones((3, 2), dtype=np.float32)}
BAD_TYPE = {"weight": np.ones((2, 3), dtype=np.float64)}
NOT_FINITE = {"weight": np.full((2, 3), np.nan, dtype=np.float32)}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (AppFailed("the app raised ValueError at app.py:3", detail=CANARY), "app-failed"),
        (AppTimeout("the app took longer than 60 s"), "app-timeout"),
        (SandboxUnavailable(f"{CANARY}"), "node-unavailable"),
        (RuntimeError(CANARY), "node-unavailable"),
        (KeyError(CANARY), "node-unavailable"),
        (JobResult(None, {}, CANARY), "egress-refused"),
        (JobResult(BAD_SHAPE, {}, CANARY), "egress-refused"),
        (JobResult(BAD_TYPE, {}, CANARY), "egress-refused"),
        (JobResult(NOT_FINITE, {}, CANARY), "egress-refused"),
        (JobResult(dict(UPDATE), {"loss": float("nan")}, CANARY), "egress-refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_use_that_fails_is_logged_and_says_nothing_of_the_data(
    node: Node, result: JobResult | Exception, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    node.runner.result = result
    reply = node.worker.handle(node.task())
    assert code(reply) == expected
    assert node.types() == ["UseStarted", "UseFailed"]
    assert [use.outcome for use in node.state.uses(limit=9)] == ["failed"]
    assert isinstance(reply, Refusal)
    published = reply.encode().encode() + b"".join(node.log.entries(0, node.log.size))
    assert CANARY.encode() not in published
    if not isinstance(result, SandboxUnavailable):  # its text is the node's own
        assert CANARY not in caplog.text


def test_an_apps_own_words_stay_with_the_owner(node: Node) -> None:
    node.runner.result = AppFailed("the app raised", detail=CANARY)
    assert code(node.worker.handle(node.task())) == "app-failed"
    assert node.details == [CANARY]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (VaultError(f"/home/{CANARY}/data.csv: row 3, column x: no number"), "product-unreadable"),
        (VaultError(f"/home/{CANARY}\udcff.csv: not Unicode"), "product-unreadable"),
        (ProductError(f"/home/{CANARY}/product.json: changed"), "product-unreadable"),
        (BundleError(f"/home/{CANARY}/apps: changed"), "app-failed"),
    ],
)
def test_materials_that_cannot_be_used_are_a_failed_use_that_names_no_file(
    node: Node, error: Exception, expected: str
) -> None:
    node.materials.error = error
    reply = node.worker.handle(node.task())
    assert code(reply) == expected
    assert node.runner.jobs == []
    assert node.types() == ["UseStarted", "UseFailed"]
    assert isinstance(reply, Refusal)
    published = reply.encode().encode() + b"".join(node.log.entries(0, node.log.size))
    assert CANARY.encode() not in published
    assert node.entries()[-1].body["text"] == reply.text


def metered(node: Node) -> int:
    record = node.state.agreement("agreement-clinic-a")
    assert record is not None
    return record.metered_s


@pytest.mark.parametrize(
    ("seconds", "left_s"), [(0, 0), (1.5, 2), (60, 60), (-1, 60), (60.001, 60)]
)
def test_a_use_takes_at_most_what_the_permit_reserves(
    node: Node, seconds: float, left_s: int
) -> None:
    def pass_time() -> None:
        node.now += timedelta(seconds=seconds)

    node.at["ran"] = pass_time
    reply = node.worker.handle(node.task())
    if seconds > 60:
        assert code(reply) == "app-timeout"
    else:
        assert isinstance(reply, Done)
    assert metered(node) == left_s


def test_a_use_runs_no_longer_than_what_is_counted_for_it(node: Node) -> None:
    """A permit could allow more wall time than it reserves under the agreement."""
    limits = {"wall_s": 600, "memory_bytes": 1 << 28, "accelerator": "none"}
    assert isinstance(node.worker.handle(node.task(limits=limits)), Done)
    assert node.runner.jobs[0].timeout_s == 60


@pytest.mark.parametrize(
    ("allowed", "opened", "said"),
    [
        ("none", (), "none"),
        ("none", (Path("/dev/nvidia0"),), "none"),
        ("cuda", (), "none"),
        ("cuda", (Path("/dev/nvidia0"),), "cuda"),
    ],
)
def test_devices_are_opened_where_permit_and_owner_say_so(
    node: Node, allowed: str, opened: tuple[Path, ...], said: str
) -> None:
    node.devices = opened
    node.restart()
    limits = {"wall_s": 60, "memory_bytes": 1 << 28, "accelerator": allowed}
    reply = node.worker.handle(node.task(limits=limits))
    assert isinstance(reply, Done)
    assert open_receipt(reply.receipt, RECEIPT_KEY.public_key()).accelerator == said
    assert node.runner.jobs[0].devices == (opened if said == "cuda" else ())


def test_a_use_that_was_cut_off_stays_counted(node: Node) -> None:
    node.crash_at = "ran"
    with pytest.raises(Crash):
        node.worker.handle(node.task())
    node.restart()
    node.worker.recover()
    assert metered(node) == 60


def test_a_model_may_say_how_it_was_made_and_an_update_may_not(node: Node) -> None:
    noted = pack_model(unpack_tensors(MODEL), UNMARKED.joined(["clinic-b"], None))
    task = replace(node.task(model=sha256_hex(noted)), model=noted)
    reply = node.worker.handle(task)
    assert isinstance(reply, Done)
    assert reply.update == pack_tensors(UPDATE)


def test_more_rows_than_registered_are_not_used(node: Node) -> None:
    cohort = [member | {"max_rows": 4} for member in body().to_json()["cohort"]]  # type: ignore[union-attr]
    assert code(node.worker.handle(node.task(cohort=cohort))) == "product-unreadable"
    assert node.runner.jobs == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"run_config": {"lr": float("nan")}}, "permit-wrong-config"),
        ({"run_config": {"lr": 0.2, "epochs": 1}}, "permit-wrong-config"),
        ({"model": b"no model"}, "permit-wrong-model"),
        ({"fab_sha256": "b" * 64}, "permit-wrong-app"),
        ({"flower_run": "78"}, "permit-wrong-run"),
        ({"permit": b""}, "permit-malformed"),
    ],
)
def test_a_message_that_does_not_fit_its_permit_is_refused(
    node: Node, change: dict[str, Any], expected: str
) -> None:
    task = node.task()
    fields = {name: getattr(task, name) for name in Task.__dataclass_fields__} | change
    assert code(node.worker.handle(Task(**fields))) == expected
    assert node.runner.jobs == []
    assert node.types() == ["UseRefused"]


def test_a_model_that_is_none_is_refused_even_if_permitted(node: Node) -> None:
    task = node.task(model=sha256_hex(b"no model"))
    broken = Task(task.flower_run, task.fab_sha256, task.run_config, task.permit, b"no model")
    assert code(node.worker.handle(broken)) == "permit-wrong-model"
    assert node.types() == ["UseRefused"]


@pytest.mark.parametrize(
    ("step", "logged", "runs", "again"),
    [
        ("admitted", [], 0, "done"),
        ("recorded", ["UseFailed"], 0, "permit-replayed"),
        ("started", ["UseStarted", "UseFailed"], 0, "permit-replayed"),
        ("opened", ["UseStarted", "UseFailed"], 0, "permit-replayed"),
        ("ran", ["UseStarted", "UseFailed"], 1, "permit-replayed"),
        ("checked", ["UseStarted", "UseFailed"], 1, "permit-replayed"),
        ("receipted", ["UseStarted", "UseReceipted"], 1, "permit-replayed"),
        ("finished", ["UseStarted", "UseReceipted"], 1, "permit-replayed"),
    ],
)
def test_a_crash_after_any_step_loses_no_entry_and_repeats_no_use(
    node: Node, step: str, logged: list[str], runs: int, again: str
) -> None:
    task = node.task()
    node.crash_at = step
    with pytest.raises(Crash):
        node.worker.handle(task)
    assert len(node.runner.jobs) == runs
    node.restart()
    node.worker.recover()
    assert node.types() == logged
    assert node.state.unfinished() == []
    assert node.worker.recover() == 0
    reply = node.worker.handle(task)
    assert (reply.code if isinstance(reply, Refusal) else "done") == again


def test_without_room_for_the_first_entry_nothing_is_used(node: Node) -> None:
    node.journal.drain()
    node.restart(entries_left=0)
    reply = node.worker.handle(node.task())
    assert code(reply) == "node-unavailable"
    assert isinstance(reply, Refusal)
    assert "/secret/place" not in reply.text
    assert node.runner.jobs == []
    node.restart()
    assert node.worker.recover() == 1
    assert node.types() == ["UseFailed"]


def test_without_room_for_the_receipt_nothing_leaves_and_the_end_is_logged_later(
    node: Node,
) -> None:
    node.journal.drain()
    node.restart(entries_left=1)
    assert code(node.worker.handle(node.task())) == "node-unavailable"
    assert len(node.runner.jobs) == 1
    node.restart()
    assert isinstance(node.worker.handle(node.task(2)), Done)
    assert node.types() == ["UseStarted", "UseFailed", "UseStarted", "UseReceipted"]


def test_a_withdrawal_by_another_process_ends_the_running_task_at_once(node: Node) -> None:
    node.runner.waits = True
    replies: list[Reply] = []
    worker = threading.Thread(target=lambda: replies.append(node.worker.handle(node.task())))
    with StateWatcher(node.state.path, node.worker.recheck):
        worker.start()
        assert node.runner.running.wait(5)
        began = time.monotonic()
        node.withdraw()
        worker.join(5)
        took = time.monotonic() - began
    assert [code(reply) for reply in replies] == ["consent-withdrawn"]
    assert took < 4.0  # 0.3 s on an idle machine; without the watcher it never ends
    assert node.types() == ["UseStarted", "Withdrawn", "UseFailed"]
    assert [use.outcome for use in node.state.uses(limit=9)] == ["withdrawn"]
    node.runner.waits = False
    assert code(node.worker.handle(node.task(2))) == "consent-withdrawn"


@pytest.mark.parametrize(
    ("step", "logged"),
    [
        ("admitted", ["Withdrawn", "UseRefused"]),
        ("recorded", ["Withdrawn", "UseStarted", "UseFailed"]),
        ("ran", ["UseStarted", "Withdrawn", "UseFailed"]),
        ("checked", ["UseStarted", "Withdrawn", "UseReceipted", "UseFailed"]),
        ("receipted", ["UseStarted", "UseReceipted", "Withdrawn", "UseFailed"]),
    ],
)
def test_after_a_withdrawal_no_result_leaves_whatever_the_step(
    node: Node, step: str, logged: list[str]
) -> None:
    node.at[step] = node.withdraw
    assert code(node.worker.handle(node.task())) == "consent-withdrawn"
    assert node.types() == logged


def test_a_withdrawal_after_the_last_look_finds_the_use_over(node: Node) -> None:
    node.at["finished"] = node.withdraw
    assert isinstance(node.worker.handle(node.task()), Done)
    assert [use.outcome for use in node.state.uses(limit=9)] == ["receipted"]


def test_revoking_the_app_ends_the_running_task(node: Node) -> None:
    node.at["ran"] = lambda: assert_true(node.state.revoke_app(APP, time=instant(NOW)))
    assert code(node.worker.handle(node.task())) == "app-not-approved"
    assert node.types() == ["UseStarted", "AppRevoked", "UseFailed"]


def assert_true(value: bool) -> None:
    assert value


def test_two_tasks_at_once_are_one_too_many(node: Node) -> None:
    node.runner.waits = True
    replies: list[Reply] = []
    worker = threading.Thread(target=lambda: replies.append(node.worker.handle(node.task())))
    worker.start()
    assert node.runner.running.wait(5)
    assert code(node.worker.handle(node.task(2))) == "node-busy"
    node.worker.stop()
    worker.join(5)
    assert [code(reply) for reply in replies] == ["node-unavailable"]
    assert code(node.worker.handle(node.task(3))) == "node-unavailable"
    assert node.types() == ["UseStarted", "UseRefused", "UseFailed", "UseRefused"]


def test_a_watcher_outlives_a_change_that_could_not_be_taken_up(node: Node) -> None:
    calls = threading.Semaphore(0)
    failures = [LogUnavailable("later")]

    def on_change() -> None:
        calls.release()
        if failures:
            raise failures.pop()

    with StateWatcher(node.state.path, on_change, interval_s=0.01):
        assert calls.acquire(timeout=5)
        assert calls.acquire(timeout=5)  # the failed one again
        node.withdraw()
        assert calls.acquire(timeout=5)
