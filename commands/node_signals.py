"""What a node's process tells of itself, wired: log, telemetry, health, a record in its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime

from clients.budgets import budget_of
from clients.errors import StateUnavailable
from clients.health import HealthAddress, health_server
from clients.identity import NodeIdentity
from clients.observing import Observer, Observers
from clients.room import Room
from clients.running import RunningFile, RunningRecord, held_up
from clients.state import NodeState
from clients.tasklog import TaskLog
from clients.telemetry import Figures, telemetry
from clients.vitals import Vitals
from policies.fields import instant
from policies.receipt import Confinement


@contextmanager
def node_observer(identity: NodeIdentity, vitals: Vitals) -> Iterator[Observer]:
    """Whom the worker tells of tasks: the program's log, the vitals, telemetry if it is wanted.

    Raises:
        ClientError: telemetry is wanted, and cannot be sent.
    """
    figures = Figures(uses_left=lambda: _uses_left(identity), readiness=vitals.readiness)
    sent = telemetry(
        os.environ,
        participant=identity.participant,
        space=identity.config.space.name,
        figures=figures,
    )
    with sent as observer:
        yield Observers([vitals, observer, TaskLog(participant=identity.participant)])


def tell_running(
    stack: ExitStack,
    identity: NodeIdentity,
    state: NodeState,
    *,
    held: Confinement,
    confinement: str,
    room: Room,
    vitals: Vitals,
    health: HealthAddress | None,
) -> RunningFile:
    """Open what says that this process is up, until `stack` is closed.

    Args:
        held: of apps, as measured; `confinement` says it to people.

    Raises:
        HealthUnavailable, FileRefused, StateUnavailable
    """
    told = ""
    if health is not None:
        told = stack.enter_context(health_server(health, vitals.readiness))
    stack.enter_context(held_up(identity.paths.running_lock))
    record = RunningRecord(
        version=1,
        pid=os.getpid(),
        started=instant(_now()),
        environment=held.level,
        confinement=confinement,
        tasks=room.tasks,
        memory_bytes=room.memory_bytes,
        health=told,
        seen_size=0,
        seen=None,
    )
    return RunningFile(identity.paths.running, record, state=state, clock=_now)


def _uses_left(identity: NodeIdentity) -> Mapping[str, int]:
    """By agreement whose consent stands and that limits its uses."""
    try:
        with closing(NodeState.open(identity.paths.state)) as state:
            records = [record for record in state.agreements() if record.withdrawn is None]
    except StateUnavailable:
        return {}
    budgets = [budget_of(record) for record in records]
    return {one.agreement: one.uses_left for one in budgets if one.uses_left is not None}


def _now() -> datetime:
    return datetime.now(UTC)
