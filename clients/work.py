"""One task, from message to receipt: steps 6 to 8 of a round (DESIGN.md), around the node's parts.

    6  check      the gate; then nonce, counter and checkpoint in one transaction
    7  use        `UseStarted` in the own log, the product opened, the app run in the sandbox
    8  egress     shapes and figures checked, the receipt signed, `UseReceipted` in the own log,
                  and a last look at consent, in the transaction that ends the use

Check, record, act: what a crash leaves behind stands at each step. `recover` logs the end of uses
that were cut off, at start and before each task.

Only fixed sentences, digests and counts leave or are logged when something fails: never an
exception's own text unless its class promises to hold no value of the data (clients.errors).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clients.appbundle import MAX_BUNDLE_BYTES, install_bundle
from clients.egress import check_metrics, check_no_update, check_update
from clients.errors import (
    AppFailed,
    AppTimeout,
    BundleError,
    ClientError,
    EgressRefused,
    FileRefused,
    GateRefused,
    ProductError,
    SandboxCancelled,
    VaultError,
    refused,
)
from clients.files import read_file
from clients.gate import Admission, FetchConsistency, GateKeys, MessageFacts, check_permit
from clients.identity import NodeIdentity
from clients.owner import bundle_path
from clients.product import MAX_PRODUCT_BYTES, load_product
from clients.sandbox import Job, JobResult
from clients.state import Journal, NodeState, Use
from clients.vault import OpenProduct, Vault
from ledger.errors import LedgerError, LogDamaged, LogUnavailable
from policies.canonical import Json, sha256_hex
from policies.entries import EntryType
from policies.errors import DocumentError, PolicyError
from policies.fields import instant
from policies.receipt import Confinement, Receipt, sign_receipt
from policies.runconfig import ConfigValue, config_digest
from policies.tensors import Tensors, pack_tensors, unpack_tensors
from policies.wire import Refusal, RefusalCode

LOGGER = logging.getLogger(__name__)

WATCH_INTERVAL_S: Final = 0.1

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Task:
    """What a message asks for; nothing in it is believed before the gate.

    Attributes:
        flower_run: Flower's id of the run the message came in, decimal.
        fab_sha256: of the run's app bundle, as the node itself hashed it.
        run_config: the fused run config as Flower would hand it to the app.
        permit: the envelope; `model`: the incoming model, safetensors bytes.
    """

    flower_run: str
    fab_sha256: str
    run_config: Mapping[str, ConfigValue]
    permit: bytes
    model: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """What may leave; the receipt is durable in the own log. An evaluation has an empty update."""

    receipt: bytes
    update: bytes


Reply = Done | Refusal


class Materials(Protocol):
    """The owner's side of a use; `OwnMaterials` is one, tests have another."""

    def open_product(self, product: str) -> OpenProduct:
        """The product's rows.

        Raises:
            GateRefused, ProductError, VaultError: unknown, changed since, or not readable.
        """

    def app_folder(self, app: str) -> Path:
        """The approved bundle, unpacked.

        Raises:
            BundleError: absent, or changed.
        """


class Runner(Protocol):
    """`clients.sandbox.Sandbox`, or a fake."""

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        """One job to its end; SandboxCancelled soon after `cancelled` is set."""


class OwnMaterials:
    """Products as registered, read where they lie; bundles as the owner approved them."""

    def __init__(self, *, identity: NodeIdentity, state: NodeState) -> None:
        self._identity = identity
        self._state = state
        self._vault = Vault(salt=identity.keys.salt)
        self._installed: dict[str, Path] = {}

    def open_product(self, product: str) -> OpenProduct:
        """See `Materials`."""
        record = self._state.product(product)
        if record is None:
            raise refused("product-unknown", f"this node has no product {product}")
        path = Path(record.file)
        try:
            found = sha256_hex(read_file(path, max_bytes=MAX_PRODUCT_BYTES))
        except FileRefused as error:
            raise ProductError(f"product {product}: {error}") from error
        if found != record.digest:
            raise ProductError(
                f"product {product}: its product file was changed since it was registered; "
                "register the new version under a new id"
            )
        return self._vault.open(load_product(path))

    def app_folder(self, app: str) -> Path:
        """See `Materials`."""
        known = self._installed.get(app)
        if known is None:
            try:
                bundle = read_file(bundle_path(self._identity, app), max_bytes=MAX_BUNDLE_BYTES)
            except FileRefused as error:
                raise BundleError(f"app {app}: {error}; approve it again") from error
            known = install_bundle(bundle, expected_sha256=app, into=self._identity.paths.apps)
            self._installed[app] = known
        return known


