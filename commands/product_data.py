"""The data that `tds product add` drafts a product file from: a table, files, or a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from clients.draft import Draft, draft_of, draft_of_source
from clients.draft_media import draft_of_media
from clients.draft_tables import FILE_SUFFIXES
from clients.source import SourceFile, check_source
from commands.errors import BadInput
from policies.canonical import Json
from policies.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was guessed.

    Attributes:
        where: the data, as the product file says it.
        more: what else was looked at, in words; "" is nothing.
    """

    draft: Draft
    where: dict[str, Json]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """Data to guess from.

    Attributes:
        place: the data file, or the name of a source; drafts lie beside it and begin as it does.
        draft: looks at the data; raises VaultError if it cannot be read, or holds nothing to
            predict.
    """

    place: Path
    draft: Callable[[], Drafted]


def is_data(file: Path) -> bool:
    """Whether this is data to guess from, and no product file."""
    return file.suffix.lower() in FILE_SUFFIXES


def file_data(file: Path) -> Data:
    """A table in a file."""
    return Data(file, lambda: Drafted(draft_of(file), {"path": file.name}))


def folder_data(manifest: Path, folder: Path) -> Data:
    """A folder of images or recordings that a manifest lists.

    Raises:
        BadInput: the folder is not below the manifest's.
    """
    here = manifest.resolve().parent
    if folder.resolve() == here or not folder.resolve().is_relative_to(here):
        raise BadInput(f"--folder: expected a folder below {here}, got {folder}")
    below = folder.resolve().relative_to(here).as_posix()

    def draft() -> Drafted:
        found = draft_of_media(manifest, folder)
        form: dict[str, Json] = {**found.form, "folder": below}
        return Drafted(found.draft, {"path": manifest.name, found.modality: form}, found.why)

    return Data(manifest, draft)


def source_data(
    *,
    database: str,
    files: Sequence[str],
    table: str,
    query: str,
    key: Sequence[str],
    password_file: str,
) -> Data:
    """A database, or a query over files (`NAME=FILE`), as seen from the current folder.

    Raises:
        BadInput: the source's form; the text shows no part of a database's URL.
    """
    named = dict(one.partition("=")[::2] for one in files)
    if len(named) != len(files) or not all(named.values()):
        raise BadInput("--file: expected NAME=FILE, each name once, got something else")
    if not key:
        raise BadInput("--key: expected the columns that put the rows in order, got none")
    said: dict[str, Json] = {
        "database": database,
        "files": cast(Json, named),
        "table": table,
        "query": query,
        "key": list(key),
        "password_file": password_file,
    }
    content: dict[str, Json] = {name: value for name, value in said.items() if value}
    place = Path(table.replace(".", "-") or "query")
    try:
        source = check_source(SourceFile.from_json(content), Path.cwd())
    except DocumentError as error:
        raise BadInput(f"source: {error}") from error
    return Data(place, lambda: Drafted(draft_of_source(source, place), {"source": content}))
