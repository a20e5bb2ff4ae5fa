"""The node's process, wired: sandbox first, then keys, then connections, then the loop."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from flwr.app import Message

from clients.accelerator import cuda_devices
from clients.alarm import ForkAlarm, ReportPort
from clients.backoff import Backoff, Presence
from clients.contracts import OwnerContracts
from clients.desk import Desk
from clients.endedruns import keep_forgetting
from clients.errors import ClientError, GovernanceError
from clients.failures import Failures
from clients.fleet import Fleet
from clients.gate import GateKeys
from clients.governance import GovernanceClient, OwnerPort
from clients.health import HealthAddress
from clients.identity import NodeIdentity, load_identity, open_own_log
from clients.joining import Joining, flower_id
from clients.messages import Instruction
from clients.node import NodeLoop, Pace
from clients.observing import NOBODY, Observer
from clients.owner import Owner, governance_client
from clients.renewal import Renewal
from clients.room import Room, room_of
from clients.rotation import under_way
from clients.running import RunningFile
from clients.sandbox import Sandbox
from clients.slots import Slots
from clients.state import Journal, NodeState
from clients.statevault import StateVault, state_key
from clients.telemetry import wanted
from clients.vitals import Vitals
from clients.witness import NodeWitness, read_witness_policy
from clients.work import OwnMaterials, Runner, StateWatcher, Worker
from commands.node_keys import finish_rotation
from commands.node_signals import node_observer, tell_running
from ledger.errors import LedgerError
from policies.errors import PolicyError
from policies.receipt import Confinement

LOGGER = logging.getLogger(__name__)

_FILES = {
    "own": "own files only",
    "devices": "own files and an accelerator's",
    "host": "files of this host readable",
}
_TELL_EVERY_S = 5.0
_ASK_EVERY_S = 10.0
_END_TASKS_S = 5.0


def now() -> datetime:
    """The clock of every process of ours."""
    return datetime.now(UTC)


class NodeGovernance(OwnerPort, ReportPort, Protocol):
    """What a node asks of governance."""

    def get_consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """A consistency proof of the space's log."""
        ...


@dataclass(frozen=True, slots=True)
class OpenNode:
    """A node's parts, wired; used by the node's process and by simulations."""

    identity: NodeIdentity
    state: NodeState
    journal: Journal
    worker: Worker
    owner: Owner
    alarm: ForkAlarm
    log_turn: threading.Lock


def open_node(
    stack: ExitStack,
    identity: NodeIdentity,
    *,
    runner: Runner,
    confinement: Confinement,
    governance: NodeGovernance,
    environment: str = "",
    devices: tuple[Path, ...] = (),
    observer: Observer = NOBODY,
    room: Room | None = None,
    prepare: Callable[[int], None] | None = None,
) -> OpenNode:
    """Open a node's database and own log and wire them; closed with `stack`.

    Args:
        environment: what confines apps here (`policies.receipt.Confinement.level`).
        devices: an accelerator's files that its owner opens to apps.
        observer: told of each task.
        room, prepare: as `clients.work.Worker` takes them.

    Raises:
        LedgerError: the own log is damaged, or another process of this node holds it.
        IdentityError, FileRefused: the witness policy, or evidence kept before.
        StateUnavailable: the database cannot be used.
    """
    state = NodeState.open(identity.paths.state)
    stack.callback(state.close)
    log = open_own_log(identity)
    stack.callback(log.close)
    journal = Journal(log=log, state=state, verifier=identity.log_signer.verifier)
    alarm = ForkAlarm(
        folder=identity.paths.evidence,
        journal=journal,
        space_log=identity.space_log,
        governance=governance,
        clock=now,
    )
    alarm.settle()
    policy = read_witness_policy(identity.paths, identity.space_log)
    log_turn = threading.Lock()
    materials = OwnMaterials(identity=identity, state=state)
    worker = Worker(
        keys=GateKeys.of(identity, environment=environment, policy=policy),
        receipt_key=identity.keys.receipt,
        confinement=confinement,
        state=state,
        journal=journal,
        materials=materials,
        environment_of=materials.app_environment,
        runner=runner,
        fetch_consistency=governance.get_consistency,
        clock=now,
        on_fork=alarm.raised,
        log_turn=log_turn,
        devices=devices,
        states=StateVault(
            key=state_key(identity.paths.key("state.key")),
            participant=identity.participant,
            states=state,
        ),
        keep_detail=Failures(folder=identity.paths.failures, clock=now).keep,
        observer=observer,
        room=room,
        prepare=prepare,
    )
    owner = Owner(identity=identity, state=state, governance=governance, clock=now)
    return OpenNode(identity, state, journal, worker, owner, alarm, log_turn)


