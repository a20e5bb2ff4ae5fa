"""A log's database on a PostgreSQL server.

One connection does everything: it holds an advisory lock, which makes it the log's only writer, and
it writes, so that whoever loses the connection has lost the lock too and cannot write behind the
back of the next writer. The next call connects again, takes the lock again, and goes on only if the
head is the one it left.

The server must keep what it acknowledged: `fsync`, `full_page_writes` and, for this session,
`synchronous_commit` are on, or the log refuses to run. (With standbys, the server's
`synchronous_standby_names` says whether they too have it before an append returns.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from sqlalchemy import Connection, Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from ledger.errors import LedgerError, LogDamaged, LogUnavailable
from ledger.postgres_session import prepare_session, prepare_tables, release_lock, take_lock
from ledger.postgres_url import PostgresUrl, parse_postgres_url
from ledger.store import Batch
from ledger.store_sql import SqlStore

# libpq's, for what the URL leaves out: a server that does not answer is given up within these.
_CONNECT = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "tdspace log",
    "client_encoding": "utf8",  # also against a database of no encoding, which is then refused
}
# SQLSTATE classes of contents that the log did not write; 42501 is a missing privilege.
_DAMAGED = ("22", "23", "42", "XX001", "XX002")
_PRIVILEGE = "42501"


class PostgresStore(SqlStore):
    """One open connection; `open` makes it.

    Args:
        url: where, for messages, and the schema.
        engine: makes one connection at a time.
    """

    def __init__(self, *, url: PostgresUrl, engine: Engine) -> None:
        self._url = url
        self._engine = engine
        self._connection: Connection | None = None
        self._sizes: tuple[int, ...] = ()  # the head may have when connecting again
        self._closed = False

    @classmethod
    def open(cls, url: str) -> Self:
        """Connect, take the writer's lock, and make the tables if they are not there.

        Raises:
            LedgerError: the URL says what it must not (`ledger.postgres_url`), or psycopg is not
                installed.
            LogUnavailable: no connection, another writer, no privilege, or a server that does not
                keep what it acknowledged.
            LogDamaged: the tables are not a log's, or of another version.
        """
        parsed = parse_postgres_url(url, _libpq_defaults())
        engine = create_engine(
            parsed.connect,
            poolclass=NullPool,
            isolation_level="READ COMMITTED",  # the lock on the head's row does the rest
            use_native_hstore=False,
            connect_args={k: v for k, v in _CONNECT.items() if k not in parsed.connect.query},
        )
        store = cls(url=parsed, engine=engine)
        try:
            store.head()
        except BaseException:
            store.close()
            raise
        return store

    def append(self, batch: Batch) -> None:
        """As the port."""
        known = self._sizes[:1]
        self._sizes = (*known, batch.size)  # until it is known which
        super().append(batch)
        self._sizes = (batch.size,)

    def close(self) -> None:
        """As the port."""
        self._closed = True
        if self._connection is not None:
            with suppress(DBAPIError), self._connection.begin():  # the lock ends with a lost one
                release_lock(self._connection)
        self._lose()
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._closed:
            raise LogUnavailable(f"database {self._url.shown}: expected it open, but it was closed")
        try:
            connection = self._connection or self._connect()
            with connection.begin():
                yield connection
        except DBAPIError as error:
            if error.connection_invalidated:
                self._lose()
            raise self._told(error) from error

    def _connect(self) -> Connection:
        """A connection that holds the lock and found the head that this store left."""
        connection = self._engine.connect()
        try:
            with connection.begin():
                prepare_session(connection, self._url)
                take_lock(connection, self._url)
                prepare_tables(connection, self._url)
                head = self._read_head(connection)
            size = -1 if head is None else head.size
            if self._sizes and size not in self._sizes:
                raise self._damaged(
                    f"expected a head of size {' or '.join(map(str, self._sizes))} after the "
                    f"connection was lost, got {size}: somebody else wrote"
                )
        except BaseException:
            connection.close()
            raise
        self._sizes = (size,)
        self._connection = connection
        return connection

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _told(self, error: DBAPIError) -> LedgerError:
        """This package's error for the server's or the driver's."""
        state = getattr(error.orig, "sqlstate", None) or ""
        text = " ".join(str(error.orig).split())
        if state.startswith(_DAMAGED) and state != _PRIVILEGE:
            return self._damaged(text)
        if error.connection_invalidated:
            return LogUnavailable(
                f"database {self._url.shown}: expected the connection to hold, got: {text}; the "
                "next call connects again, and then reads whether the last append is there"
            )
        return LogUnavailable(
            f"database {self._url.shown}: expected to read and write it, got: {text}; "
            f"{_remedy(state)}, then try again"
        )

    def _damaged(self, what: str) -> LogDamaged:
        return LogDamaged(
            f"database {self._url.shown}: {what}; it was written by something else than this log: "
            "keep a dump as evidence and restore the newest backup"
        )


def _remedy(state: str) -> str:
    if state == _PRIVILEGE:
        return "grant this role the schema and its tables (or let it create the schema)"
    if state.startswith("53"):
        return "free the server's disk, memory or connections"
    if state in {"57014", "55P03"}:
        return "end what holds the tables or keeps the server busy"
    if state == "25006":
        return "point the URL at the primary server"
    return "see that the server runs, that the URL is right and that the role may log in"


def _libpq_defaults() -> dict[str, str]:
    """What libpq takes from the environment and the service file."""
    try:
        from psycopg import pq  # noqa: PLC0415 - an extra; only this adapter needs it
    except ImportError as error:
        raise LedgerError(
            "database URL: expected psycopg 3 to reach PostgreSQL with, got none that works "
            f"({error}); install it with: pip install 'tdspace[postgres]'"
        ) from error
    return {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val
    }
