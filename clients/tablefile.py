"""Reads a product's data file: CSV, JSON Lines or Parquet, each value as its owner declared it.

Nothing is guessed, and a cell that does not read as its type refuses the whole product. The file is
the only one that the reader may open. In JSON Lines a number is no string and a string no number; a
key that a line leaves out is a cell without a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt

from clients.arrowstream import StreamError, read_stream
from clients.cells import MAX_SUBJECT_CHARS, checked
from clients.csvheader import header_of
from clients.errors import VaultError
from clients.media_reader import survey_media
from clients.product import Product
from clients.source_reader import Batch, read_batches
from policies.statements import Column

MAX_ROWS: Final = 50_000_000
UNREAD: Final = ("ignored", "time")

_NUMBER: Final = {
    "float": r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?",
    "integer": r"[+-]?\d+",
}
_JSON_TYPES: Final = {
    "float": "('BIGINT', 'UBIGINT', 'DOUBLE')",
    "integer": "('BIGINT', 'UBIGINT')",
    "string": "('VARCHAR')",
}
_CAST: Final = {"float": "FLOAT", "integer": "BIGINT"}
_INTEGERS: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
)
_PARQUET_TYPES: Final = {
    "float": _INTEGERS | {"FLOAT", "DOUBLE"},
    "integer": _INTEGERS,
    "string": frozenset({"VARCHAR"}),
}
_ROWS: Final = {
    ".csv": "CSV rows with as many cells as the header",
    ".jsonl": "one JSON object a line, in UTF-8, with each key once",
    ".parquet": "Parquet rows",
}


def read_table(product: Product) -> Iterator[Batch]:
    """The number of each batch's first row, from 1, and its used columns, every value checked.

    Columns stand in the product file's order, rows in the file's; the numbers are gone once the
    next batch is asked for. Memory is bounded by a batch (clients.arrowstream).

    Raises:
        VaultError: no such file, columns, rows or values; the text holds no cell's value.
    """
    used = [column for column in product.columns if column.role not in UNREAD]
    count = 0
    with _opened(product) as connection:
        source, arguments = _source(connection, product)
        selected = ", ".join(_cells(product, used))
        query = f"SELECT {selected} FROM {source} LIMIT {MAX_ROWS + 1}"  # noqa: S608 quoted names
        for batch in read_stream(connection.sql(query, params=[*_labels(product), *arguments])):
            first, count = count + 1, count + len(batch[0])
            _check_count(product.data, count)
            read = zip(used, batch, strict=True)
            yield (
                first,
                [checked(cells, column, product.data, first_row=first) for column, cells in read],
            )
        _check_count(product.data, count)


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A data file as it is, with what is missing.

    Attributes:
        rows: how many there are.
        values: the used columns by name; a label is the number of its class, and a file the mean
            of its numbers. What stands where a value is missing means nothing.
        missing: of every declared column, which rows lack a value: an empty cell, NULL or NaN.
        distinct: rows that differ from one another in a used column.
    """

    rows: int
    values: dict[str, npt.NDArray[Any]]
    missing: dict[str, npt.NDArray[np.bool_]]
    distinct: int


def survey_columns(product: Product) -> Survey:
    """As `read_table`, but whole, and a cell without any value is counted instead of refused.

    Raises:
        VaultError: no such file, columns, rows, or a value of another type.
    """
    used = product.used
    if product.source is not None:
        return _survey_source(product)
    if product.media is not None:
        return _survey_media(product)
    with _opened(product) as connection:
        source, arguments = _source(connection, product)
        gaps = [
            f"{_gap(column, product)} AS m{place}" for place, column in enumerate(product.columns)
        ]
        selected = ", ".join([*_cells(product, used), *gaps])
        columns = ", ".join(f"c{place}" for place in range(len(used)))
        table = f"SELECT {selected} FROM {source} LIMIT {MAX_ROWS + 1}"  # noqa: S608 quoted names
        given = [*_labels(product), *arguments]
        found = connection.execute(table, given).fetchnumpy()
        distinct = connection.execute(
            f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM ({table}))",  # noqa: S608
            given,
        ).fetchone()
    count = len(found["m0"])
    _check_count(product.data, count)
    missing = {
        column.name: np.ma.getdata(found[f"m{place}"]).astype(np.bool_)
        for place, column in enumerate(product.columns)
    }
    values = {
        column.name: checked(found[f"c{place}"], column, product.data, gaps=missing[column.name])
        for place, column in enumerate(used)
    }
    return Survey(
        rows=count, values=values, missing=missing, distinct=int(distinct[0]) if distinct else 0
    )


def _survey_media(product: Product) -> Survey:
    seen = survey_media(product)
    values = {product.features[0].name: seen.levels, product.label.name: seen.labels}
    return Survey(len(seen.labels), values, seen.missing, seen.distinct)


def _survey_source(product: Product) -> Survey:
    """Rows that differ are counted by the bytes of their values and gaps."""
    parts: list[list[npt.NDArray[Any]]] = [[] for _ in product.columns]
    for _, cells in read_batches(product, product.columns, max_rows=MAX_ROWS, gaps=True):
        for part, batch in zip(parts, cells, strict=True):
            part.append(batch)
    whole = {
        column.name: np.ma.concatenate(part)  # type: ignore[no-untyped-call]
        for column, part in zip(product.columns, parts, strict=True)
    }
    missing = {name: np.ma.getmaskarray(values) for name, values in whole.items()}
    values = {column.name: np.ma.getdata(whole[column.name]) for column in product.used}
    told = [np.where(missing[name], 0, one).view(np.uint8) for name, one in values.items()]
    count = len(missing[product.label.name])
    rows = [part.reshape(count, -1) for part in told]
    gaps = [missing[name].view(np.uint8).reshape(count, 1) for name in values]
    joined = np.ascontiguousarray(np.concatenate([*rows, *gaps], axis=1))
    distinct = np.unique(joined.view(np.dtype((np.void, joined.shape[1]))))
    return Survey(rows=count, values=values, missing=missing, distinct=len(distinct))