def run_node(
    folder: Path,
    *,
    say: Callable[[str], None],
    gpu: bool = False,
    health: HealthAddress | None = None,
    room: Room | None = None,
) -> None:
    """Run a node until SIGTERM or Ctrl-C.

    Args:
        gpu: open this host's NVIDIA devices to apps whose permit allows it.
        health: where to tell of its health; nowhere if None.
        room: how much it does at once; `clients.room.room_of` says what if None.

    Raises:
        ClientError, LedgerError: what keeps the node from starting, for its owner to read.
    """
    room = room or room_of()
    with ExitStack() as stack:
        # Before any key is read: what the zygote never had, its children cannot have.
        sandbox = stack.enter_context(Sandbox.start())
        devices = cuda_devices() if gpu else ()
        held = sandbox.confinement.opened() if devices else sandbox.confinement
        identity = load_identity(folder)
        identity.check_certificate(now())
        if under_way(identity.paths):
            finish_rotation(folder, say)
            identity = load_identity(folder)
        slots = stack.enter_context(Slots(sandbox, start=Sandbox.start, most=room.tasks))
        vitals = Vitals(sandbox_alive=slots.alive, clock=now)
        observer = stack.enter_context(node_observer(identity, vitals))
        governance = stack.enter_context(governance_client(identity, contact=vitals.governance))
        node = open_node(
            stack,
            identity,
            runner=slots,
            confinement=held,
            governance=governance,
            environment=held.level,
            devices=devices,
            observer=observer,
            room=room,
            prepare=slots.prepare,
        )
        contracts = OwnerContracts(
            identity=identity, state=node.state, governance=governance, clock=now
        )
        running = tell_running(
            stack,
            identity,
            node.state,
            held=held,
            confinement=_describe(held),
            room=room,
            vitals=vitals,
            health=health,
        )
        say(f"node {identity.participant} of space {identity.config.space.name}")
        say(f"apps are confined: {_describe(held)}")
        if gpu:
            say(f"accelerator: {describe_devices(devices)}")
        node.worker.recover()
        stop = threading.Event()
        stack.callback(node.worker.stop)
        stack.callback(stop.set)
        stack.enter_context(StateWatcher(identity.paths.state, lambda: _on_change(node, running)))
        threading.Thread(
            target=_keep_telling, args=(node, contracts, stop), name="teller", daemon=True
        ).start()
        renewal = Renewal(identity, governance, say=say, clock=now)
        threading.Thread(target=renewal.run, args=(stop,), name="renewal", daemon=True).start()
        witness = NodeWitness(
            cosigner=identity.cosigner,
            space_log=identity.space_log,
            state=node.state,
            governance=governance,
            on_fork=node.alarm.raised,
            log_turn=node.log_turn,
            clock=now,
            tell=say,
        )
        threading.Thread(target=witness.run, args=(stop,), name="witness", daemon=True).start()
        threading.Thread(
            target=keep_forgetting,
            args=(node.state, governance),
            kwargs={"clock": now, "stop": stop},
            name="forgetting",
            daemon=True,
        ).start()
        if health is not None or wanted(os.environ):
            threading.Thread(
                target=_keep_asking, args=(governance, stop), name="asker", daemon=True
            ).start()
        fleet = Fleet(
            address=identity.config.space.superlink,
            ca_pem=identity.ca_pem,
            key=identity.keys.fleet,
            contact=vitals.superlink,
        )
        presence, backoff = Presence("the SuperLink", say), Backoff()
        joining = Joining(
            door=fleet,
            ask=lambda: flower_id(governance, identity.participant),
            presence=presence,
            backoff=backoff,
            stop=stop,
        )
        stack.callback(fleet.close)

        def answer(message: Instruction | Message) -> None:
            loop.answer(message)

        # At the end: tasks are ended and say so, then the node says goodbye.
        desk = Desk(answer, size=room.tasks)
        stack.callback(desk.close, _END_TASKS_S)
        stack.callback(node.worker.stop)
        if not joining.join():
            return
        say(f"connected to the SuperLink {identity.config.space.superlink}")
        loop = NodeLoop(
            fleet=fleet,
            handle=node.worker.handle,
            stop=stop,
            pace=Pace(active_s=identity.config.poll_ms / 1000),
            presence=presence,
            backoff=backoff,
            join=joining.join,
            desk=desk,
        )
        loop.run()


def _on_change(node: OpenNode, running: RunningFile) -> None:
    """Another process changed the node's database: the owner withdrew, approved, revoked."""
    node.worker.recheck()
    node.journal.drain()
    running.look()


def _keep_asking(governance: GovernanceClient, stop: threading.Event) -> None:
    """Ask governance for its head now and then, to know whether it answers."""
    while True:
        try:
            governance.get_space()
        except GovernanceError as problem:
            LOGGER.debug("governance cannot be asked at present: %s", problem)
        if stop.wait(_ASK_EVERY_S):
            return


def _keep_telling(node: OpenNode, contracts: OwnerContracts, stop: threading.Event) -> None:
    """Tell governance of withdrawals made and forks seen while it was away, and agree to what the
    owner said that the node shall agree to by itself."""
    kept, presence = False, Presence("governance's answer", LOGGER.info)
    while not stop.wait(_TELL_EVERY_S):
        try:
            node.alarm.tell()
            node.owner.tell_governance()
            if not kept:
                contracts.keep_signed()
                kept = True
            contracts.agree_waiting()
            presence.back()
        except GovernanceError as problem:
            presence.lost(str(problem))
        except (ClientError, LedgerError, PolicyError) as problem:
            LOGGER.warning("governance was not told: %s", problem)


def describe_devices(devices: Sequence[Path]) -> str:
    """What an app gets that may use an accelerator."""
    if not devices:
        return "no NVIDIA device and driver found; apps use the processor"
    count = sum(place.name[len("nvidia") :].isdigit() for place in devices)
    return f"{count} NVIDIA device(s), opened to apps whose permit allows cuda"


def _describe(held: Confinement) -> str:
    network = "no network" if held.network == "none" else "NETWORK OF THIS HOST"
    user = "user nobody" if held.user == "nobody" else "this user"
    files = _FILES[held.files]
    memory = "memory limit" if held.memory_limit else "no memory limit"
    privileges = "no new privileges" if held.no_new_privileges else "privileges not bounded"
    scratch = f"scratch folder {held.scratch}"
    return ", ".join((network, user, files, memory, privileges, scratch)) + f": {held.level}"
