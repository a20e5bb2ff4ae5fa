"""The node's main loop: take a message, let the worker handle it, send what it answers.

Nothing that comes in ends the loop: a message that is no instruction is refused, an unreachable
SuperLink is waited for, one that forgot this node is entered again, and only a stop, or not being
let in any more for good, ends it.

How often to look: every look costs the SuperLink a few milliseconds, and all nodes share one. So
the node learns how long after its reply the next message comes, sleeps through half of that time,
and then looks often; without work it looks ever more rarely. While a task is in work and there is
room for another, it looks four times a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from flwr.app import Message

from clients.backoff import Backoff, Presence
from clients.desk import Desk
from clients.fleet import RunInfo
from clients.fleet_errors import FleetRejected, FleetUnavailable
from clients.messages import Instruction
from clients.tasks import Answered, Reply, Task
from policies.canonical import sha256_hex
from policies.wire import Refusal

LOGGER = logging.getLogger(__name__)

_SLEEP_THROUGH: Final = 0.5  # more feeds back: who looks late learns to look later
_FINENESS: Final = 0.06
_LEARNING: Final = 0.4
_GROWTH: Final = 1.02
_SOON: Final = frozenset({"share", "agree"})  # a step that comes as soon as all answered this one
_BESIDE_S: Final = 0.25  # how often to look for another run's message while one is in work


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

    def answer(self, instruction: Instruction, answer: bytes) -> None:
        """Send what answers a step in which nothing is used."""
        ...

    def refuse(self, message: Message, refusal: Refusal) -> None:
        """Send a refusal."""
        ...


class Pace:
    """When to look next, learnt from when messages came. Times are seconds.

    Args:
        active_s: the shortest pause between two looks.
        idle_s: the longest.
    """

    def __init__(self, *, active_s: float = 0.03, idle_s: float = 1.0) -> None:
        self._active_s = active_s
        self._idle_s = idle_s
        self._gap_s: float | None = None
        self._pause_s = active_s
        self._soon = False

    def expect_soon(self) -> None:
        """The next message is due at once, whatever was learnt, and teaches nothing."""
        self._soon = True

    def found(self, waited_s: float) -> None:
        """A message came `waited_s` after the reply before it (or after the start)."""
        if self._soon:
            self._soon = False
            return
        # A long wait tells that nothing ran, not how far apart the rounds of a run are.
        gap_s = min(waited_s, self._idle_s)
        known = self._gap_s if self._gap_s is not None else gap_s
        self._gap_s = known + _LEARNING * (gap_s - known)

    def after_reply(self) -> float:
        """How long to sleep before the first look after a reply."""
        if self._soon:
            self._pause_s = self._active_s
            return 0.0
        gap = self._gap_s if self._gap_s is not None else 0.0
        self._pause_s = min(max(_FINENESS * gap, self._active_s), self._idle_s)
        return min(_SLEEP_THROUGH * gap, self._idle_s)

    def after_nothing(self) -> float:
        """How long to sleep after a look in vain."""
        self._pause_s = min(self._pause_s * _GROWTH, self._idle_s)
        return self._pause_s


@dataclass(frozen=True, slots=True)
class NodeLoop:
    """One node at work.

    Args:
        fleet: the connection to the SuperLink, entered already.
        handle: `clients.work.Worker.handle`; must not raise.
        stop: set to leave the loop after the message in hand.
        desk: what answers messages, several at once; by `answer`, one at a time, if None.
        presence: told when the SuperLink is lost and when it is back.
        backoff: pauses while it is away.
        join: get in again where the SuperLink does not know this node any more, False when stopped;
            raises FleetRejected where waiting does not help (`clients.joining.Joining.join`).
    """

    fleet: FleetPort
    handle: Callable[[Task], Reply]
    stop: threading.Event
    pace: Pace
    presence: Presence
    backoff: Backoff
    join: Callable[[], bool]
    desk: Desk[Instruction | Message] | None = None
    clock: Callable[[], float] = time.monotonic

    def run(self) -> None:
        """Work until stopped.

        Raises:
            FleetRejected: the SuperLink does not let this node in again, for good.
        """
        desk = self.desk or Desk(self.answer)
        replied = self.clock()
        while not self.stop.is_set():
            try:
                desk.check()
                message = None
                if desk.free:  # else what comes waits at the SuperLink
                    message = self.fleet.poll()
                    self.presence.back()
                if message is not None:
                    self.pace.found(self.clock() - replied)
                    desk.give(message)
            except FleetUnavailable as problem:
                self.presence.lost(str(problem))
                self.stop.wait(self.backoff.next())
                continue
            except FleetRejected as problem:
                self.presence.lost(f"it has to let this node in again: {problem}")
                self.join()
                continue
            self.backoff.reset()
            if desk.answered():
                replied = self.clock()
                self.stop.wait(self.pace.after_reply())
            elif desk.busy:
                desk.wait(_BESIDE_S)
            else:
                self.stop.wait(self.pace.after_nothing())

    def answer(self, message: Instruction | Message) -> None:
        """Handle a message and send what comes of it; FleetUnavailable if that cannot be sent."""
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
            return
        answer = self.handle(self._task(message))
        if isinstance(answer, Refusal):
            self.fleet.refuse(message.message, answer)
        elif isinstance(answer, Answered):
            self.fleet.answer(message, answer.data)
            if message.step in _SOON:
                self.pace.expect_soon()
        else:
            self.fleet.reply(message, receipt=answer.receipt, update=answer.update)

    def _task(self, instruction: Instruction) -> Task:
        info = self.fleet.run_info(instruction.flower_run)
        return Task(
            flower_run=instruction.flower_run,
            fab_sha256=sha256_hex(info.fab),
            run_config=info.config,
            permit=instruction.permit,
            model=instruction.model,
            step=instruction.step,
            told=instruction.told,
            trace=instruction.trace,
        )
