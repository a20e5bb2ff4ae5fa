"""A product file to start from, guessed from the data; its owner reads and corrects it.

Every guess comes with its reason. What is not sure is guessed so that nothing leaves by mistake: a
column that may name somebody is ignored and makes the product personal information; a column of
text is no feature. Nothing is registered here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from clients.draft_tables import VALUE, Table, file_table, source_table
from clients.errors import VaultError
from clients.source import Source
from clients.tablefile import MAX_ROWS
from policies.canonical import Json
from policies.statements import Column

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
    """What was guessed of the data.

    Attributes:
        classes: the label's values in order.
        personal: whether a column may name somebody.
    """

    rows: int
    guesses: tuple[Guess, ...]
    classes: tuple[str, ...]
    personal: bool

    def product(self, *, id: str, title: str, where: Mapping[str, Json]) -> dict[str, object]:
        """The product file (clients.product), as JSON to be written.

        Args:
            where: the data, as the product file says it: `path`, `source`, `image`, `audio`.
        """
        return {
            "version": 1,
            "id": id,
            "title": title,
            **where,
            "columns": [guess.column.to_json() for guess in self.guesses],
            "classes": list(self.classes),
            "held_back": "0.2",
            "modality": next((one for one in ("image", "audio") if one in where), "tabular"),
            "classification": "general",
            "personal_information": self.personal,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """What a column's first values are; `type` is "" where it can be declared as nothing."""

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
    """Guess what the columns of a CSV, JSON Lines or Parquet file are.

    Raises:
        VaultError: no such file, no table, or no column that could be a label; no cell's value.
    """
    with file_table(data) as table:
        return draft_of_table(table, data)


def draft_of_source(source: Source, where: Path) -> Draft:
    """Guess what the columns of a source's query are; of its key, none is an app's.

    Args:
        where: for messages.

    Raises:
        VaultError: as `draft_of`, and where the source cannot be read.
    """
    with source_table(source, where) as table:
        return draft_of_table(table, where, without=source.key)


def draft_of_table(table: Table, where: Path, *, without: Sequence[str] = ()) -> Draft:
    """As `draft_of`, of a table that is open.

    Args:
        without: columns that the draft leaves out.
    """
    rows, found = look(table, where)
    seen = [one for one in found if one.name not in without]
    label = label_of(where, seen)
    classes = _classes(table, where, label)
    guesses = tuple(_guess(one, label) for one in seen)
    return Draft(rows, guesses, classes, any(map(names_somebody, found)))


def look(table: Table, where: Path) -> tuple[int, list[Seen]]:
    """How many rows there are, and what each column's first values are.

    Raises:
        VaultError: too few or too many rows or columns.
    """
    columns = table.columns
    if not 2 <= len(columns) <= MAX_COLUMNS:
        raise VaultError(f"{where}: expected 2 to {MAX_COLUMNS} columns, got {len(columns)}")
    if any(len(name) > MAX_NAME_CHARS for _, name in columns):
        raise VaultError(
            f"{where}: expected names of columns of at most {MAX_NAME_CHARS} characters"
        )
    rows = table.count()
    if not 1 <= rows <= MAX_ROWS:
        raise VaultError(f"{where}: expected 1 to {MAX_ROWS} rows, got {rows}")
    found = table.first(max(1, MAX_CELLS // len(columns)))
    cells = zip(columns, zip(*found, strict=True), strict=True)
    return rows, [_read(kind, name, values) for (kind, name), values in cells]


def names_somebody(seen: Seen) -> bool:
    """Whether the column may name somebody."""
    return _PERSON.search(seen.name.lower()) is not None


def _read(kind: str, name: str, values: Sequence[Any]) -> Seen:
    if not kind:
        values = [None if value is None else value.strip() or None for value in values]
    filled = [value for value in values if value is not None]
    distinct = set(map(str, filled))
    type = _type(kind, filled)
    seen = Seen(name, type, len(values) - len(filled), len(distinct))
    if type != "integer":
        return seen
    numbers = [int(value) for value in distinct]
    return replace(seen, least=min(numbers), most=max(numbers))


def _type(kind: str, filled: Sequence[Any]) -> str:
    if kind == VALUE:
        return _type_of_values(filled)
    if kind in _INTEGERS or (not kind and filled and all(map(_WHOLE.fullmatch, filled))):
        return "integer" if filled else ""
    if kind in ("FLOAT", "DOUBLE") or (not kind and filled and all(map(_NUMBER.fullmatch, filled))):
        return "float"
    return "string" if kind in ("", "VARCHAR") else ""


def _type_of_values(filled: Sequence[Any]) -> str:
    kinds = set(map(type, filled))
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in filled):
        return "integer"
    if kinds and kinds <= {int, float, Decimal}:
        return "float"
    return "string" if kinds == {str} else ""


def label_of(where: Path, seen: Sequence[Seen]) -> Seen:
    """The column that is most likely what is to be predicted.

    Raises:
        VaultError: there is none.
    """
    fit = [one for one in seen if one.can_be_label and not names_somebody(one)]
    if not fit:
        raise VaultError(
            f"{where}: expected a column to predict, of 2 to {MAX_CLASSES} words or of the "
            "integers 0, 1, ... without a gap, got none; write the product file by hand"
        )
    named = [one for one in fit if _TARGET.search(one.name.lower())]
    return (named or fit)[-1]


def _classes(table: Table, where: Path, label: Seen) -> tuple[str, ...]:
    """All values of the label, of the whole table."""
    found = [str(value) for value in table.values(label.name, MAX_CLASSES + 2)]
    found = [value for value in found if value.strip()]
    if label.type == "integer":
        found = sorted(
            {str(int(value)) for value in found if _WHOLE.fullmatch(value.strip())}, key=int
        )
        expected = [str(number) for number in range(len(found))]
    else:
        expected = found = sorted(found)
    if len(found) > MAX_CLASSES or found != expected:
        raise VaultError(
            f"{where}: column {label.name!r}: expected at most {MAX_CLASSES} values to predict, "
            "integers without a gap from 0 on, got others; write the product file by hand"
        )
    return tuple(found)


def _guess(seen: Seen, label: Seen) -> Guess:
    role, why = _role(seen, label)
    if seen.empty:
        why += f"; {seen.empty} of the rows looked at have no value"
    column = Column.from_json({"name": seen.name, "type": seen.type or "string", "role": role})
    return Guess(column, why)


def _role(seen: Seen, label: Seen) -> tuple[str, str]:
    if seen is label:
        return "label", f"it has {seen.distinct} different values"
    if names_somebody(seen):
        return "ignored", "its name says that it may tell who somebody is"
    if seen.type in ("float", "integer"):
        return "feature", f"all its values are {seen.type}s"
    if seen.type == "string":
        return "ignored", "it holds text"
    return "ignored", "it holds neither numbers nor text"
