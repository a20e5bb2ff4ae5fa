"""The log's database: entries, idempotency keys and signed checkpoints, in one transaction.

SQLite through SQLAlchemy Core, in WAL mode with `synchronous=FULL`: when `append` has returned, the
transaction is on the disk; when it has raised, the transaction is there whole or not at all, and
only reading tells which. One thread at a time: the log's lock sees to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    StaticPool,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError, OperationalError

from ledger.errors import LogDamaged, LogUnavailable

BUSY_TIMEOUT_MS = 5000
SCHEMA_VERSION = 1
_BATCH = 1000

_METADATA = MetaData()
_ENTRIES = Table(
    "entries",
    _METADATA,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("line", LargeBinary, nullable=False),
)
_KEYS = Table(
    "idempotency",
    _METADATA,
    Column("key", Text, primary_key=True),
    Column("first_index", Integer, nullable=False),
    Column("count", Integer, nullable=False),
)
_CHECKPOINTS = Table(
    "checkpoints",
    _METADATA,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)


# Built once: building a statement costs more than running it.
_LINES_FROM = (
    select(_ENTRIES.c.position, _ENTRIES.c.line)
    .where(_ENTRIES.c.position >= bindparam("start"))
    .order_by(_ENTRIES.c.position)
    .limit(_BATCH)
)
_HISTORY_AFTER = (
    select(_CHECKPOINTS.c.size, _CHECKPOINTS.c.note)
    .where(_CHECKPOINTS.c.size > bindparam("after"))
    .order_by(_CHECKPOINTS.c.size)
    .limit(_BATCH)
)
_NEWEST = (
    select(_CHECKPOINTS.c.size, _CHECKPOINTS.c.note).order_by(_CHECKPOINTS.c.size.desc()).limit(1)
)
_FOUND = select(_KEYS.c.first_index, _KEYS.c.count).where(_KEYS.c.key == bindparam("wanted"))


class Store:
    """One open database; `open` makes it.

    Args:
        path: the database file, for messages.
        engine: on exactly one connection.
    """

    def __init__(self, *, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open the database, or make it with its tables.

        Raises:
            LogUnavailable: it cannot be opened or made (permissions, disk full, locked).
            LogDamaged: the file is no database, or one of another version.
        """
        engine = create_engine(
            f"sqlite:///{path}",
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

    def append(
        self, *, first_index: int, lines: Sequence[bytes], key: str | None, size: int, note: str
    ) -> None:
        """All of it is durable when this returns.

        Raises:
            LogUnavailable: it may be in the database whole or not at all; read to know.
            LogDamaged: a position or size is taken: somebody else wrote.
        """
        rows = [{"position": first_index + n, "line": line} for n, line in enumerate(lines)]
        with self._transaction() as connection:
            if rows:
                connection.execute(insert(_ENTRIES), rows)
            if key is not None:
                row = {"key": key, "first_index": first_index, "count": len(rows)}
                connection.execute(insert(_KEYS), row)
            connection.execute(insert(_CHECKPOINTS), {"size": size, "note": note})

    def lines(self, start: int) -> Iterator[bytes]:
        """The entries from position `start` on, in batches.

        Raises:
            LogDamaged: a position is missing.
        """
        while True:
            with self._transaction() as connection:
                rows = connection.execute(_LINES_FROM, {"start": start}).all()
            for found, line in rows:
                if found != start:
                    raise self._damaged(f"expected entry {start}, got entry {found}")
                yield line
                start += 1
            if len(rows) < _BATCH:
                return

    def history(self, after: int) -> Iterator[tuple[int, str]]:
        """Sizes and notes of the checkpoints larger than `after`, by size, in batches."""
        while True:
            with self._transaction() as connection:
                rows = connection.execute(_HISTORY_AFTER, {"after": after}).all()
            for found, note in rows:
                yield found, note
                after = found
            if len(rows) < _BATCH:
                return

    def newest(self) -> tuple[int, str] | None:
        """Size and note of the newest checkpoint; None in a new database."""
        with self._transaction() as connection:
            row = connection.execute(_NEWEST).first()
        return None if row is None else (row[0], row[1])

    def find(self, key: str) -> tuple[int, int] | None:
        """First index and count of what was appended under an idempotency key."""
        with self._transaction() as connection:
            row = connection.execute(_FOUND, {"wanted": key}).first()
        return None if row is None else (row[0], row[1])

    def close(self) -> None:
        """Let go of the file; nothing is pending."""
        self._engine.dispose()

    def _prepare(self, connection: Connection) -> None:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version == 0:
            _METADATA.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise self._damaged(f"expected version {SCHEMA_VERSION} of its tables, got {version}")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
                raise self._damaged(str(error.orig)) from error  # no such table
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
