"""A product's source that is a database, or a query over files: which, and what is read of it.

    "source": {"database": "sqlite:///records.db", "table": "visits", "key": ["id"]}
    "source": {"database": "postgresql://reader@db.clinic.example/records?sslmode=verify-full",
               "query": "SELECT id, age, state FROM visits WHERE year >= 2020", "key": ["id"],
               "password_file": "/etc/tdspace/reader"}
    "source": {"files": {"visits": "visits.csv", "labs": "labs.parquet"}, "key": ["id"],
               "query": "SELECT id, age, CAST(sugar AS FLOAT) / 18 AS mmol, state
                         FROM visits JOIN labs USING (id)"}

Rows are read in the order of `key`, whose columns the query yields and which never repeats: only
then is what was read the same each time, and a commitment to it means something. An SQLite file is
below the product file's folder, and so are files, each of which the query knows by its name
(clients.filequery runs it). No URL holds a password: a file of mode 0600 does (`password_file`,
or libpq's passfile), or the environment (libpq's; MYSQL_PWD). `mysql://` is MySQL or MariaDB
(clients.mysql_source).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

from pydantic import Field

from clients.mysql_source import is_mysql_url, parse_mysql_url
from ledger.errors import LedgerError
from ledger.postgres_url import is_postgres_url, parse_postgres_url
from policies.errors import DocumentError
from policies.fields import Document

SQLITE: Final = "sqlite:///"
FILE_SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_QUERY: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_ENDS: Final = (";", "--", "/*", "\0")

Name = Annotated[str, Field(min_length=1, max_length=128)]
FilePath = Annotated[str, Field(min_length=1, max_length=1024)]


class SourceFile(Document):
    """As it stands in a product file."""

    database: Annotated[str, Field(max_length=1024, repr=False)] = ""
    files: Annotated[dict[str, FilePath], Field(max_length=16)] = Field(default_factory=dict)
    query: Annotated[str, Field(max_length=65_536)] = ""
    table: Annotated[str, Field(max_length=128)] = ""
    key: Annotated[list[Name], Field(min_length=1, max_length=16)]
    password_file: Annotated[str, Field(max_length=1024)] = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was checked.

    Attributes:
        sqlite: the database file, absolute; None for a server and for files.
        url: of the server, without a password; "" without one.
        query: one SELECT.
        key: the query's columns that put its rows in order.
        password_file: where the server's password is; None where the driver finds it by itself.
        files: the name that the query has for each data file, and the file, absolute.
    """

    sqlite: Path | None
    url: str
    query: str
    key: tuple[str, ...]
    password_file: Path | None
    files: tuple[tuple[str, Path], ...] = ()


def check_source(content: SourceFile, folder: Path) -> Source:
    """Check a source; nothing is opened.

    Args:
        folder: the product file's.

    Raises:
        DocumentError: the field. Its text shows no part of the database's URL.
    """
    if bool(content.query) == bool(content.table):
        raise DocumentError("$.source", "either query or table", "both or none")
    if content.table and not _TABLE.fullmatch(content.table):
        raise DocumentError("$.source.table", "NAME or SCHEMA.NAME", "something else")
    if content.query and not _QUERY.match(content.query):
        raise DocumentError("$.source.query", "one SELECT", "something else")
    if any(end in content.query for end in _ENDS):
        raise DocumentError("$.source.query", "one SELECT without ';' and comments", "one of them")
    if len(set(content.key)) != len(content.key):
        raise DocumentError("$.source.key", "each column once", "one twice")
    query = content.query or f"SELECT * FROM {content.table}"  # noqa: S608 a name, as checked
    if bool(content.files) == bool(content.database):
        raise DocumentError("$.source", "either database or files", "both or none")
    sqlite, url = (None, "") if content.files else _database(content.database, folder)
    if content.password_file and not url:
        raise DocumentError("$.source.password_file", "none for files of your own", "one")
    secret = folder / content.password_file if content.password_file else None
    files = tuple((name, _file(name, path, folder)) for name, path in content.files.items())
    return Source(sqlite, url, query, tuple(content.key), secret, files)


def _database(text: str, folder: Path) -> tuple[Path | None, str]:
    """The SQLite file, or the server's URL."""
    if text.startswith(SQLITE):
        return folder / _below(text.removeprefix(SQLITE)), ""
    if is_postgres_url(text):
        return None, _postgres(text)
    if is_mysql_url(text):
        parse_mysql_url(text)
        return None, text
    expected = f"{SQLITE}FILE, or postgresql:// or mysql://USER@HOST/DATABASE"
    raise DocumentError("$.source.database", expected, "another form")


def _file(name: str, text: str, folder: Path) -> Path:
    place = PurePosixPath(text)
    if not _NAME.fullmatch(name):
        expected = "names of letters, digits and _"
        raise DocumentError("$.source.files", expected, repr(name)[:80])
    if place.is_absolute() or ".." in place.parts or "\0" in text:
        expected = "files below the product file's folder"
        raise DocumentError(f"$.source.files.{name}", expected, repr(text)[:80])
    if place.suffix.lower() not in FILE_SUFFIXES:
        expected = f"a file ending in {' or '.join(FILE_SUFFIXES)}"
        raise DocumentError(f"$.source.files.{name}", expected, repr(place.name)[:80])
    return folder / place


def _below(text: str) -> str:
    place = PurePosixPath(text)
    if not text or place.is_absolute() or ".." in place.parts or set(text) & set("?#\0"):
        raise DocumentError(
            "$.source.database", f"{SQLITE}FILE below the product file's folder", "another place"
        )
    return text


def _postgres(text: str) -> str:
    if "schema=" in text:
        raise DocumentError("$.source.database", "the schema in the query, not the URL", "one here")
    try:  # libpq's own defaults count when it is opened, and are checked there
        parsed = parse_postgres_url(text, {"dbname": "checked when opened"})
    except LedgerError as error:
        raise DocumentError("$.source.database", "a PostgreSQL URL", str(error)) from None
    return parsed.connect.render_as_string()
