"""Which database a log uses: a file, or a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import LedgerError
from ledger.postgres_url import is_postgres_url
from ledger.store import Store
from ledger.store_postgres import PostgresStore
from ledger.store_sqlite import SqliteStore


def open_store(database: Path | str) -> Store:
    """Open a log's database, or make it.

    Args:
        database: a path for SQLite; a URL, as `ledger.postgres_url` says, for PostgreSQL.

    Raises:
        LedgerError: neither a path nor a URL that is understood.
        LogUnavailable: it cannot be opened or made now.
        LogDamaged: it is no log's database, or one of another version.
    """
    if isinstance(database, Path):
        return SqliteStore.open(database)
    if is_postgres_url(database):
        return PostgresStore.open(database)
    raise LedgerError(
        "database: expected a path, or postgresql+psycopg://USER@HOST:PORT/DATABASE, got "
        "something else (not shown: it may hold a password)"
    )
