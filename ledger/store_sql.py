"""The tables and statements that both databases share.

What differs (how a transaction begins, what an error means) is in the adapters: subclasses that say
how to open a transaction and how to call the damage they find.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from ledger.errors import LogDamaged
from ledger.store import Batch, StoredHead

_LINES_AT_ONCE = 1000
_KEYS_AT_ONCE = 500

METADATA = MetaData()
# SQLite's row numbers are an INTEGER key; any other integer type would make a second index.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_ENTRIES = Table(
    "entries",
    METADATA,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("line", LargeBinary, nullable=False),
)
_KEYS = Table(
    "idempotency",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("first_index", _NUMBER, nullable=False),
    Column("count", _NUMBER, nullable=False),
)
_HEAD = Table(
    "head",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("size", _NUMBER, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
)

# Built once: building a statement costs more than running it.
_ADD_ENTRIES = insert(_ENTRIES)
_ADD_KEYS = insert(_KEYS)
_FIRST_HEAD = insert(_HEAD).values(id=1)
_MOVE_HEAD = (
    update(_HEAD)
    .where(_HEAD.c.size == bindparam("old"))
    .values(size=bindparam("new"), frontier=bindparam("hashes"), note=bindparam("text"))
)
_REPLACE_NOTE = update(_HEAD).where(_HEAD.c.size == bindparam("old")).values(note=bindparam("text"))
_READ_HEAD = select(_HEAD.c.size, _HEAD.c.frontier, _HEAD.c.note)
_LINES_FROM = (
    select(_ENTRIES.c.position, _ENTRIES.c.line)
    .where(_ENTRIES.c.position >= bindparam("start"))
    .order_by(_ENTRIES.c.position)
    .limit(_LINES_AT_ONCE)
)
_FIND = select(_KEYS.c.key, _KEYS.c.first_index, _KEYS.c.count).where(
    _KEYS.c.key.in_(bindparam("wanted", expanding=True))
)


class SqlStore(ABC):
    """The port of `ledger.store` over these tables; promises and errors stand there."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]:
        """A transaction that commits at the end, and whose errors are this package's."""

    @abstractmethod
    def _damaged(self, what: str) -> LogDamaged:
        """The error for contents that this log did not write, with what to do."""

    @abstractmethod
    def close(self) -> None:
        """As the port."""

    def append(self, batch: Batch) -> None:
        """As the port."""
        entries = [
            {"position": position, "line": line}
            for position, line in enumerate(batch.lines, batch.first_index)
        ]
        keys = [
            {"key": key, "first_index": first_index, "count": count}
            for key, first_index, count in batch.keys
        ]
        with self._transaction() as connection:
            # First, for its lock on the row: of two writers one waits here, and then fails.
            self._move_head(connection, batch)
            if entries:
                connection.execute(_ADD_ENTRIES, entries)
            if keys:
                connection.execute(_ADD_KEYS, keys)

    def _move_head(self, connection: Connection, batch: Batch) -> None:
        moved = connection.execute(
            _MOVE_HEAD,
            {
                "old": batch.first_index,
                "new": batch.size,
                "hashes": batch.frontier,
                "text": batch.note,
            },
        )
        if moved.rowcount == 1:
            return
        head = self._read_head(connection)
        if head is not None or batch.first_index != 0:
            got = "none" if head is None else f"one of size {head.size}"
            raise self._damaged(
                f"expected a head of size {batch.first_index}, got {got}: somebody else wrote"
            )
        connection.execute(
            _FIRST_HEAD, {"size": batch.size, "frontier": batch.frontier, "note": batch.note}
        )

    def lines(self, start: int) -> Iterator[bytes]:
        """As the port."""
        while True:
            with self._transaction() as connection:
                rows = connection.execute(_LINES_FROM, {"start": start}).all()
            for found, line in rows:
                if found != start:
                    raise self._damaged(f"expected entry {start}, got entry {found}")
                if type(line) is not bytes:
                    raise self._damaged(f"entry {start}: expected bytes, got {type(line).__name__}")
                yield line
                start += 1
            if len(rows) < _LINES_AT_ONCE:
                return

    def head(self) -> StoredHead | None:
        """As the port."""
        with self._transaction() as connection:
            return self._read_head(connection)

    def find(self, key: str) -> tuple[int, int] | None:
        """As the port."""
        return self.find_many([key]).get(key)

    def find_many(self, keys: Sequence[str]) -> dict[str, tuple[int, int]]:
        """As the port."""
        found: dict[str, tuple[int, int]] = {}
        if not keys:
            return found
        with self._transaction() as connection:
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                wanted = keys[start : start + _KEYS_AT_ONCE]
                for key, first_index, count in connection.execute(_FIND, {"wanted": wanted}):
                    if type(first_index) is not int or type(count) is not int:
                        raise self._damaged(f"idempotency key {key!r:.80}: expected two numbers")
                    found[key] = (first_index, count)
        return found

    def replace_note(self, size: int, note: str) -> None:
        """As the port."""
        with self._transaction() as connection:
            if connection.execute(_REPLACE_NOTE, {"old": size, "text": note}).rowcount != 1:
                raise self._damaged(
                    f"expected a head of size {size} to put cosignatures on, got another or none"
                )

    def _read_head(self, connection: Connection) -> StoredHead | None:
        row = connection.execute(_READ_HEAD).first()
        if row is None:
            return None
        kinds = tuple(type(value) for value in row)
        if kinds != (int, bytes, str):  # SQLite takes any type in any column
            raise self._damaged(f"head: expected a size, bytes and a text, got {kinds}")
        return StoredHead(row.size, row.frontier, row.note)
