"""An older database brought up to this program's tables: in one transaction, a copy kept before.

Invariants: a file that is opened has exactly the tables of `SCHEMA_VERSION`; an upgrade that fails
or is cut off leaves the file as it was, to the byte; before the first statement the old file lies
whole beside it, as `<name>.v<version>`, and stays there; a file that a newer program wrote is
refused before anything is changed. Running tasks are no part of it: what an older node left without
an outcome keeps its row, and `clients.usebook` ends it at the next start.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from clients.errors import StateUnavailable
from clients.schema import METADATA, SCHEMA_VERSION, UPGRADES

Step = str | Callable[[Connection], None]
"""A statement, or a function where a statement does not do: it must not commit."""


def bring_up(
    connection: Connection,
    path: Path,
    *,
    upgrades: Mapping[int, Sequence[Step]] = UPGRADES,
    newest: int = SCHEMA_VERSION,
) -> int:
    """The tables of `newest`, whatever version (or none) the file has; returns what it had.

    Args:
        connection: in a transaction that holds the write lock; the caller commits.
        path: the database file behind it.
        upgrades: for each version, the steps to the next one.

    Raises:
        StateUnavailable: a newer program wrote it, no steps lead from its version, or there is no
            room for the copy; nothing was changed.
    """
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if version == 0:
        METADATA.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {newest}")
        return version
    _check_known(path, version, upgrades, newest)
    if version < newest:
        keep_copy(path, version)
        for older in range(version, newest):
            for step in upgrades[older]:
                _take(connection, step)
        # A crash before the caller's commit: the old version stands, and is brought up again.
        connection.exec_driver_sql(f"PRAGMA user_version = {newest}")
    return version


def copy_of(path: Path, version: int) -> Path:
    """Where the copy of a database of this version lies."""
    return path.with_name(f"{path.name}.v{version}")


def keep_copy(path: Path, version: int) -> Path:
    """The committed content of `path`, whole and durable in a file of its own (mode 0600).

    A copy of the same version that an earlier, cut-off upgrade made is replaced: it may be older.

    Raises:
        StateUnavailable: the copy cannot be written; no half of one is left under its name.
    """
    target = copy_of(path, version)
    fresh = target.with_name(f".{target.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(fresh)) as copy:
            source.backup(copy)
            # By itself, the copy must not ask for a second file beside it.
            copy.execute("PRAGMA journal_mode = DELETE").close()
        _sync(fresh)
        fresh.replace(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        fresh.unlink(missing_ok=True)
        raise StateUnavailable(
            f"{path}: version {version} of its tables is to be brought up, but no copy of it could "
            f"be kept at {target}: {error}; make room there, then try again; nothing was changed"
        ) from error
    return target


def _check_known(
    path: Path, version: int, upgrades: Mapping[int, Sequence[Step]], newest: int
) -> None:
    if version > newest:
        raise StateUnavailable(
            f"{path}: expected version {newest} of its tables or an older one, got {version}: a "
            "newer tds wrote it; run that one. Nothing was changed. (Where that tds brought the "
            f"file up from version {newest}, it kept {copy_of(path, newest).name} beside it; what "
            "happened since then is not in there)"
        )
    missing = [older for older in range(version, newest) if older not in upgrades]
    if missing:
        raise StateUnavailable(
            f"{path}: expected version {newest} of its tables, got {version}, from which this tds "
            "knows no way; run the version of tds that wrote it"
        )


def _take(connection: Connection, step: Step) -> None:
    if callable(step):
        step(connection)
    else:
        connection.exec_driver_sql(step)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