@contextmanager
def _opened(product: Product) -> Iterator[duckdb.DuckDBPyConnection]:
    """A reader whose errors hold no cell's value."""
    path = product.data
    try:
        path.stat()
    except OSError as error:
        raise VaultError(f"{path}: expected a data file, got: {error.strerror}") from error
    connection = reader_of(path)
    try:
        yield connection
    except (duckdb.Error, StreamError) as error:
        # Its text quotes the line: the number is kept, the rest and the chain are dropped.
        line = re.search(r"Line: (\d+)|in line (\d+): ", str(error))
        place_text = f"line {line[1] or line[2]} is not one" if line else "something else"
        raise VaultError(
            f"{path}: expected {_ROWS[path.suffix.lower()]}, got: {place_text}"
        ) from None
    finally:
        connection.close()


def _cells(product: Product, used: list[Column]) -> list[str]:
    return [f"{_expression(column, product)} AS c{place}" for place, column in enumerate(used)]


def _labels(product: Product) -> list[str]:
    """What the label's expression asks to have filled in."""
    return list(product.classes) if product.label.type == "string" else []


def _typed(product: Product) -> bool:
    return product.data.suffix.lower() == ".parquet"


def _json(product: Product) -> bool:
    return product.data.suffix.lower() == ".jsonl"


def _check_count(path: Path, count: int) -> None:
    if not 1 <= count <= MAX_ROWS:
        got = "none" if count == 0 else "more"
        raise VaultError(f"{path}: expected 1 to {MAX_ROWS} rows of data, got {got}")


def reader_of(path: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory that may open this one file and nothing else, on one thread."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET allowed_paths = ?", [[str(path)]])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET enable_progress_bar = false")  # it would write to the node's output
    connection.execute("SET lock_configuration = true")
    return connection


def _source(connection: duckdb.DuckDBPyConnection, product: Product) -> tuple[str, list[object]]:
    """The table expression and its arguments; the file has every declared column."""
    path = product.data
    if path.suffix.lower() == ".parquet":
        schema = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)])
        types = {name: str(kind) for name, kind, *_ in schema.description or ()}
        _check_names(product, list(types))
        for column in product.columns:
            if types[column.name] not in _PARQUET_TYPES[column.type]:
                raise VaultError(
                    f"{path}: column {column.name!r}: expected {column.type}, "
                    f"got {types[column.name][:60]}"
                )
        return "read_parquet(?)", [str(path)]
    if _json(product):
        keys = dict.fromkeys((column.name for column in product.columns), "JSON")
        how = "format='newline_delimited', records='true', compression='none', ignore_errors=false"
        return f"read_json(?, columns=?, {how})", [str(path), keys]
    names = header_of(path)
    _check_names(product, names)
    options = "auto_detect=false, header=true, delim=',', quote='\"', escape='\"'"
    strict = "strict_mode=true, null_padding=false, ignore_errors=false"
    return f"read_csv(?, columns=?, {options}, {strict})", [
        str(path),
        dict.fromkeys(names, "VARCHAR"),
    ]


def _check_names(product: Product, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise VaultError(f"{product.data}: expected each column name once, got one twice")
    for column in product.columns:
        if column.name not in names:
            raise VaultError(
                f"{product.data}: expected the column {column.name!r}, got none of that name; "
                "correct the product file or the data's header"
            )


def _gap(column: Column, product: Product) -> str:
    """SQL that says whether a cell of this column holds no value at all."""
    name = _quoted(column)
    if _json(product):
        return f"({name} IS NULL OR json_type({name}) = 'NULL')"
    if not _typed(product):
        return f"({name} IS NULL OR trim({name}) = '')"
    if column.type == "float":
        return f"({name} IS NULL OR isnan(CAST({name} AS DOUBLE)))"
    return f"({name} IS NULL)"


def _quoted(column: Column) -> str:
    return '"' + column.name.replace('"', '""') + '"'


def _expression(column: Column, product: Product) -> str:
    """SQL for one column; what does not read as its type becomes NULL."""
    name = _quoted(column)
    if _json(product):
        kinds = _JSON_TYPES[column.type]
        name = f"(CASE WHEN json_type({name}) IN {kinds} THEN {name}->>'$' END)"
    if column.role == "label" and column.type == "string":
        cases = " ".join(f"WHEN ? THEN {place}" for place in range(len(product.classes)))
        return f"CASE {name} {cases} END"
    if column.role == "subject" and column.type == "string":
        control = f"regexp_matches({name}, '[\\x00-\\x1f\\x7f]')"
        sound = f"length({name}) BETWEEN 1 AND {MAX_SUBJECT_CHARS} AND NOT {control}"
        return f"CASE WHEN {sound} THEN {name} END"
    cast = f"TRY_CAST(trim({name}) AS {_CAST[column.type]})"
    if _typed(product):
        cast = f"TRY_CAST({name} AS {_CAST[column.type]})"
    else:
        # The engine's own casts would take 1_000, round 1.5 to an integer, and read "inf".
        pattern = _NUMBER[column.type]
        cast = f"CASE WHEN regexp_full_match(trim({name}), '{pattern}') THEN {cast} END"
    if column.role == "subject":
        return f"CAST({cast} AS VARCHAR)"
    if column.role == "label":
        return f"CASE WHEN {cast} BETWEEN 0 AND {len(product.classes) - 1} THEN {cast} END"
    return cast
