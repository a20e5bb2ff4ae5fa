"""One task, from message to receipt: steps 6 to 8 of a round (DESIGN.md), around the node's parts.

    6  check      the gate; then nonce, counter and checkpoint in one transaction
    7  use        `UseStarted` in the own log, the product opened, the app run in the sandbox: on
                  one part of the rows after another where the permit asks for privacy
    8  egress     shapes and figures checked, the update clipped and masked, the receipt signed,
                  `UseReceipted` in the own log, and a last look at consent, in the transaction that
                  ends the use

Check, record, act: what a crash leaves behind stands at each step. `recover` logs the end of uses
that were cut off, at start and before each task.

When something fails, only fixed sentences, digests and counts leave or are logged
(clients.refusals).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from clients.admitting import Admitted, Admitting
from clients.egress import carried
from clients.environments import Environment
from clients.errors import (
    AppFailed,
    EgressRefused,
    GateRefused,
    LogForked,
    SandboxCancelled,
    refused,
)
from clients.failures import told_failures
from clients.gate import Admission, GateKeys
from clients.inhand import Hand, InHand, UseInHand, end_of, facts_of
from clients.jobs import Job, JobResult, Runner
from clients.leaving import leaving_of
from clients.logcheck import FetchConsistency
from clients.materials import Materials, OwnMaterials
from clients.observing import NOBODY, Observer, TaskEnd
from clients.pacing import paced_s
from clients.pairwise_desk import PairwiseDesk
from clients.private_use import (
    PrivateSum,
    PrivateUse,
    private_sum,
    private_use_of,
)
from clients.receipts import use_receipt
from clients.records import Fork
from clients.refusals import explain, refusal
from clients.room import Room
from clients.rowbook import RowBook
from clients.selection import Selection
from clients.state import Journal, KeptState, NodeState, Use
from clients.statevault import StateVault, UseState
from clients.tasks import Answered, Done, Reply, Task
from clients.usebook import UseBook
from clients.watcher import StateWatcher
from policies.account import metered_seconds, whole_seconds
from policies.fields import instant
from policies.permit import PermitBody
from policies.receipt import Confinement, sign_receipt
from policies.wire import Refusal

__all__ = ["Done", "OwnMaterials", "Reply", "Runner", "StateWatcher", "Task", "Worker"]

BUSY_WAIT_S: Final = 5.0

Clock = Callable[[], datetime]


class Worker:
    """Handles tasks, each in the thread that calls: as many at once as there is room for.

    One more is refused as `node-busy`; so is one whose app may need more memory than becomes free
    within `BUSY_WAIT_S`. Tasks of one run are handled one after another. Each is checked and
    recorded while `log_turn` is held, so that no two look at the same counters.

    Args:
        keys: who the node is and whom it believes.
        receipt_key: signs receipts.
        confinement: what holds the runner's children, as measured.
        state, journal: what the node remembers, and its own log.
        materials, runner: the owner's data and apps; where apps run.
        fetch_consistency: asks governance for a proof.
        clock: aware UTC now.
        keep_detail: gets an app's own words after a failure; they stay with the owner.
        on_fork: told of two heads of the space's log that do not fit together; does not raise.
        log_turn: held while a checkpoint is compared with the last one seen and kept; whoever
            else does that in this process holds it, too.
        devices: an accelerator's files that the owner opens to apps whose permit allows it.
        observer: told of each task.
        room: how many tasks at once, and how much memory for their apps; one without if None.
        prepare: called with the number of tasks in work, before a task is checked; raises what
            keeps the runner from running so many at once.
        states: seals what apps keep between rounds; without it they keep nothing.
        sealing_key: private half of the enrolled key that peers of a pairwise sum seal to; without
            it the node takes part in none.
        environment_of: the packages that an app was approved with; without it, none.
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
        on_fork: Callable[[Fork], None] | None = None,
        log_turn: threading.Lock | None = None,
        devices: tuple[Path, ...] = (),
        observer: Observer = NOBODY,
        room: Room | None = None,
        prepare: Callable[[int], None] | None = None,
        states: StateVault | None = None,
        environment_of: Callable[[str], Environment | None] | None = None,
        sealing_key: X25519PrivateKey | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        self._receipt_key = receipt_key
        self._confinement = confinement
        self._state = state
        self._journal = journal
        self._book = UseBook(state=state, journal=journal, clock=clock)
        self._rows = RowBook(state)
        self._materials = materials
        self._runner = runner
        self._clock = clock
        self._keep_detail = keep_detail if keep_detail is not None else _ignore
        self._on_fork = on_fork if on_fork is not None else _ignore
        self._log_turn = log_turn or threading.Lock()
        self._devices = devices
        self._observer = observer
        self._states = states
        self._environment_of = environment_of if environment_of is not None else _none
        self._test_step = on_step if on_step is not None else _ignore
        self._room = room or Room(memory_bytes=0, alone=True)
        self._prepare = prepare if prepare is not None else _ignore
        self._sums = PairwiseDesk(
            receipt_key=receipt_key,
            # One that was never enrolled fits no permit.
            sealing_key=sealing_key or X25519PrivateKey.generate(),
            permit_key=keys.permit_key,
            allowed=lambda agreement, app: state.require_allowed(agreement=agreement, app=app),
            clock=clock,
        )
        self._admitting = Admitting(keys, state, materials, self._sums, fetch_consistency, clock)
        self._in_hand = InHand()
        self._stopping = threading.Event()

    def handle(self, task: Task) -> Reply:
        """Do what the task asks if it is allowed, else say why not. Raises no `Exception`."""
        if task.step is not None and task.step != "mask":
            return self._sum_step(task)
        in_work = self._room.enter()
        if not in_work:
            text = f"the node works on other tasks, at most {self._room.tasks} at once"
            busy = self._refuse(task, refusal("node-busy", text))
            self._observer.begun(task.flower_run, task.trace)
            self._observer.ended(end_of(busy, None))
            return busy
        hand = Hand()
        self._observer.begun(task.flower_run, task.trace)
        self._room.begin_run(task.flower_run)
        try:
            reply = self._answer(task, hand, in_work)
            self._observer.ended(end_of(reply, hand.use))
            return reply
        finally:
            self._over(hand)
            self._room.end_run(task.flower_run)
            self._room.leave()

    def recheck(self) -> None:
        """End each task whose consent or approval was taken back; cheap, from any thread."""
        for current in self._in_hand.all():
            try:
                self._state.require_allowed(agreement=current.agreement, app=current.app)
            except GateRefused:
                current.cancelled.set()
        self._sums.recheck()

    def stop(self) -> None:
        """End the running tasks and refuse all others from now on."""
        self._stopping.set()
        for current in self._in_hand.all():
            current.cancelled.set()

    def recover(self) -> int:
        """Log the end of uses that were cut off; returns how many.

        Raises:
            LedgerError, StateUnavailable: they stay as they are, for the next call.
        """
        with self._log_turn:
            return self._recover()

    def _recover(self) -> int:
        # No use begins meanwhile; what ends after this look has its outcome by the next.
        return self._book.recover(running={current.permit for current in self._in_hand.all()})

    def _answer(self, task: Task, hand: Hand, in_work: int) -> Reply:
        try:
            if self._stopping.is_set():
                raise refused("node-unavailable", "the node is shutting down")
            self._prepare(in_work)
            task = self._sums.recalled(task)
            admitted, current = self._begun(task, hand)
        except Exception as error:  # noqa: BLE001 a task's edge: whatever it does, the node lives
            if isinstance(error, LogForked):
                self._on_fork(error.fork)
            return self._refuse(task, self._explained(error))
        try:
            done = self._use(admitted, current, task)
            self._sums.sent(task)
            return done
        except Exception as error:  # noqa: BLE001 as above
            self._sums.forget(task)
            admission = admitted.admission
            why = self._explained(error, admission, current)
            self._book.failed(admission.permit.body, why, receipted=current.receipted)
            return why

    def _sum_step(self, task: Task) -> Reply:
        """A step of a pairwise sum in which nothing is used, and nothing counted."""
        try:
            if self._stopping.is_set():
                raise refused("node-unavailable", "the node is shutting down")
            if task.step != "share":
                return Answered(self._sums.answer(task))
            with self._log_turn:
                admitted = self._admitting.check(task)
            return Answered(self._sums.share(task, admitted.admission))
        except Exception as error:  # noqa: BLE001 as in `_answer`
            if isinstance(error, LogForked):
                self._on_fork(error.fork)
            return self._refuse(task, self._explained(error))

    # -- 6: check, record --------------------------------------------------------------------

    def _begun(self, task: Task, hand: Hand) -> tuple[Admitted, UseInHand]:
        with self._log_turn:
            self._recover()
            admitted = self._admit(task)
            memory_bytes = admitted.admission.permit.body.limits.memory_bytes
            if self._room.take(memory_bytes):
                hand.memory_bytes = memory_bytes
                return admitted, self._begin(admitted.admission, hand)
        # Nobody waits for memory with the turn in hand: those who have it need the turn no more,
        # but the witness and other tasks do.
        if not self._room.take(memory_bytes, wait_s=BUSY_WAIT_S):
            raise refused(
                "node-busy",
                f"the permit allows the app {memory_bytes} bytes of memory; of the "
                f"{self._room.memory_bytes} that this node gives to all apps together, not so many "
                + ("became free" if self._room.fits(memory_bytes) else "can become free"),
            )
        hand.memory_bytes = memory_bytes
        with self._log_turn:
            admitted = self._admit(task)  # what held before the wait may hold no more
            return admitted, self._begin(admitted.admission, hand)

    def _admit(self, task: Task) -> Admitted:
        admitted = self._admitting.check(task)
        self._observer.admitted(facts_of(admitted.admission))
        self._step("admitted")
        return admitted

    def _begin(self, admission: Admission, hand: Hand) -> UseInHand:
        body, member = admission.permit.body, admission.member
        current = hand.use = UseInHand(
            permit=body.id,
            agreement=member.agreement,
            app=body.app,
            started=self._clock(),
            end=TaskEnd(uses=admission.uses + 1),
        )
        # Before the transaction: a withdrawal after it must find what it has to end.
        self._in_hand.begin(current)
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
                metered_s=member.metered_s,
            ),
            reserved=body.reserved(member),
            expected_uses=admission.uses,
            expected_losses=admission.losses,
            seen=admission.seen,
        )
        # A crash from here on: the permit is used up, and `recover` logs that nothing left.
        self._step("recorded")
        return current

    # -- 7: use ------------------------------------------------------------------------------

    def _use(self, admitted: Admitted, current: UseInHand, task: Task) -> Done:
        admission = admitted.admission
        body, member = admission.permit.body, admission.member
        self._book.started(admission)
        self._step("started")
        private = self._private(admitted)
        # Asked anew for each use: whoever withdrew since the last round is left out of this one.
        at = self._clock()
        selected = self._materials.select(member.product, purpose=body.purpose, now=at)
        if selected.count > member.max_rows:
            raise refused(
                "product-unreadable",
                f"product {member.product} holds more rows than the {member.max_rows} that were "
                "registered; its owner registers the new version under a new id",
            )
        # A crash from here on: the owner is told of rows that no app may have seen; never fewer.
        self._rows.keep(body, member.product, selected, at=at)
        kept = None
        if self._states is not None and private is None:
            kept = self._states.begin(body, member, selected)
        job = Job(
            app_dir=self._materials.app_folder(body.app),
            kind=body.kind,
            model=task.model,
            rows=selected.rows,
            run_config=task.run_config,
            round=body.round,
            # No longer than is counted, whatever else the permit allows.
            timeout_s=min(body.limits.wall_s, member.metered_s),
            memory_bytes=body.limits.memory_bytes,
            devices=self._opened(body),
            state=None if kept is None else kept.data,
            environment=self._environment_of(body.app),
        )
        current.end = replace(
            current.end,
            rows_training=selected.training if body.kind == "train" else 0,
            rows_evaluation=selected.evaluation,
            rows_without_consent=selected.without_consent,
        )
        selected.commit_ahead()
        self._step("opened")
        ran: JobResult | PrivateSum
        if private is None:
            ran = self._runner.run(job, cancelled=current.cancelled)
        else:
            ran = self._summed(private, job, selected, current)
        self._step("ran")
        return self._release(admitted, current, selected, kept, ran)

    def _private(self, admitted: Admitted) -> PrivateUse | None:
        body, masking = admitted.admission.permit.body, admitted.masking
        if body.privacy is None or masking is None:  # without a secure sum, masking was refused
            return None
        declared = self._materials.declaration(body.app)
        return private_use_of(body, masking.layout, admitted.incoming, declared)

    def _summed(
        self, private: PrivateUse, job: Job, selected: Selection, current: UseInHand
    ) -> PrivateSum:
        failures: list[Exception] = []
        found = private_sum(
            private,
            job,
            selected,
            self._runner,
            draw=os.urandom,
            cancelled=current.cancelled,
            failed=failures.append,
        )
        if failures:
            self._keep_detail(told_failures(failures))
        elapsed_s = (self._clock() - current.started).total_seconds()
        if current.cancelled.wait(paced_s(elapsed_s, job.timeout_s) - elapsed_s):
            raise SandboxCancelled("the use was ended from outside; nothing of it was kept")
        return found

    def _opened(self, body: PermitBody) -> tuple[Path, ...]:
        return self._devices if body.limits.accelerator == "cuda" else ()

    # -- 8: egress ---------------------------------------------------------------------------

    def _release(
        self,
        admitted: Admitted,
        current: UseInHand,
        selected: Selection,
        kept: UseState | None,
        ran: JobResult | PrivateSum,
    ) -> Done:
        admission, body = admitted.admission, admitted.admission.permit.body
        declared = self._materials.declaration(body.app)
        leaves, figures = leaving_of(
            body,
            admitted.masking,
            admitted.incoming,
            ran,
            rows_used=current.end.rows_training,
            rows_held_back=selected.evaluation,
            declared=declared,
        )
        self._state.require_allowed(agreement=current.agreement, app=current.app)
        finished = self._clock()
        reserved_s = admission.member.metered_s
        used_s = whole_seconds(current.started, finished)
        if used_s is not None and used_s > reserved_s:
            text = f"the use took {used_s} s; the permit reserves {reserved_s} s for it"
            raise refused("app-timeout", text)
        # Before the receipt: what cannot be kept fails the use.
        state = None if isinstance(ran, PrivateSum) else self._sealed(kept, ran, finished)
        self._step("checked")
        receipt = use_receipt(
            admission,
            selected,
            leaving=leaves,
            metrics=figures,
            confinement=self._confinement,
            accelerator="cuda" if self._opened(body) else "none",
            started=current.started,
            finished=finished,
            head=self._journal.head(),
        )
        envelope = sign_receipt(receipt, self._receipt_key)
        # A crash up to here: `recover` logs the failure; nothing left.
        told = carried(leaves, body.metrics, declared, figures)
        self._book.receipted(body, receipt, envelope, told)
        current.receipted = True
        # A crash here: the log tells of a use whose reply never came, which counts as used.
        self._step("receipted")
        # The last look: whoever withdraws from now on withdraws after this use.
        used_s = metered_seconds(current.started, finished, reserved_s)
        self._state.finish_use(body.id, "receipted", used_s=used_s, state=state)
        self._step("finished")
        return Done(receipt=envelope, update=leaves.data)

    def _step(self, name: str) -> None:
        self._observer.step(name)
        self._test_step(name)

    def _sealed(
        self, kept: UseState | None, result: JobResult, finished: datetime
    ) -> KeptState | None:
        if self._states is None or kept is None:
            return None
        return self._states.seal(kept, result.state, now=finished)

    # -- when it does not work out -----------------------------------------------------------

    def _refuse(self, task: Task, why: Refusal) -> Refusal:
        self._book.refused(task, why)
        return why

    def _explained(
        self,
        error: Exception,
        admission: Admission | None = None,
        current: UseInHand | None = None,
    ) -> Refusal:
        if isinstance(error, SandboxCancelled) and current is not None:
            return self._why_cancelled(current)
        if isinstance(error, AppFailed | EgressRefused) and error.detail:
            self._keep_detail(error.detail)
        if admission is None:
            return explain(error)
        return explain(error, product=admission.member.product, app=admission.permit.body.app)

    def _why_cancelled(self, current: UseInHand) -> Refusal:
        try:
            self._state.require_allowed(agreement=current.agreement, app=current.app)
        except GateRefused as error:
            return error.refusal
        return refusal("node-unavailable", "the task was ended on the node, by its owner")

    def _over(self, hand: Hand) -> None:
        if hand.use is not None:
            self._in_hand.over(hand.use)
        self._room.give_back(hand.memory_bytes)


def _ignore(_told: object) -> None:
    pass


def _none(_app: str) -> None:
    pass
