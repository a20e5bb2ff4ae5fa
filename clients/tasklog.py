"""A line in the program's log for each task, and the task's ids on all lines written during it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from clients.observing import TaskEnd, TaskFacts

LOGGER = logging.getLogger(__name__)

Fields = Mapping[str, str | int | float]
_NONE: Final[Fields] = MappingProxyType({})
_FIELDS: ContextVar[Fields] = ContextVar("task", default=_NONE)
_BEGUN: ContextVar[float] = ContextVar("begun", default=0.0)


def task_fields() -> Fields:
    """Ids of the task that this thread handles; empty where there is none."""
    return _FIELDS.get()


class TaskLog:
    """An `clients.observing.Observer` that writes to the program's log.

    Args:
        participant: whose node this is; "" leaves it out of the lines.
        clock: seconds that only grow.
    """

    def __init__(
        self, *, participant: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._whose: Fields = {"participant": participant} if participant else {}
        self._clock = clock

    def begun(self, flower_run: str, trace: str = "") -> None:
        """From here on the thread's lines carry Flower's id."""
        _BEGUN.set(self._clock())
        _FIELDS.set({"flower_run": flower_run[:20], **self._whose})

    def admitted(self, facts: TaskFacts) -> None:
        """From here on they carry the permit's."""
        _FIELDS.set(
            {
                "run": facts.run,
                "flower_run": facts.flower_run,
                "round": facts.round,
                "kind": facts.kind,
                "permit": facts.permit,
                "product": facts.product,
                "agreement": facts.agreement,
                "app": facts.app,
                **self._whose,
            }
        )

    def step(self, name: str) -> None:
        """Told at the level of debugging only."""
        LOGGER.debug("step %s", name)

    def ended(self, end: TaskEnd) -> None:
        """The task's line; later ones of this thread carry its ids no more."""
        took = {"seconds": round(self._clock() - _BEGUN.get(), 4)}
        if end.code:
            LOGGER.info("refused: %s: %s", end.code, end.text, extra={"code": end.code, **took})
        else:
            rows = {
                "rows_training": end.rows_training,
                "rows_evaluation": end.rows_evaluation,
                "rows_without_consent": end.rows_without_consent,
            }
            LOGGER.info("done in %.3f s", took["seconds"], extra={**rows, **took})
        _FIELDS.set(_NONE)
