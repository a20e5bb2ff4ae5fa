"""A bound on questions about policies that take long to answer.

Whoever publishes policies can write ones that take a second or two to think about
(`policies.algebra_search.MAX_WORK`), and governance decides rounds in the same process: so only a
few such questions are thought about at a time, whoever asks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from server.errors import TooMany

AT_ONCE: Final = 2
PATIENCE_S: Final = 5.0


class Pondering:
    """Who thinks now. Safe to share between threads.

    Args:
        at_once: questions at a time.
        patience_s: how long one waits for its turn.
    """

    def __init__(self, *, at_once: int = AT_ONCE, patience_s: float = PATIENCE_S) -> None:
        self._turns = threading.BoundedSemaphore(at_once)
        self._patience_s = patience_s

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One's turn.

        Raises:
            TooMany: others thought all the while.
        """
        if not self._turns.acquire(timeout=self._patience_s):
            raise TooMany("policies: expected fewer questions at a time; try again in a moment")
        try:
            yield
        finally:
            self._turns.release()
