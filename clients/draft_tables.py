"""Where a draft's guesses come from: a data file, or what a source's query yields.

A column's kind is "" where every value is a text that may read as a number, `VALUE` where values
have a type of their own, else the type that a Parquet file declares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
from sqlalchemy import Connection

from clients.csvheader import header_of
from clients.errors import VaultError
from clients.filequery import opened_files, quoted
from clients.source import Source
from clients.source_reader import connected
from clients.tablefile import reader_of

VALUE: Final = "VALUE"
FILE_SUFFIXES: Final = (".csv", ".jsonl", ".parquet")

Rows = list[tuple[Any, ...]]


class Table(Protocol):
    """What a draft asks of it; raises VaultError without any cell's value."""

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Kind and name of each."""

    def count(self) -> int:
        """How many rows there are."""

    def first(self, rows: int) -> Rows:
        """As many of the first rows, or all."""

    def values(self, name: str, most: int) -> list[object]:
        """The different values of a column, but the missing ones; `most` of them at most."""


class _Queried:
    """Anything that answers SQL."""

    def __init__(
        self,
        ask: Callable[[str], Rows],
        table: str,
        columns: list[tuple[str, str]],
        quote: Callable[[str], str] = quoted,
        read: Callable[[Any], object] | None = None,
    ) -> None:
        self._ask, self._table, self._quote, self._read = ask, table, quote, read
        self.columns = columns

    def count(self) -> int:
        found = self._ask(f"SELECT count(*) FROM {self._table}")  # noqa: S608 - all here: our own
        return int(found[0][0])

    def first(self, rows: int) -> Rows:
        found = self._ask(f"SELECT * FROM {self._table} LIMIT {rows}")  # noqa: S608
        if self._read is None:
            return found
        return [tuple(map(self._read, row)) for row in found]

    def values(self, name: str, most: int) -> list[object]:
        cell = self._quote(name)
        some = f"SELECT DISTINCT {cell} FROM {self._table} WHERE {cell} IS NOT NULL"  # noqa: S608
        found = [row[0] for row in self._ask(f"{some} LIMIT {most}")]
        return found if self._read is None else [self._read(one) for one in found]


@contextmanager
def file_table(data: Path) -> Iterator[Table]:
    """A CSV, JSON Lines or Parquet file.

    Raises:
        VaultError: no such file, or no table; also for what is asked inside the block.
    """
    if data.suffix.lower() not in FILE_SUFFIXES:
        expected = f"a file ending in {' or '.join(FILE_SUFFIXES)} to guess from"
        raise VaultError(f"{data}: expected {expected}, got another")
    try:
        data.stat()
    except OSError as error:
        raise VaultError(f"{data}: expected a data file, got: {error.strerror}") from error
    connection = reader_of(data)
    try:
        yield _file(connection, data)
    except duckdb.Error as error:
        kind = type(error).__name__
        raise VaultError(f"{data}: expected a table that can be read, got {kind}") from None
    finally:
        connection.close()


def _file(connection: duckdb.DuckDBPyConnection, data: Path) -> Table:
    place, suffix = "'" + str(data).replace("'", "''") + "'", data.suffix.lower()
    read: Callable[[Any], object] | None = None
    if suffix == ".csv":
        names = header_of(data)
        if len(set(names)) != len(names) or "" in names:
            raise VaultError(
                f"{data}: expected each column with a name of its own in the first line"
            )
        types = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
        options = "auto_detect=false, header=true, delim=',', quote='\"', escape='\"'"
        strict = "strict_mode=true, null_padding=false, ignore_errors=false"
        table = f"read_csv({place}, columns={{{types}}}, {options}, {strict})"
        columns = [("", name) for name in names]
    elif suffix == ".jsonl":
        how = "format='newline_delimited', records='true', compression='none'"
        table = f"read_json({place}, {how}, sample_size=-1, maximum_depth=1)"
        columns = [(VALUE, name) for _, name in _described(connection, table)]
        read = _json
    else:
        table = f"read_parquet({place})"
        columns = _described(connection, table)
    return _Queried(lambda text: connection.execute(text).fetchall(), table, columns, read=read)


def _described(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    found = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or ()  # noqa: S608
    return [(str(kind), str(name)) for name, kind, *_ in found]


def _json(text: Any) -> object:
    return None if text is None else json.loads(text)


@contextmanager
def source_table(source: Source, where: Path) -> Iterator[Table]:
    """What the query of a source yields.

    Args:
        where: for messages.

    Raises:
        VaultError: the source cannot be read; also for what is asked inside the block.
    """
    query = f"({source.query}) AS data"
    if source.files:
        with opened_files(source, where) as engine:
            # A file's texts may read as numbers, and so may what the query makes of them.
            columns = [
                ("" if kind == "VARCHAR" else VALUE, name)
                for kind, name in _described(engine, query)
            ]
            yield _Queried(lambda text: engine.execute(text).fetchall(), query, columns)
        return
    with connected(source, where) as connection:
        ask = _asker(connection)
        found = connection.execution_options(no_parameters=True).exec_driver_sql(
            f"SELECT * FROM {query} LIMIT 0"  # noqa: S608
        )
        columns = [(VALUE, str(name)) for name in found.keys()]  # noqa: SIM118 - no mapping
        found.close()
        quote = connection.dialect.identifier_preparer.quote_identifier
        yield _Queried(ask, query, columns, quote)


def _asker(connection: Connection) -> Callable[[str], Rows]:
    asked = connection.execution_options(no_parameters=True)

    def ask(text: str) -> Rows:
        rows: Sequence[Any] = asked.exec_driver_sql(text).fetchall()
        return [tuple(row) for row in rows]

    return ask
