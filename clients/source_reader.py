"""Reads a product's rows from a source, in batches; of a database, within one transaction that
cannot write.

Memory is bounded by the arrays and a batch; a driver's own words may quote a value, so that of its
errors only the kind is told, and the chain is dropped.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from clients.cells import checked, is_subject
from clients.errors import FileRefused, VaultError
from clients.filequery import MAX_QUERY_S, file_rows
from clients.files import read_secret
from clients.mysql_source import is_mysql_url, mysql_engine
from clients.product import Product
from clients.source import Source
from ledger.errors import LedgerError
from ledger.postgres_url import parse_postgres_url
from policies.statements import Column

BATCH_ROWS: Final = 16_384
_CONNECT_S: Final = 10
_ALLOWED: Final = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    }
)

Batch = tuple[int, list[npt.NDArray[Any]]]


def read_batches(
    product: Product, columns: Sequence[Column], *, max_rows: int, gaps: bool = False
) -> Iterator[Batch]:
    """The number of each batch's first row, from 1, and its columns, in the order of the key.

    Args:
        columns: which, of the product's.
        max_rows: more than these are refused.
        gaps: leave a missing value masked instead of refusing it.

    Raises:
        VaultError: no connection, no such columns, a value of another type, a key without a value
            or one that repeats, too many rows, or longer than `MAX_QUERY_S`.
    """
    source = product.source
    assert source is not None
    classes = {name: place for place, name in enumerate(product.classes)}
    until = time.monotonic() + MAX_QUERY_S
    first, before = 1, None
    for chunk in _chunks(source, columns, product.data, limit=max_rows + 1):
        if first + len(chunk) - 1 > max_rows or time.monotonic() > until:
            raise VaultError(
                f"{product.data}: expected at most {max_rows} rows within {MAX_QUERY_S} s, got "
                "more; narrow the query"
            )
        before = _check_keys(chunk, len(columns), before, first, product.data)
        cells = []
        for place, column in enumerate(columns):
            values = [row[place] for row in chunk]
            read = _typed(values, column, classes)
            missing = _missing(values) if gaps else None
            plain = checked(read, column, product.data, gaps=missing, first_row=first)
            cells.append(plain if missing is None else np.ma.array(plain, mask=missing))
        yield first, cells
        first += len(chunk)
    if first == 1:
        raise VaultError(f"{product.data}: expected the query to yield rows, got none")


def _chunks(
    source: Source, columns: Sequence[Column], data: Path, *, limit: int
) -> Iterator[Sequence[Any]]:
    """Rows in the order of the key: the columns, then the key's."""
    if source.files:
        yield from file_rows(source, columns, data, limit=limit, batch=BATCH_ROWS)
        return
    with connected(source, data) as connection:
        statement = _statement(connection, source, columns, limit)
        rows = connection.execution_options(
            stream_results=True, max_row_buffer=BATCH_ROWS, no_parameters=True
        ).exec_driver_sql(statement)
        yield from rows.partitions(BATCH_ROWS)


def _typed(values: Sequence[object], column: Column, classes: dict[str, int]) -> npt.NDArray[Any]:
    """What is not of the column's type is masked."""
    kept: list[Any]
    if column.role == "subject":
        kept = [_subject(value, column) for value in values]
        return np.ma.array(np.array(kept, dtype=np.object_), mask=[one is None for one in kept])
    if column.role == "label":
        kept = [_label(value, column, classes) for value in values]
    elif column.type == "string":
        kept = [0 if isinstance(value, str) else None for value in values]
    elif column.type == "integer":
        kept = [value if _is_int64(value) else None for value in values]
    else:
        kept = [value if _is_number(value) else None for value in values]
    mask = np.fromiter((one is None for one in kept), np.bool_, len(kept))
    with np.errstate(over="ignore"):
        wide = np.array(
            [0 if one is None else one for one in kept],
            dtype=np.float64 if column.type == "float" else np.int64,
        )
        plain = wide.astype(np.float32) if column.type == "float" else wide
    return np.ma.array(plain, mask=mask)


def _label(value: object, column: Column, classes: dict[str, int]) -> int | None:
    if column.type == "string":
        return classes.get(value) if isinstance(value, str) else None
    return value if type(value) is int and value in range(len(classes)) else None


def _subject(value: object, column: Column) -> str | None:
    text = str(value) if column.type == "integer" and _is_int64(value) else value
    return text if isinstance(text, str) and is_subject(text) else None


