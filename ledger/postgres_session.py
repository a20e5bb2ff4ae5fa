"""What a PostgreSQL session must be before a log writes through it.

The functions run in the session's first transaction; a lock they take outlives it.
"""

from __future__ import annotations

import hashlib
import time

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, text

from ledger.errors import LogDamaged, LogUnavailable
from ledger.postgres_url import PostgresUrl
from ledger.store import SCHEMA_VERSION
from ledger.store_sql import METADATA

STATEMENT_TIMEOUT_MS = 30_000
LOCK_WAIT_S = 2.0
"""A server needs a moment to notice that the writer before was killed."""
_OLDEST_SERVER = 14
_VERSION = Table("log_version", MetaData(), Column("version", Integer, nullable=False))

# Of the server; a session cannot change them.
_REQUIRED = {"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8"}
_DURABLE_COMMITS = ("on", "remote_apply")
_SESSION = (
    f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}",
    "SET idle_session_timeout = 0",  # the lock is held for as long as the log is open
    "SET default_transaction_read_only = off",
    # So that the server lets go of the lock of a writer whose machine is gone.
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = text(
    "SELECT a.pid, a.client_addr::text, a.application_name, a.backend_start::text"
    " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (l.classid::bigint << 32 | l.objid::bigint) = :key"
)


def prepare_session(connection: Connection, url: PostgresUrl) -> None:
    """Settings for this session; those of the server are checked.

    Raises:
        LogUnavailable: a server that does not keep what it acknowledged, or cannot be written to.
    """
    version = int(_show(connection, "server_version_num")) // 10_000
    _require(url, version >= _OLDEST_SERVER, f"PostgreSQL {_OLDEST_SERVER} or newer", version)
    for name, wanted in _REQUIRED.items():
        got = _show(connection, name)
        _require(url, got == wanted, f"a server with {name} = {wanted}", got)
    standby = connection.scalar(text("SELECT pg_is_in_recovery()"))
    _require(url, standby is False, "the primary server", "a standby")
    for statement in _SESSION:
        connection.exec_driver_sql(statement)
    if _show(connection, "synchronous_commit") not in _DURABLE_COMMITS:
        connection.exec_driver_sql("SET synchronous_commit = on")
    # Names are looked up here and nowhere else; `parse_postgres_url` allows no quote in it.
    connection.exec_driver_sql(f'SET search_path = "{url.schema}"')


def take_lock(connection: Connection, url: PostgresUrl) -> None:
    """Be the log's one writer until this connection ends.

    Raises:
        LogUnavailable: another session is; the text says which.
    """
    database = connection.scalar(text("SELECT current_database()"))
    key = lock_key(str(database), url.schema)
    until = time.monotonic() + LOCK_WAIT_S
    while not connection.scalar(_LOCK, {"key": key}):
        if time.monotonic() > until:
            raise _held(connection, url, key)
        time.sleep(0.05)


def release_lock(connection: Connection) -> None:
    """Let the next writer in at once, not when the server sees that this connection ended."""
    connection.execute(text("SELECT pg_advisory_unlock_all()"))


def _held(connection: Connection, url: PostgresUrl, key: int) -> LogUnavailable:
    row = connection.execute(_HOLDER, {"key": key}).first()
    holder = "one that ended meanwhile"
    if row is not None:
        pid, address, name, since = row
        holder = (
            f"server process {pid} for {name or 'a client without a name'} from "
            f"{address or 'a local socket, or an address this role may not see'}, since {since}"
        )
    return LogUnavailable(
        f"database {url.shown}: expected to be the log's only writer, but another session holds "
        f"its lock: {holder}; stop that one first (a log has exactly one writer)"
    )


def lock_key(database: str, schema: str) -> int:
    """The advisory lock of a log: 64 bits, as PostgreSQL takes them."""
    digest = hashlib.sha256(f"tdspace log\0{database}\0{schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def prepare_tables(connection: Connection, url: PostgresUrl) -> None:
    """Make schema and tables if there are none; else check their version.

    Raises:
        LogDamaged: they are of another version.
    """
    made = text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
    if connection.scalar(made, {"schema": url.schema}) is None:
        connection.exec_driver_sql(f'CREATE SCHEMA "{url.schema}"')
    if connection.scalar(text("SELECT to_regclass('log_version')")) is None:
        for tables in (METADATA, _VERSION.metadata):
            tables.create_all(connection, checkfirst=False)
        connection.execute(insert(_VERSION).values(version=SCHEMA_VERSION))
        return
    found = list(connection.scalars(select(_VERSION.c.version)))
    if found != [SCHEMA_VERSION]:
        raise LogDamaged(
            f"database {url.shown}: expected version {SCHEMA_VERSION} of its tables, got "
            f"{' and '.join(map(str, found)) or 'none'}: they belong to another release of this "
            "software. Go on with that release; or end that log, keep its folder and this schema, "
            "and begin a log under a new name with a schema of its own (schema=NAME in the URL)"
        )


def _show(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())


def _require(url: PostgresUrl, holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise LogUnavailable(
            f"database {url.shown}: expected {expected}, got {got}; a log needs a server that "
            "keeps what it acknowledged: change its configuration, or use another"
        )
