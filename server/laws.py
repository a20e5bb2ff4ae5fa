"""The space's baseline of law: a folder of the operator's, adopted word for word in the log.

What decides is what the log adopted last. Whoever changes the folder and starts governance again
has it adopt the new text, which everybody who reads the log can see.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from policies.baseline import Baseline, baseline_digest, parse_baseline, parse_baselines
from policies.canonical import Json, sha256_hex
from policies.entries import entry_bytes
from policies.errors import DocumentError, PolicyError
from policies.fields import instant
from server import queries
from server.errors import SpaceError
from server.files import read_file, write_public
from server.journal import Journal

SUFFIX: Final = ".jsonld"
Texts = Mapping[str, str]  # file name -> its text, word for word


@dataclass(frozen=True, slots=True)
class Adopted:
    """The baseline in force.

    Attributes:
        laws: sorted by name.
        digest: of them all (`policies.law.baseline_digest`); each decision names it.
        entry: log index of its adoption.
    """

    laws: tuple[Baseline, ...]
    digest: str
    entry: int


def default_laws() -> dict[str, str]:
    """The baseline that comes with this distribution, by file name."""
    folder = importlib.resources.files("policies.baseline")
    found = sorted(folder.iterdir(), key=lambda one: one.name)
    return {one.name: one.read_text("utf-8") for one in found if one.name.endswith(SUFFIX)}


def read_laws(folder: Path) -> dict[str, str]:
    """A baseline from a folder that holds nothing else, by file name.

    Raises:
        SpaceError: no such folder, no law in it, another file, or one that is no law; a law that
            was left out by mistake would forbid nothing.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise SpaceError(
            f"{folder}: expected a folder with a baseline of law, got {error.strerror}"
        ) from error
    texts: dict[str, str] = {}
    for path in paths:
        if path.suffix != SUFFIX or not path.is_file():
            raise SpaceError(f"{path}: expected only files *{SUFFIX} in a baseline; move it away")
        texts[path.name] = _decoded(path)
    if not texts:
        raise SpaceError(f"{folder}: expected at least one law (*{SUFFIX}), got none")
    _parsed(texts, str(folder))
    return texts


def parse_laws(texts: Texts) -> tuple[Baseline, ...]:
    """The laws, sorted by name; SpaceError as `read_laws`."""
    return tuple(sorted(_parsed(texts, "baseline").values(), key=lambda law: law.name))


def write_laws(folder: Path, texts: Texts) -> None:
    """Into a folder that holds none of them yet.

    Raises:
        SpaceError: a file is in the way, or cannot be written.
    """
    for name, text in texts.items():
        write_public(folder / name, text.encode())


def adopt(journal: Journal, texts: Texts, *, clock: Callable[[], datetime]) -> Adopted:
    """The baseline that the log adopted last, after adopting this one if it is another.

    Raises:
        SpaceError: it is too large for a log entry.
        Unavailable: the log cannot be written or read.
    """
    with journal.writing():
        with journal.reading() as connection:
            before = queries.baseline(connection)
        if before is None or _documents_of(before.documents) != dict(texts):
            key = f"baseline:{before.entry if before else 0}:{_folder_digest(texts)}"
            journal.commit([_entry(texts, clock())], key=key)
        with journal.reading() as connection:
            return adopted(connection)


def adopted(connection: Connection) -> Adopted:
    """The baseline in force; `adopt` was called before."""
    row = queries.baseline(connection)
    assert row is not None
    laws = _parsed(_documents_of(row.documents), f"log entry {row.entry}")
    in_order = tuple(sorted(laws.values(), key=lambda law: law.name))
    return Adopted(laws=in_order, digest=row.digest, entry=row.entry)


def _entry(texts: Texts, now: datetime) -> bytes:
    laws = _parsed(texts, "baseline")
    documents: list[Json] = [
        {
            "file": name,
            "name": law.name,
            "title": law.title,
            "version": law.version,
            "source": law.source,
            "digest": law.digest,
            "document": texts[name],
        }
        for name, law in sorted(laws.items())
    ]
    body: dict[str, Json] = {"digest": baseline_digest(laws.values()), "documents": documents}
    try:
        return entry_bytes("BaselineAdopted", time=instant(now), body=body)
    except DocumentError as error:
        raise SpaceError(f"baseline: {error}; make its documents shorter") from error


def _parsed(texts: Texts, where: str) -> dict[str, Baseline]:
    """The laws by file name; together they are a baseline."""
    laws: dict[str, Baseline] = {}
    for name, text in texts.items():
        try:
            laws[name] = parse_baseline(text.encode())
        except PolicyError as error:
            raise SpaceError(f"{where}: {name}: {error}") from error
    try:
        parse_baselines(text.encode() for text in texts.values())
    except PolicyError as error:
        raise SpaceError(f"{where}: {error}") from error
    return laws


def _decoded(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpaceError(f"{path}: expected UTF-8, got byte {error.start} that is not") from error


def _documents_of(documents: str) -> dict[str, str]:
    return {str(one["file"]): str(one["document"]) for one in json.loads(documents)}


def _folder_digest(texts: Texts) -> str:
    return sha256_hex(json.dumps(sorted(texts.items())).encode())
