"""The node's main loop: take a message, let the worker handle it, send what it answers.

Nothing that comes in ends the loop: a message that is no instruction is refused, an unreachable
SuperLink is waited for, and only a stop or a key that the SuperLink does not know ends it.

How often to look: right after a reply the next round is near, so the node looks often; without work
it looks ever more rarely, up to `idle_s`, since every look costs the SuperLink a few milliseconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from flwr.app import Message

from clients.fleet import FleetUnavailable, Instruction, RunInfo
from clients.work import Done, Task
from policies.canonical import sha256_hex
from policies.wire import Refusal

LOGGER = logging.getLogger(__name__)

_ACTIVE_LOOKS: Final = 400
_GROWTH: Final = 1.3
_MAX_RETRY_S: Final = 10.0


class FleetPort(Protocol):
    """What the loop needs of `clients.fleet.Fleet`."""

    def poll(self) -> Instruction | Message | None:
        """The next message, or None."""
        ...

    def run_info(self, flower_run: str) -> RunInfo:
        """The run's app bundle and config."""
        ...

    def reply(self, instruction: Instruction, *, receipt: bytes, update: bytes) -> None:
        """Send receipt and update."""
        ...

    def refuse(self, message: Message, refusal: Refusal) -> None:
        """Send a refusal."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks.

    Attributes:
        active_s: while a run goes on.
        idle_s: at most, when nothing has come for a while.
    """

    active_s: float = 0.05
    idle_s: float = 1.0


@dataclass(frozen=True, slots=True)
class NodeLoop:
    """One node at work.

    Args:
        fleet: the connection to the SuperLink, entered already.
        handle: `clients.work.Worker.handle`; must not raise.
        stop: set to leave the loop after the message in hand.
    """

    fleet: FleetPort
    handle: Callable[[Task], Done | Refusal]
    stop: threading.Event
    pace: Pace

    def run(self) -> None:
        """Work until stopped.

        Raises:
            FleetRejected: the SuperLink does not know this node's key (any more).
        """
        quiet, retry_s = _ACTIVE_LOOKS, self.pace.active_s
        while not self.stop.is_set():
            try:
                worked = self.step()
            except FleetUnavailable as problem:
                LOGGER.warning("%s; trying again in %.1f s", problem, retry_s)
                self.stop.wait(retry_s)
                retry_s = min(retry_s * 2, _MAX_RETRY_S)
                continue
            retry_s = self.pace.active_s
            quiet = 0 if worked else quiet + 1
            self.stop.wait(self._pause(quiet))

    def step(self) -> bool:
        """Look once and handle what came; True when there was a message."""
        message = self.fleet.poll()
        if message is None:
            return False
        if isinstance(message, Message):
            LOGGER.warning(
                "refused a %s message that is no instruction of a governed run",
                message.metadata.message_type,
            )
            self.fleet.refuse(
                message,
                Refusal(
                    code="permit-malformed",
                    text="expected train or evaluate with a permit and a model, got a "
                    f"{message.metadata.message_type[:60]} message of another form; this node "
                    "runs nothing without a permit",
                ),
            )
            return True
        answer = self.handle(self._task(message))
        if isinstance(answer, Refusal):
            LOGGER.info("refused: %s: %s", answer.code, answer.text)
            self.fleet.refuse(message.message, answer)
        else:
            self.fleet.reply(message, receipt=answer.receipt, update=answer.update)
        return True

    def _task(self, instruction: Instruction) -> Task:
        info = self.fleet.run_info(instruction.flower_run)
        return Task(
            flower_run=instruction.flower_run,
            fab_sha256=sha256_hex(info.fab),
            run_config=info.config,
            permit=instruction.permit,
            model=instruction.model,
        )

    def _pause(self, quiet: int) -> float:
        if quiet < _ACTIVE_LOOKS:
            return self.pace.active_s if quiet else 0.0
        pause = self.pace.active_s * _GROWTH ** min(quiet - _ACTIVE_LOOKS, 60)
        return min(pause, self.pace.idle_s)