def _is_int64(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_number(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value) < Decimal("1e300")
    return type(value) is float or _is_int64(value)


def _missing(values: Sequence[object]) -> npt.NDArray[np.bool_]:
    empty = (value is None or value != value for value in values)  # noqa: PLR0124 NaN
    return np.fromiter(empty, np.bool_, len(values))


def _check_keys(chunk: Sequence[Any], start: int, before: object, first: int, data: Path) -> object:
    for place, row in enumerate(chunk):
        key = tuple(row[start:])
        if key == before or None in key:
            raise VaultError(
                f"{data}: row {first + place}: expected a key of its own, got none or the row "
                "before's; the rows have no fixed order then: add columns to $.source.key"
            )
        before = key
    return before


def _statement(
    connection: Connection, source: Source, columns: Sequence[Column], limit: int
) -> str:
    quoted = connection.dialect.identifier_preparer.quote_identifier
    # With the table's name before it, SQLite cannot take a misspelt column for a text.
    key = [f"data.{quoted(name)}" for name in source.key]
    wanted = [*(f"data.{quoted(column.name)}" for column in columns), *key]
    order = key
    # A collation that takes "a" for "A" would leave their order open.
    if is_mysql_url(source.url):
        order = [*key, *(f"CAST({one} AS BINARY)" for one in key)]
    elif source.sqlite is not None:
        order = [f"{one} COLLATE BINARY" for one in key]
    return (
        f"SELECT {', '.join(wanted)} FROM ({source.query}) AS data "  # noqa: S608 as checked
        f"ORDER BY {', '.join(order)} LIMIT {limit}"
    )


@contextmanager
def connected(source: Source, data: Path) -> Iterator[Connection]:
    """A connection in a transaction that only reads."""
    engine: Engine | None = None
    try:
        if source.sqlite is not None:
            engine = _sqlite(source.sqlite)
        elif is_mysql_url(source.url):
            password = _password(source)
            engine = mysql_engine(source.url, password, connect_s=_CONNECT_S, query_s=MAX_QUERY_S)
        else:
            engine = _postgres(source, data)
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise VaultError(
            f"{data}: expected $.source to be read, got {_kind(error)}; check the database, the "
            "query, its columns and what its user may read"
        ) from None
    finally:
        if engine is not None:
            engine.dispose()


def _kind(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    if code is None and cause is not None and cause.args and type(cause.args[0]) is int:
        code = cause.args[0]  # MySQL's
    return f"{type(cause or error).__name__} {code or ''}".strip()


def _sqlite(path: Path) -> Engine:
    try:
        path.stat()
    except OSError as error:
        raise VaultError(f"{path}: expected a database, got: {error.strerror}") from error

    def connect() -> sqlite3.Connection:
        opened = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        until = time.monotonic() + MAX_QUERY_S
        opened.set_authorizer(_authorize)
        opened.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        return opened

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _authorize(action: int, *given: str | None) -> int:
    # SQLAlchemy asks for the isolation level when it connects.
    asked = action == sqlite3.SQLITE_PRAGMA and given[:2] == ("read_uncommitted", None)
    return sqlite3.SQLITE_OK if asked or action in _ALLOWED else sqlite3.SQLITE_DENY


def _password(source: Source) -> str | None:
    """From the file that the product names; None if it names none."""
    if source.password_file is None:
        return None
    try:
        return read_secret(source.password_file).decode().rstrip("\r\n")
    except FileRefused as error:
        raise VaultError(f"$.source.password_file: {error}") from error
    except UnicodeDecodeError:
        raise VaultError(f"{source.password_file}: expected a password in UTF-8") from None


def _postgres(source: Source, data: Path) -> Engine:
    try:
        from psycopg import pq  # noqa: PLC0415 - an extra; only this adapter needs it
    except ImportError as error:
        raise VaultError(
            f"{data}: expected psycopg 3 to reach PostgreSQL with, got none that works; install "
            "it with: pip install 'tdspace[postgres]'"
        ) from error
    found = pq.Conninfo.get_defaults()
    defaults = {one.keyword.decode(): one.val.decode() for one in found if one.val}
    try:
        parse_postgres_url(source.url, defaults)
        url = make_url(source.url)
    except LedgerError as error:
        raise VaultError(f"{data}: $.source: {error}") from error
    password = _password(source)
    if password is not None:
        url = url.set(password=password)
    return create_engine(
        url,
        poolclass=NullPool,
        execution_options={"postgresql_readonly": True},
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        connect_args={
            "connect_timeout": _CONNECT_S,
            "application_name": "tdspace source",
            "options": "-c default_transaction_read_only=on "
            f"-c statement_timeout={MAX_QUERY_S * 1000}",
        },
    )
