"""The node's process, wired: sandbox first, then keys, then connections, then the loop."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from flwr.app import Message

from clients.accelerator import cuda_devices
from clients.backoff import Backoff, Presence
from clients.desk import Desk
from clients.fleet import Fleet
from clients.governance import GovernanceClient
from clients.health import HealthAddress
from clients.identity import load_identity
from clients.joining import Joining, flower_id
from clients.messages import Instruction
from clients.node import NodeLoop, Pace
from clients.owner import governance_client
from clients.room import Room, room_of
from clients.rotation import under_way
from clients.running import RunningFile
from clients.sandbox import Sandbox
from clients.slots import Slots
from clients.telemetry import wanted
from clients.vitals import Vitals
from clients.work import StateWatcher
from commands.node_chores import Chores, start_chores
from commands.node_keys import finish_rotation
from commands.node_signals import node_observer, tell_running
from commands.node_wiring import OpenNode, now, open_node
from policies.receipt import Confinement

LOGGER = logging.getLogger(__name__)

_FILES = {
    "own": "own files only",
    "devices": "own files and an accelerator's",
    "host": "files of this host readable",
}
_END_TASKS_S = 20.0
_COLLECTED_S = 2.0
"""How long a reply waits at the SuperLink before its node leaves: for one that is not there it
gives out an error in place of any reply that it still holds (Flower 1.41)."""


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
        start_chores(
            Chores(node=node, governance=governance, clock=now, say=say, stop=stop),
            asking=health is not None or bool(wanted(os.environ)),
        )
        _serve(stack, node, governance, room=room, vitals=vitals, stop=stop, say=say)


def _serve(
    stack: ExitStack,
    node: OpenNode,
    governance: GovernanceClient,
    *,
    room: Room,
    vitals: Vitals,
    stop: threading.Event,
    say: Callable[[str], None],
) -> None:
    """Take tasks of the SuperLink until `stop` is set; waits where it is away."""
    identity = node.identity
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
    stack.callback(_end_tasks, desk)
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


def _end_tasks(desk: Desk[Instruction | Message]) -> None:
    if not desk.close(_END_TASKS_S):
        LOGGER.warning(
            "left with tasks in hand, after %g s: nothing of theirs leaves", _END_TASKS_S
        )
    for problem in desk.problems():
        LOGGER.warning("the SuperLink was not told of a task's end: %s", problem)
    time.sleep(desk.rests_s(_COLLECTED_S))


def _on_change(node: OpenNode, running: RunningFile) -> None:
    """Another process changed the node's database: the owner withdrew, approved, revoked."""
    node.worker.recheck()
    node.journal.drain()
    running.look()


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
