"""Which database a log uses: a file, or a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import LedgerError
from ledger.store import Store
from ledger.store_sqlite import SqliteStore


def open_store(database: Path | str) -> Store:
    """Open a log's database, or make it.

    Args:
        database: a path for SQLite.

    Raises:
        LedgerError: neither a path nor a URL that is understood.
        LogUnavailable: it cannot be opened or made now.
        LogDamaged: it is no log's database, or one of another version.
    """
    if isinstance(database, Path):
        return SqliteStore.open(database)
    raise LedgerError("database: expected a path")
