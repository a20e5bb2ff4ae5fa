"""Runs a product's query over files of its owner in DuckDB, which can reach nothing else.

The engine lives in memory, opens exactly the named files, loads no extension, writes no temporary
file, and nothing that the query says can change that. It runs on one thread: with more, a sum of
floats may differ from one time to the next. `MEMORY_LIMIT` and `MAX_QUERY_S` end a query that is
too large; of the engine's errors only the kind is told, for its text may quote a value.

Columns of CSV and JSON Lines are texts to the query: it says CAST where it compares numbers. A text
in a column that the product declares as a number is then read as the vault reads CSV.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb

from clients.csvheader import header_of
from clients.errors import VaultError
from clients.source import Source
from policies.statements import Column

MAX_QUERY_S: Final = 600
MEMORY_LIMIT: Final = "4GiB"
_FLOAT: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_JSON: Final = "format='newline_delimited', records='true', compression='none'"
_CSV: Final = (
    "auto_detect=false, header=true, delim=',', quote='\"', escape='\"', strict_mode=true, "
    "null_padding=false, ignore_errors=false"
)


def file_rows(
    source: Source, columns: Sequence[Column], data: Path, *, limit: int, batch: int
) -> Iterator[list[list[object]]]:
    """The query's rows in the order of the key, in batches: the columns, then the key's.

    Args:
        data: the product file, for messages.
        limit: no more rows than these.

    Raises:
        VaultError: a file that is absent, a query that fails or takes too long.
    """
    key = [f"data.{quoted(name)}" for name in source.key]
    wanted = [*(f"data.{quoted(column.name)}" for column in columns), *key]
    statement = (
        f"SELECT {', '.join(wanted)} FROM ({source.query}) AS data "  # noqa: S608 as checked
        f"ORDER BY {', '.join(key)} LIMIT {limit}"
    )
    readers = [_READERS.get(column.type) for column in columns]
    numbers = [(place, read) for place, read in enumerate(readers) if read is not None]
    with opened_files(source, data) as connection:
        found = connection.execute(statement)
        while chunk := found.fetchmany(batch):
            rows = [list(row) for row in chunk]
            for place, read in numbers:
                for row in rows:
                    if isinstance(row[place], str):
                        row[place] = read(row[place])
            yield rows


@contextmanager
def opened_files(source: Source, data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine that has each file as a view of its name; ended after `MAX_QUERY_S`.

    Raises:
        VaultError: as `file_rows`; also for an error of the engine inside the block.
    """
    for _, path in source.files:
        try:
            path.stat()
        except OSError as error:
            raise VaultError(f"{path}: expected a data file, got: {error.strerror}") from error
    connection = _engine([path for _, path in source.files])
    clock = threading.Timer(MAX_QUERY_S, connection.interrupt)
    clock.daemon = True
    try:
        clock.start()
        for name, path in source.files:
            _add_view(connection, name, path)
        yield connection
    except duckdb.Error as error:
        kind = type(error).__name__
        raise VaultError(
            f"{data}: expected $.source to be read, got {kind}; check the files, the query and its "
            f"columns; it may use {MEMORY_LIMIT} of memory and {MAX_QUERY_S} s, and columns of "
            "CSV and JSON Lines are texts to it"
        ) from None
    finally:
        clock.cancel()
        connection.close()


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _engine(paths: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": "",
            "allow_persistent_secrets": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET allowed_paths = ?", [[str(path) for path in paths]])
    connection.execute("SET enable_progress_bar = false")  # it would write to the node's output
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _add_view(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    place, suffix = _text(str(path)), path.suffix.lower()
    if suffix == ".parquet":
        table = f"SELECT * FROM read_parquet({place})"  # noqa: S608 escaped, as all below
    elif suffix == ".csv":
        types = ", ".join(f"{_text(one)}: 'VARCHAR'" for one in header_of(path))
        table = f"SELECT * FROM read_csv({place}, columns={{{types}}}, {_CSV})"  # noqa: S608
    else:
        lines = f"read_json({place}, {_JSON}, sample_size=-1, maximum_depth=1)"
        keys = connection.execute(f"SELECT * FROM {lines} LIMIT 0").description or ()  # noqa: S608
        texts = ", ".join(f"{quoted(one)}->>'$' AS {quoted(one)}" for one, *_ in keys)
        table = f"SELECT {texts} FROM {lines}"  # noqa: S608
    connection.execute(f"CREATE VIEW {quoted(name)} AS {table}")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _number(text: str) -> object:
    """A float if it reads as one, nothing if it is blank, else the text, which will be refused."""
    plain = text.strip()
    return float(plain) if _FLOAT.fullmatch(plain) else plain or None


def _whole(text: str) -> object:
    plain = text.strip()
    return int(plain) if _WHOLE.fullmatch(plain) else plain or None


_READERS: Final[dict[str, Any]] = {"float": _number, "integer": _whole}