@dataclass(slots=True)
class _Current:
    """The use in hand; other threads only set `cancelled`."""

    agreement: str
    app: str
    started: datetime
    cancelled: threading.Event = field(default_factory=threading.Event)
    receipted: bool = False


# What these say holds no value of the data: their classes promise it.
_TELLING: Final[Mapping[type[Exception], RefusalCode]] = MappingProxyType(
    {
        AppTimeout: "app-timeout",
        AppFailed: "app-failed",
        EgressRefused: "egress-refused",
        ProductError: "product-unreadable",
        VaultError: "product-unreadable",
        BundleError: "app-failed",
    }
)


class Worker:
    """Handles one task at a time; a second one meanwhile is refused as `node-busy`.

    Args:
        keys: who the node is and whom it believes.
        receipt_key: signs receipts.
        confinement: what holds the runner's children, as measured.
        state, journal: what the node remembers, and its own log.
        materials, runner: the owner's data and apps; where apps run.
        fetch_consistency: asks governance for a proof.
        clock: aware UTC now.
        keep_detail: gets an app's own words after a failure; they stay with the owner.
        on_step: called after each step with its name; tests crash there.
    """

    def __init__(
        self,
        *,
        keys: GateKeys,
        receipt_key: Ed25519PrivateKey,
        confinement: Confinement,
        state: NodeState,
        journal: Journal,
        materials: Materials,
        runner: Runner,
        fetch_consistency: FetchConsistency,
        clock: Clock,
        keep_detail: Callable[[str], None] | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        self._keys = keys
        self._receipt_key = receipt_key
        self._confinement = confinement
        self._state = state
        self._journal = journal
        self._materials = materials
        self._runner = runner
        self._fetch_consistency = fetch_consistency
        self._clock = clock
        self._keep_detail = keep_detail if keep_detail is not None else _ignore
        self._on_step = on_step if on_step is not None else _ignore
        self._turn = threading.Lock()
        self._current: _Current | None = None
        self._stopping = threading.Event()

    def handle(self, task: Task) -> Reply:
        """Do what the task asks if it is allowed, else say why not. Raises no `Exception`."""
        if not self._turn.acquire(blocking=False):
            return self._refuse(task, _refusal("node-busy", "the node works on another task"))
        try:
            return self._answer(task)
        finally:
            self._current = None
            self._turn.release()

    def recheck(self) -> None:
        """End the running task if consent or approval was taken back; cheap, from any thread."""
        current = self._current
        if current is None:
            return
        try:
            self._state.require_allowed(agreement=current.agreement, app=current.app)
        except GateRefused:
            current.cancelled.set()

    def stop(self) -> None:
        """End the running task and refuse all others from now on."""
        self._stopping.set()
        current = self._current
        if current is not None:
            current.cancelled.set()

    def recover(self) -> int:
        """Log the end of uses that were cut off; returns how many. No task may be running.

        Raises:
            LedgerError, StateUnavailable: they stay as they are, for the next call.
        """
        cut_off = self._state.unfinished()
        for use in cut_off:
            text = "the node stopped during this use; nothing of it left"
            body = {"permit": use.permit, "permit_id": use.permit_id, "text": text}
            try:
                self._log("UseFailed", body, key=f"{use.permit_id}:outcome")
            except (LogUnavailable, LogDamaged):
                raise
            except LedgerError:
                LOGGER.info("use %s: its outcome is in the log already", use.permit_id)
            self._state.finish_use(use.permit_id, "stopped")
        return len(cut_off)

    def _answer(self, task: Task) -> Reply:
        try:
            if self._stopping.is_set():
                raise refused("node-unavailable", "the node is shutting down")
            self.recover()
            admission, incoming = self._admit(task)
            current = self._begin(admission)
        except Exception as error:  # noqa: BLE001 a task's edge: whatever it does, the node lives
            return self._refuse(task, self._explained(error))
        try:
            return self._use(admission, current, task, incoming)
        except Exception as error:  # noqa: BLE001 as above
            return self._fail(admission, current, self._explained(error))

    # -- 6: check, record --------------------------------------------------------------------

    def _admit(self, task: Task) -> tuple[Admission, Tensors]:
        try:
            config = config_digest(task.run_config)
        except DocumentError as error:
            raise refused("permit-wrong-config", f"the run config: {error}") from error
        admission = check_permit(
            task.permit,
            facts=MessageFacts(
                flower_run=task.flower_run,
                app_sha256=task.fab_sha256,
                config_sha256=config,
                model_sha256=sha256_hex(task.model),
            ),
            keys=self._keys,
            view=self._state,
            now=self._clock(),
            fetch_consistency=self._fetch_consistency,
        )
        try:
            incoming = unpack_tensors(task.model)
        except DocumentError as error:
            raise refused("permit-wrong-model", f"the model: {error}") from error
        self._on_step("admitted")
        return admission, incoming

    def _begin(self, admission: Admission) -> _Current:
        body, member = admission.permit.body, admission.member
        current = _Current(agreement=member.agreement, app=body.app, started=self._clock())
        # Before the transaction: a withdrawal after it must find what it has to end.
        self._current = current
        self._state.begin_use(
            Use(
                permit_id=body.id,
                permit=body.digest(),
                agreement=member.agreement,
                product=member.product,
                app=body.app,
                run=body.run,
                round=body.round,
                started=instant(current.started),
                expires=body.expires,
            ),
            expected_uses=admission.uses,
            seen=admission.seen,
        )
        # A crash from here on: the permit is used up, and `recover` logs that nothing left.
        self._on_step("recorded")
        return current

    # -- 7: use ------------------------------------------------------------------------------

    def _use(self, admission: Admission, current: _Current, task: Task, incoming: Tensors) -> Done:
        body, member = admission.permit.body, admission.member
        self._log("UseStarted", _started(admission), key=f"{body.id}:started")
        self._on_step("started")
        opened = self._materials.open_product(member.product)
        if len(opened.labels) > member.max_rows:
            raise ProductError(
                f"product {member.product}: expected at most the {member.max_rows} rows that were "
                f"registered, got {len(opened.labels)}; register the new version under a new id"
            )
        job = Job(
            app_dir=self._materials.app_folder(body.app),
            kind=body.kind,
            model=task.model,
            rows=opened.rows(),
            run_config=task.run_config,
            round=body.round,
            timeout_s=body.limits.wall_s,
            memory_bytes=body.limits.memory_bytes,
        )
        self._on_step("opened")
        result = self._runner.run(job, cancelled=current.cancelled)
        self._on_step("ran")
        return self._release(admission, current, opened, result, incoming)

    # -- 8: egress ---------------------------------------------------------------------------

    def _release(
        self,
        admission: Admission,
        current: _Current,
        opened: OpenProduct,
        result: JobResult,
        incoming: Tensors,
    ) -> Done:
        body = admission.permit.body
        update = _checked_update(admission, result, incoming)
        metrics = check_metrics(result.metrics, body.metrics)
        self._state.require_allowed(agreement=current.agreement, app=current.app)
        self._on_step("checked")
        receipt = self._receipt(admission, current, opened, update, metrics)
        envelope = sign_receipt(receipt, self._receipt_key)
        # A crash up to here: `recover` logs the failure; nothing left.
        facts = {"envelope": sha256_hex(envelope), "receipt": receipt.to_json()}
        self._log("UseReceipted", facts, key=f"{body.id}:outcome")
        current.receipted = True
        # A crash here: the log tells of a use whose reply never came, which counts as used.
        self._on_step("receipted")
        # The last look: whoever withdraws from now on withdraws after this use.
        self._state.finish_use(body.id, "receipted")
        self._on_step("finished")
        return Done(receipt=envelope, update=update)

    def _receipt(
        self,
        admission: Admission,
        current: _Current,
        opened: OpenProduct,
        update: bytes,
        metrics: dict[str, str],
    ) -> Receipt:
        body, member, head = admission.permit.body, admission.member, self._journal.head()
        training = opened.training_indices()
        held_back = opened.held_back.nonzero()[0]
        trains = body.kind == "train"
        return Receipt(
            version=1,
            permit=body.digest(),
            permit_id=body.id,
            run=body.run,
            round=body.round,
            participant=member.participant,
            product=member.product,
            product_commitment=opened.product_commitment,
            rows_commitment=opened.rows_commitment(training if trains else held_back),
            rows_used=len(training) if trains else 0,
            rows_held_back=len(held_back),
            update=sha256_hex(update),
            metrics=metrics,
            confinement=self._confinement,
            started=instant(current.started),
            finished=instant(self._clock()),
            log_size=head.size,
            log_root=head.root.hex(),
        )

    # -- when it does not work out -----------------------------------------------------------

    def _refuse(self, task: Task, refusal: Refusal) -> Refusal:
        """Nothing was used. The refusal is sent even where it cannot be logged."""
        body = {
            "flower_run": task.flower_run[:20],
            "app": task.fab_sha256[:64],
            "permit_envelope": sha256_hex(task.permit),
            **refusal.to_json(),
        }
        try:
            self._log("UseRefused", body)
        except (LedgerError, ClientError, PolicyError) as error:
            LOGGER.error("a refusal could not be logged: %s", error)
        return refusal

    def _fail(self, admission: Admission, current: _Current, refusal: Refusal) -> Refusal:
        """The use began; nothing of it leaves. Where that cannot be logged now, `recover` will."""
        body = admission.permit.body
        facts = {"permit": body.digest(), "permit_id": body.id, **refusal.to_json()}
        key = f"{body.id}:{'withheld' if current.receipted else 'outcome'}"
        outcome = "withdrawn" if refusal.code == "consent-withdrawn" else "failed"
        try:
            self._log("UseFailed", facts, key=key)
            self._state.finish_use(body.id, outcome)
        except (LedgerError, ClientError, PolicyError) as error:
            LOGGER.error("the end of use %s could not be logged: %s", body.id, error)
        return refusal

    def _explained(self, error: Exception) -> Refusal:
        """The refusal that an exception stands for."""
        if isinstance(error, GateRefused):
            return error.refusal
        if isinstance(error, SandboxCancelled):
            return self._why_cancelled()
        if isinstance(error, AppFailed):
            self._keep_detail(error.detail)
        code = _TELLING.get(type(error))
        if code is not None:
            return _refusal(code, str(error))
        if isinstance(error, ClientError | LedgerError):
            # Its text names paths of this machine, which are the owner's business.
            LOGGER.error("a task could not be done: %s", error)
            text = "the node cannot work at the moment; its owner finds the reason on the node"
            return _refusal("node-unavailable", text)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        name = type(error).__name__
        LOGGER.error("a task failed: %s at %s:%s", name, frame.filename, frame.lineno)
        return _refusal("node-unavailable", f"the node failed unexpectedly ({name})")

    def _why_cancelled(self) -> Refusal:
        current = self._current
        assert current is not None  # only a running task is cancelled
        try:
            self._state.require_allowed(agreement=current.agreement, app=current.app)
        except GateRefused as error:
            return error.refusal
        return _refusal("node-unavailable", "the task was ended on the node, by its owner")

    def _log(self, kind: EntryType, body: object, *, key: str | None = None) -> None:
        self._journal.write(kind, time=instant(self._clock()), body=body, idempotency_key=key)


class StateWatcher:
    """Calls `on_change` soon after any other connection committed to the node's database.

    SQLite counts commits of others in `PRAGMA data_version`. Asking costs microseconds, needs
    nothing from whoever commits, and no message can be lost. Use as a context manager.

    Args:
        on_change: called once at the start, then after changes; called again if it fails.
    """

    def __init__(
        self, path: Path, on_change: Callable[[], None], *, interval_s: float = WATCH_INTERVAL_S
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="state-watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                    self._follow(connection)
            except sqlite3.Error as error:
                LOGGER.error("%s cannot be watched: %s", self._path, error)
                self._stop.wait(self._interval_s)

    def _follow(self, connection: sqlite3.Connection) -> None:
        seen = None
        while not self._stop.is_set():
            version = connection.execute("PRAGMA data_version").fetchone()
            if version != seen:
                try:
                    self._on_change()
                    seen = version
                except (ClientError, LedgerError) as error:
                    LOGGER.error("a change of %s was not taken up: %s", self._path, error)
            self._stop.wait(self._interval_s)


def _started(admission: Admission) -> dict[str, Json]:
    body, member = admission.permit.body, admission.member
    return {
        "permit": body.digest(),
        "permit_id": body.id,
        "run": body.run,
        "flower_run": body.flower_run,
        "round": body.round,
        "attempt": body.attempt,
        "kind": body.kind,
        "consumer": body.consumer,
        "purpose": body.purpose,
        "app": body.app,
        "config": body.config,
        "model": body.model,
        "product": member.product,
        "agreement": member.agreement,
        "agreement_digest": admission.agreement.digest,
        "use": admission.uses + 1,
        "report": admission.report.digest,
        "space_log_size": admission.seen.size,
        "space_log_root": admission.seen.root.hex(),
    }


def _checked_update(admission: Admission, result: JobResult, incoming: Tensors) -> bytes:
    """The update's bytes after all checks; none for an evaluation."""
    if admission.permit.body.kind == "evaluate":
        check_no_update(result.update)
        return b""
    if result.update is None:
        raise EgressRefused("update: expected the trained model, got none")
    check_update(result.update, incoming)
    try:
        return pack_tensors(result.update)
    except DocumentError as error:
        raise EgressRefused("update: expected arrays of the known types, got another") from error


def _refusal(code: RefusalCode, text: str) -> Refusal:
    return refused(code, text).refusal


def _ignore(_text: str) -> None:
    pass
