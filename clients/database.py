"""The node's SQLite file: how it is opened, and what a transaction promises.

One file (WAL, synchronous FULL), so that what a call recorded is on the disk when it returns. Node
and owner's command line open it side by side: each change is one transaction that takes the write
lock before it reads. That another process committed something shows in `PRAGMA data_version`, which
the running node watches (clients.watcher).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, Row, Select, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from clients.errors import ClientError, StateUnavailable
from clients.migration import bring_up

BUSY_TIMEOUT_MS: Final = 5000


class Database:
    """The file and its transactions. Safe to share between threads.

    Every method, here and in what builds on it, raises StateUnavailable when the file cannot be
    read or written.
    """

    def __init__(self, *, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database, made (mode 0600) if absent, brought up if an older program wrote it.

        Raises:
            StateUnavailable: locked, unreadable, or written by a newer program.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StateUnavailable(f"{path}: cannot be opened: {error.strerror}") from error
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        opened = cls(path=path, engine=engine)
        try:
            with opened._transaction() as connection:
                bring_up(connection, path)
        except ClientError:
            engine.dispose()
            raise
        return opened

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def close(self) -> None:
        """Let go of the file; nothing is pending."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, reading: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.execution_options(reading=reading).begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StateUnavailable(
                f"{self._path}: expected to read and write it, got: {error.orig}; "
                "free the disk or the lock, then try again"
            ) from error

    def _one(self, query: Select[Any]) -> Row[Any] | None:
        rows = self._all(query)
        return rows[0] if rows else None

    def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._transaction(reading=True) as connection:
            return connection.execute(query).all()


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # sqlite3 would begin transactions by itself, and late; SQLAlchemy's recipe takes that over.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A reader sees one moment and waits for nobody; a writer takes the lock before it reads.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
