"""A product file to start from, guessed from a data file; its owner reads and corrects it.

Every guess comes with its reason. What is not sure is guessed so that nothing leaves by mistake: a
column that may name somebody is ignored and makes the product personal information; a column of
text is no feature. Nothing is registered here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import duckdb

from clients.csvheader import header_of
from clients.errors import VaultError
from clients.tablefile import MAX_ROWS, reader_of
from policies.statements import Column

SUFFIXES: Final = (".csv", ".parquet")
MAX_COLUMNS: Final = 4096
MAX_CLASSES: Final = 50
MAX_NAME_CHARS: Final = 128
MAX_CELLS: Final = 1_000_000
"""As many of the first rows are looked at as have this many cells."""

_PERSON: Final = re.compile(
    r"(^|[^a-z])(id|uuid|guid|ssn|patient|subject|person|customer|client|user|employee|name|surname"
    r"|phone|mobile|mail|email|address|idcard|passport|mrn|birth|dob)([^a-z]|$)|身份证|姓名|电话|地址"
)
_TARGET: Final = re.compile(
    r"(^|[^a-z])(label|class|target|outcome|diagnosis|result|y)([^a-z]|$)|标签|诊断"
)
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


@dataclass(frozen=True, slots=True)
class Guess:
    """One column, what it is taken for, and why."""

    column: Column
    why: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What was guessed of a data file.

    Attributes:
        classes: the label's values in order.
        personal: whether a column may name somebody.
    """

    rows: int
    guesses: tuple[Guess, ...]
    classes: tuple[str, ...]
    personal: bool

    def product(self, *, id: str, title: str, path: str) -> dict[str, object]:
        """The product file (clients.product), as JSON to be written."""
        return {
            "version": 1,
            "id": id,
            "title": title,
            "path": path,
            "columns": [guess.column.to_json() for guess in self.guesses],
            "classes": list(self.classes),
            "held_back": "0.2",
            "modality": "tabular",
            "classification": "general",
            "personal_information": self.personal,
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a column holds; `type` is "" where it can be declared as nothing."""

    name: str
    type: str
    empty: int
    distinct: int
    least: int | None = None
    most: int | None = None

    @property
    def can_be_label(self) -> bool:
        if not 2 <= self.distinct <= MAX_CLASSES:
            return False
        if self.type == "integer":
            return self.least == 0 and self.most == self.distinct - 1
        return self.type == "string"


def draft_of(data: Path) -> Draft:
    """Guess what the columns of a CSV or Parquet file are.

    Raises:
        VaultError: no such file, no table, or no column that could be a label; no cell's value.
    """
    if data.suffix.lower() not in SUFFIXES:
        raise VaultError(
            f"{data}: expected a file ending in {' or '.join(SUFFIXES)} to guess from; for JSON "
            "Lines or a database write the product file by hand (docs/researcher.md)"
        )
    connection = _opened(data)
    try:
        rows, seen = _look(connection, data)
        label = _label(data, seen)
        classes = _classes(connection, data, label)
    except duckdb.Error as error:
        kind = type(error).__name__
        raise VaultError(f"{data}: expected a table that can be read, got {kind}") from None
    finally:
        connection.close()
    guesses = tuple(_guess(one, label) for one in seen)
    personal = any(_PERSON.search(one.name.lower()) for one in seen)
    return Draft(rows, guesses, classes, personal)


def _opened(data: Path) -> duckdb.DuckDBPyConnection:
    try:
        data.stat()
    except OSError as error:
        raise VaultError(f"{data}: expected a data file, got: {error.strerror}") from error
    return reader_of(data)


def _source(connection: duckdb.DuckDBPyConnection, data: Path) -> tuple[str, list[Any], list[str]]:
    """Table expression, its arguments, and the type of each column ("" in a CSV file) by name."""
    if data.suffix.lower() == ".parquet":
        found = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(data)])
        described = [(str(name), str(kind)) for name, kind, *_ in found.description or ()]
        return "read_parquet(?)", [str(data)], [f"{kind} {name}" for name, kind in described]
    names = header_of(data)
    types = dict.fromkeys(names, "VARCHAR")
    if len(types) != len(names) or "" in types:
        raise VaultError(f"{data}: expected each column with a name of its own in the first line")
    options = "auto_detect=false, header=true, delim=',', quote='\"', escape='\"'"
    strict = "strict_mode=true, null_padding=false, ignore_errors=false"
    table = f"read_csv(?, columns=?, {options}, {strict})"
    return table, [str(data), types], [f" {name}" for name in names]


def _look(connection: duckdb.DuckDBPyConnection, data: Path) -> tuple[int, list[_Seen]]:
    table, arguments, columns = _source(connection, data)
    if not 2 <= len(columns) <= MAX_COLUMNS:
        raise VaultError(f"{data}: expected 2 to {MAX_COLUMNS} columns, got {len(columns)}")
    if any(len(column.partition(" ")[2]) > MAX_NAME_CHARS for column in columns):
        raise VaultError(
            f"{data}: expected names of columns of at most {MAX_NAME_CHARS} characters"
        )
    count = connection.execute(f"SELECT count(*) FROM {table}", arguments).fetchone()  # noqa: S608
    rows = int(count[0]) if count else 0
    if not 1 <= rows <= MAX_ROWS:
        raise VaultError(f"{data}: expected 1 to {MAX_ROWS} rows, got {rows}")
    few = max(1, MAX_CELLS // len(columns))
    sample = f"SELECT * FROM {table} LIMIT {few}"  # noqa: S608 our own words
    found = connection.execute(sample, arguments).fetchall()
    cells = zip(columns, zip(*found, strict=True), strict=True)
    return rows, [_read(column, values) for column, values in cells]


def _read(column: str, values: Sequence[Any]) -> _Seen:
    """What a column's first values are."""
    kind, _, name = column.partition(" ")
    if not kind:
        values = [None if value is None else value.strip() or None for value in values]
    filled = [value for value in values if value is not None]
    distinct = set(map(str, filled))
    type = _type(kind, filled)
    seen = _Seen(name, type, len(values) - len(filled), len(distinct))
    if type != "integer":
        return seen
    numbers = [int(value) for value in distinct]
    return replace(seen, least=min(numbers), most=max(numbers))


def _type(kind: str, filled: Sequence[Any]) -> str:
    if kind in _INTEGERS or (not kind and filled and all(map(_WHOLE.fullmatch, filled))):
        return "integer" if filled else ""
    if kind in ("FLOAT", "DOUBLE") or (not kind and filled and all(map(_NUMBER.fullmatch, filled))):
        return "float"
    return "string" if kind in ("", "VARCHAR") else ""


def _label(data: Path, seen: Sequence[_Seen]) -> _Seen:
    fit = [one for one in seen if one.can_be_label and not _PERSON.search(one.name.lower())]
    if not fit:
        raise VaultError(
            f"{data}: expected a column to predict, of 2 to {MAX_CLASSES} words or of the integers "
            "0, 1, ... without a gap, got none; write the product file by hand"
        )
    named = [one for one in fit if _TARGET.search(one.name.lower())]
    return (named or fit)[-1]


def _classes(connection: duckdb.DuckDBPyConnection, data: Path, label: _Seen) -> tuple[str, ...]:
    """All values of the label, of the whole file."""
    table, arguments, _ = _source(connection, data)
    cell = '"' + label.name.replace('"', '""') + '"'
    some = f"SELECT DISTINCT CAST({cell} AS VARCHAR) FROM {table}"  # noqa: S608 a quoted name
    query = f"{some} WHERE trim(CAST({cell} AS VARCHAR)) <> '' LIMIT {MAX_CLASSES + 1}"
    found = [str(value) for (value,) in connection.execute(query, arguments).fetchall()]
    if label.type == "integer":
        found = sorted(
            {str(int(value)) for value in found if _WHOLE.fullmatch(value.strip())}, key=int
        )
        expected = [str(number) for number in range(len(found))]
    else:
        expected = found = sorted(found)
    if len(found) > MAX_CLASSES or found != expected:
        raise VaultError(
            f"{data}: column {label.name!r}: expected at most {MAX_CLASSES} values to predict, "
            "integers without a gap from 0 on, got others; write the product file by hand"
        )
    return tuple(found)


def _guess(seen: _Seen, label: _Seen) -> Guess:
    role, why = _role(seen, label)
    if seen.empty:
        why += f"; {seen.empty} of the rows looked at have no value"
    column = Column.from_json({"name": seen.name, "type": seen.type or "string", "role": role})
    return Guess(column, why)


def _role(seen: _Seen, label: _Seen) -> tuple[str, str]:
    if seen is label:
        return "label", f"it has {seen.distinct} different values"
    if _PERSON.search(seen.name.lower()):
        return "ignored", "its name says that it may tell who somebody is"
    if seen.type in ("float", "integer"):
        return "feature", f"all its values are {seen.type}s"
    if seen.type == "string":
        return "ignored", "it holds text"
    return "ignored", "it holds neither numbers nor text"
