"""Drops what apps kept in runs that are over, as governance says, or that nobody goes on with.

A run that ended may be resumed by its consumer unless it is completed; its app then begins without
state. Governance is not trusted with more than this: its word can end a state, never make one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from clients.errors import ClientError, GovernanceError, GovernanceRefused
from clients.keptstates import KeptStates
from policies.fields import instant

LOGGER = logging.getLogger(__name__)

EVERY_S: Final = 60.0
IDLE: Final = timedelta(days=30)
"""After which a state is dropped, whatever governance says or does not say."""

ENDED: Final = frozenset({"COMPLETED", "FAILED", "STOPPED"})


class RunsPort(Protocol):
    """What is asked of governance; `GovernanceClient` is one, tests have another."""

    def run_state(self, run: str) -> str:
        """OPEN, RUNNING, COMPLETED, FAILED or STOPPED.

        Raises:
            GovernanceRefused: this node may not see such a run.
            GovernanceUnavailable
        """


def forget_ended(states: KeptStates, runs: RunsPort, *, now: datetime) -> int:
    """Drop what was kept in runs that are over; returns how many states.

    Raises:
        GovernanceUnavailable: the runs that are left are asked for the next time.
        StateUnavailable
    """
    newest: dict[str, str] = {}
    for kept in states.app_states():
        newest[kept.run] = max(kept.kept, newest.get(kept.run, ""))
    dropped = 0
    for run, time in newest.items():
        if time < instant(now - IDLE) or _ended(runs, run):
            dropped += states.forget_app_states(run)
    return dropped


def keep_forgetting(
    states: KeptStates,
    runs: RunsPort,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
    every_s: float = EVERY_S,
) -> None:
    """`forget_ended` now and then until `stop` is set; problems are logged and tried again."""
    while not stop.is_set():
        try:
            forget_ended(states, runs, now=clock())
        except GovernanceError as problem:
            LOGGER.info("governance cannot be asked for runs at present: %s", problem)
        except ClientError as problem:
            LOGGER.warning("what apps kept could not be dropped: %s", problem)
        stop.wait(every_s)


def _ended(runs: RunsPort, run: str) -> bool:
    try:
        return runs.run_state(run) in ENDED
    except GovernanceRefused as no:
        LOGGER.info("governance does not tell of run %s: %s", run, no)
        return False
