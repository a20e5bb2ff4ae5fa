"""Looks for runs that nobody carries any more, so that nobody waits for them."""

from __future__ import annotations

import logging
import threading
from typing import Final

from server.errors import SuperLinkUnavailable, Unavailable
from server.runs import Runs

PERIOD_S: Final = 10.0
_CLOSE_S: Final = 5.0
_LOGGER = logging.getLogger(__name__)


class RunWatch:
    """Asks the SuperLink every `period_s` seconds, in a thread of its own, until it is closed."""

    def __init__(self, runs: Runs, *, period_s: float = PERIOD_S) -> None:
        self._runs = runs
        self._period_s = period_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runwatch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; waits a little for a look under way, since a SuperLink that is ending
        may not answer. Safe to call again."""
        self._closed.set()
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while not self._closed.wait(self._period_s):
            try:
                for run in self._runs.end_cut_off():
                    _LOGGER.warning("%s: ended, its ServerApp is gone", run)
            except (SuperLinkUnavailable, Unavailable) as problem:
                _LOGGER.info("whether every run is carried is not known: %s", problem)
