"""A log's database in one SQLite file.

Through SQLAlchemy Core, in WAL mode with `synchronous=FULL`: when a transaction has returned, it is
on the disk. One connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from ledger.errors import LogDamaged, LogUnavailable
from ledger.store import SCHEMA_VERSION
from ledger.store_sql import METADATA, SqlStore

BUSY_TIMEOUT_MS = 5000


class SqliteStore(SqlStore):
    """One open file; `open` makes it.

    Args:
        path: the database file, for messages.
        engine: on exactly one connection.
    """

    def __init__(self, *, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database, or make it with its tables.

        Raises:
            LogUnavailable: it cannot be opened or made (permissions, disk full, locked).
            LogDamaged: the file is no database, or one of another version.
        """
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=StaticPool,
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        store = cls(path=path, engine=engine)
        try:
            with store._transaction() as connection:
                store._prepare(connection)
        except BaseException:
            engine.dispose()
            raise
        return store

    def close(self) -> None:
        """As the port."""
        self._engine.dispose()

    def _prepare(self, connection: Connection) -> None:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version == 0:
            METADATA.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise LogDamaged(
                f"database {self._path}: expected version {SCHEMA_VERSION} of its tables, got "
                f"{version}: it belongs to another release of this software. Go on with that "
                "release; or end that log, keep its folder and this file, and begin a log under a "
                "new name with a database of its own"
            )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            # No such table; or no code at all: sqlite3's own, of text that is not UTF-8.
            code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code == sqlite3.SQLITE_ERROR:
                raise self._damaged(str(error.orig)) from error
            # Full, locked, read-only, an I/O error.
            raise LogUnavailable(
                f"database {self._path}: expected to read and write it, got: {error.orig}; "
                "free the disk or the lock, then try again"
            ) from error
        except DBAPIError as error:  # malformed, no database, a row that is already there
            raise self._damaged(str(error.orig)) from error

    def _damaged(self, what: str) -> LogDamaged:
        return LogDamaged(
            f"database {self._path}: {what}; it was written by something else than this log: "
            "keep the file as evidence and put the newest backup in its place"
        )


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # sqlite3 would begin transactions by itself, and late; SQLAlchemy's recipe takes that over.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
