"""The registry: what governance knows, in SQLite (WAL, synchronous FULL, foreign keys).

It is a projection of the log: each entry is applied once, in order, and the number of entries
applied stands in the same transaction (`server.projection`). A crash therefore leaves a registry
that is behind the log, never one that is ahead of it or half-way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, select, update
from sqlalchemy.exc import DatabaseError, OperationalError

from server.errors import RegistryDamaged, Unavailable
from server.rows import Invitation
from server.tables import INVITATIONS, META, METADATA, ROUNDS, RUNS

SCHEMA_VERSION = 6
BUSY_TIMEOUT_S = 5


class Registry:
    """An open registry. Reads may run beside each other; whoever writes holds the journal's lock.

    Args:
        engine: on the database file; `open` makes it.
        on_commit: called as each transaction is about to be committed; tests crash there.
    """

    def __init__(self, engine: Engine, on_commit: Callable[[], None]) -> None:
        self._engine = engine
        self._on_commit = on_commit

    @classmethod
    def open(cls, path: Path, *, on_commit: Callable[[], None] | None = None) -> Registry:
        """Open the database, made if absent.

        Args:
            on_commit: for tests.

        Raises:
            RegistryDamaged: no database, or one of another version.
        """
        engine = create_engine(
            f"sqlite:///{path}",
            connect_args={"timeout": BUSY_TIMEOUT_S},
            max_overflow=-1,  # as many readers as the service has threads
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        registry = cls(engine, on_commit if on_commit is not None else _nothing)
        try:
            with engine.begin() as connection:
                METADATA.create_all(connection)
                version = registry._meta(connection, "schema", SCHEMA_VERSION)
                registry._meta(connection, "applied", 0)
        except DatabaseError as error:
            engine.dispose()
            raise RegistryDamaged(
                f"{path}: expected the registry's database, got {error.orig}"
            ) from (error)
        path.chmod(0o600)
        if version != SCHEMA_VERSION:
            engine.dispose()
            raise RegistryDamaged(
                f"{path}: expected schema {SCHEMA_VERSION}, got {version}; stop, move the file "
                "away with those beside it and start again: it is made anew from the log, but for "
                "invitations that are still open, which are then to be sent again"
            )
        return registry

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: a snapshot for reads; whole or not at all for writes.

        Raises:
            Unavailable: the file is locked, full or unreadable.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
                self._on_commit()
        except OperationalError as error:
            raise _unusable(error.orig) from error

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the database, as far as no reader is in the way;
        the next change then begins the log anew, and what was deleted is in neither.

        Raises:
            Unavailable: the file is locked, full or unreadable.
        """
        try:
            with closing(self._engine.raw_connection()) as raw:
                raw.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        except sqlite3.Error as error:
            raise _unusable(error) from error

    @staticmethod
    def _meta(connection: Connection, name: str, default: int) -> int:
        found = connection.scalar(select(META.c.value).where(META.c.name == name))
        if found is not None:
            return int(found)
        connection.execute(insert(META).values(name=name, value=default))
        return default


def _unusable(error: BaseException | None) -> Unavailable:
    return Unavailable(
        f"registry: expected its database to be usable, got {error}; free the disk or "
        "end what holds the file, and send the request again"
    )


def _nothing() -> None:
    """Nobody watches the commits."""


def _configure(raw: Any, _record: object) -> None:
    # Transactions are begun by `_begin`: the driver's own way begins none before a SELECT.
    raw.isolation_level = None
    # What is deleted is overwritten, and a write-ahead log that begins anew is cut first, since
    # `mask_keys` holds secrets of a round's time.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        "journal_size_limit=0",
    ):
        raw.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


# -- writes within the caller's transaction; all but the first are of what the log does not hold --


def set_applied(connection: Connection, size: int) -> None:
    """Must stand in the transaction that applies the entries."""
    connection.execute(update(META).where(META.c.name == "applied").values(value=size))


def put_invitation(connection: Connection, row: Invitation) -> None:
    """Keep an invitation; an earlier one for the same participant is void from now on."""
    values = {name: getattr(row, name) for name in row.__slots__}
    same = INVITATIONS.c.participant == row.participant
    connection.execute(delete(INVITATIONS).where(same))
    connection.execute(insert(INVITATIONS).values(values))


def bind_flower_run(connection: Connection, run_id: str, flower_run: str) -> bool:
    """Let this Flower run carry the run; False if the run is not (or no longer) waiting for one."""
    waiting = (RUNS.c.id == run_id) & (RUNS.c.state == "OPEN")
    values = {"flower_run": flower_run, "state": "RUNNING"}
    return connection.execute(update(RUNS).where(waiting).values(values)).rowcount == 1


def keep_permit(connection: Connection, round_id: int, envelope: bytes) -> None:
    """The envelope that every repeated request gets."""
    connection.execute(update(ROUNDS).where(ROUNDS.c.id == round_id).values(permit=envelope))
