"""How a running node notices that another process, its owner's, changed the node's database."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from clients.errors import ClientError
from ledger.errors import LedgerError

LOGGER = logging.getLogger(__name__)

WATCH_INTERVAL_S: Final = 0.1


class StateWatcher:
    """Calls `on_change` soon after any other connection committed to the node's database.

    SQLite counts commits of others in `PRAGMA data_version`. Asking costs microseconds, needs
    nothing from whoever commits, and no message can be lost. Use as a context manager.

    Args:
        on_change: called once at the start, then after changes; called again if it fails.
    """

    def __init__(
        self, path: Path, on_change: Callable[[], None], *, interval_s: float = WATCH_INTERVAL_S
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="state-watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                    self._follow(connection)
            except sqlite3.Error as error:
                LOGGER.error("%s cannot be watched: %s", self._path, error)
                self._stop.wait(self._interval_s)

    def _follow(self, connection: sqlite3.Connection) -> None:
        seen = None
        while not self._stop.is_set():
            version = connection.execute("PRAGMA data_version").fetchone()
            if version != seen:
                try:
                    self._on_change()
                    seen = version
                except (ClientError, LedgerError) as error:
                    LOGGER.error("a change of %s was not taken up: %s", self._path, error)
            self._stop.wait(self._interval_s)
