"""A node's parts, opened from its folder and wired to each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from clients.alarm import ForkAlarm, ReportPort
from clients.failures import Failures
from clients.gate import GateKeys
from clients.governance import OwnerPort
from clients.identity import NodeIdentity, open_own_log
from clients.observing import NOBODY, Observer
from clients.owner import Owner
from clients.room import Room
from clients.state import Journal, NodeState
from clients.statevault import StateVault, state_key
from clients.witness import read_witness_policy
from clients.work import OwnMaterials, Runner, Worker
from policies.receipt import Confinement


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
        sealing_key=identity.keys.disclosure,
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
