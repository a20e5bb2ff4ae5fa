"""The tasks that a node has in hand: what each took, and what of it is told to observers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import datetime

from clients.gate import Admission
from clients.observing import TaskEnd, TaskFacts
from clients.tasks import Reply
from policies.wire import Refusal


@dataclass(slots=True)
class UseInHand:
    """A use that began; other threads only set `cancelled`.

    Attributes:
        receipted: the own log has its receipt.
        end: what is known of how it ended.
    """

    permit: str
    agreement: str
    app: str
    started: datetime
    cancelled: threading.Event = field(default_factory=threading.Event)
    receipted: bool = False
    end: TaskEnd = field(default_factory=TaskEnd)


@dataclass(slots=True)
class Hand:
    """What a task took and has to give back: memory for its app, and its use once that began."""

    memory_bytes: int = 0
    use: UseInHand | None = None


class InHand:
    """The uses that began and are not over. Safe to share between threads."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._uses: dict[str, UseInHand] = {}

    def begin(self, use: UseInHand) -> None:
        """From here on `all` tells it."""
        with self._looking:
            self._uses[use.permit] = use

    def over(self, use: UseInHand) -> None:
        """It ended, however that was."""
        with self._looking:
            self._uses.pop(use.permit, None)

    def all(self) -> list[UseInHand]:
        """Those of this moment."""
        with self._looking:
            return list(self._uses.values())


def facts_of(admission: Admission) -> TaskFacts:
    """What of a task's permit is told."""
    body, member = admission.permit.body, admission.member
    return TaskFacts(
        run=body.run,
        flower_run=body.flower_run,
        round=body.round,
        kind=body.kind,
        permit=body.id,
        product=member.product,
        agreement=member.agreement,
        app=body.app,
    )


def end_of(reply: Reply, use: UseInHand | None) -> TaskEnd:
    """What of a task's end is told."""
    end = TaskEnd() if use is None else use.end
    return replace(end, code=reply.code, text=reply.text) if isinstance(reply, Refusal) else end
