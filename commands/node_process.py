"""The node's process, wired: sandbox first, then keys, then connections, then the loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from clients.alarm import ForkAlarm, ReportPort
from clients.backoff import Backoff, Presence
from clients.contracts import OwnerContracts
from clients.errors import ClientError, GovernanceError
from clients.fleet import Fleet
from clients.gate import GateKeys
from clients.governance import OwnerPort
from clients.identity import NodeIdentity, load_identity, open_own_log
from clients.joining import Joining, flower_id
from clients.node import NodeLoop, Pace
from clients.owner import Owner, governance_client
from clients.renewal import Renewal
from clients.rotation import under_way
from clients.sandbox import Sandbox
from clients.state import Journal, NodeState
from clients.witness import NodeWitness, read_witness_policy
from clients.work import OwnMaterials, Runner, StateWatcher, Worker
from commands.node_keys import finish_rotation
from ledger.errors import LedgerError
from policies.errors import PolicyError
from policies.receipt import Confinement

LOGGER = logging.getLogger(__name__)

_TELL_EVERY_S = 5.0


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
) -> OpenNode:
    """Open a node's database and own log and wire them; closed with `stack`.

    Args:
        environment: what confines apps here (`policies.receipt.Confinement.environment`).

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
    worker = Worker(
        keys=GateKeys.of(identity, environment=environment, policy=policy),
        receipt_key=identity.keys.receipt,
        confinement=confinement,
        state=state,
        journal=journal,
        materials=OwnMaterials(identity=identity, state=state),
        runner=runner,
        fetch_consistency=governance.get_consistency,
        clock=now,
        on_fork=alarm.raised,
        log_turn=log_turn,
        keep_detail=lambda text: LOGGER.warning("the app failed; its own words:\n%s", text),
    )
    owner = Owner(identity=identity, state=state, governance=governance, clock=now)
    return OpenNode(identity, state, journal, worker, owner, alarm, log_turn)


def run_node(folder: Path, *, say: Callable[[str], None]) -> None:
    """Run a node until SIGTERM or Ctrl-C.

    Raises:
        ClientError, LedgerError: what keeps the node from starting, for its owner to read.
    """
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with ExitStack() as stack:
        # Before any key is read: what the zygote never had, its children cannot have.
        sandbox = stack.enter_context(Sandbox.start())
        identity = load_identity(folder)
        identity.check_certificate(now())
        if under_way(identity.paths):
            finish_rotation(folder, say)
            identity = load_identity(folder)
        governance = stack.enter_context(governance_client(identity))
        node = open_node(
            stack,
            identity,
            runner=sandbox,
            confinement=sandbox.confinement,
            governance=governance,
            environment=sandbox.confinement.environment(files=sandbox.files_confined),
        )
        contracts = OwnerContracts(
            identity=identity, state=node.state, governance=governance, clock=now
        )
        say(f"node {identity.participant} of space {identity.config.space.name}")
        say(f"apps are confined: {_describe(sandbox)}")
        node.worker.recover()
        stop = threading.Event()
        stack.callback(node.worker.stop)
        stack.callback(stop.set)
        stack.enter_context(StateWatcher(identity.paths.state, lambda: _on_change(node)))
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
        fleet = Fleet(
            address=identity.config.space.superlink,
            ca_pem=identity.ca_pem,
            key=identity.keys.fleet,
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
        if not joining.join():
            return
        say(f"connected to the SuperLink {identity.config.space.superlink}")
        NodeLoop(
            fleet=fleet,
            handle=node.worker.handle,
            stop=stop,
            pace=Pace(active_s=identity.config.poll_ms / 1000),
            presence=presence,
            backoff=backoff,
            join=joining.join,
        ).run()


def _on_change(node: OpenNode) -> None:
    """Another process changed the node's database: the owner withdrew, approved, revoked."""
    node.worker.recheck()
    node.journal.drain()


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


def _describe(sandbox: Sandbox) -> str:
    held = sandbox.confinement
    network = "no network" if held.network == "none" else "NETWORK OF THIS HOST"
    user = "user nobody" if held.user == "nobody" else "this user"
    files = "own files only" if sandbox.files_confined else "files of this host readable"
    memory = "memory limit" if held.memory_limit else "no memory limit"
    privileges = "no new privileges" if held.no_new_privileges else "privileges not bounded"
    return ", ".join((network, user, files, memory, privileges))
