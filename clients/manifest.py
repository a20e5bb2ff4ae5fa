"""A manifest: which files are a product's rows, each with its label; read strictly and whole.

Lines are numbered as they stand in the file, from 1, a CSV's header included. No text holds a
cell's value but for a file's path, which is for the owner's eyes (clients.vault).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from clients.cells import WANTED, is_subject
from clients.errors import FileRefused, VaultError
from clients.files import read_file
from clients.product import Product
from policies.canonical import sha256_hex
from policies.statements import Column

MAX_MANIFEST_BYTES: Final = 1 << 28
MAX_FILES: Final = 1_000_000
MAX_PATH_CHARS: Final = 1024
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Cells = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Listed:
    """One line.

    Attributes:
        path: of the file, below the product's folder; relative, without "..".
        label: the number of its class.
        subject: whose it is; "" if the product does not say.
        sha256: of the file, hexadecimal; "" if the product does not say.
    """

    line: int
    path: str
    label: int
    subject: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """A manifest that was read.

    Attributes:
        digest: SHA-256 of the file.
        missing: of every declared column, which lines lack a value.
    """

    digest: str
    files: tuple[Listed, ...]
    missing: dict[str, npt.NDArray[np.bool_]]


def read_manifest(product: Product) -> Manifest:
    """The manifest of a product of files.

    Raises:
        VaultError: absent, too large, or a line that is not as declared.
    """
    path = product.data
    try:
        data = read_file(path, max_bytes=MAX_MANIFEST_BYTES)
        text = data.decode("utf-8-sig")
    except FileRefused as error:
        raise VaultError(str(error)) from None
    except UnicodeDecodeError:
        raise VaultError(f"{path}: expected a manifest in UTF-8, got something else") from None
    lines = _objects(text, product) if path.suffix.lower() == ".jsonl" else _table(text, product)
    files: list[Listed] = []
    empty: dict[str, list[bool]] = {column.name: [] for column in product.columns}
    for line, cells in lines:
        if len(files) == MAX_FILES:
            raise VaultError(f"{path}: expected at most {MAX_FILES} files, got more")
        files.append(_listed(line, cells, product))
        for name, gaps in empty.items():
            gaps.append(cells.get(name) in (None, ""))
    if not files:
        raise VaultError(f"{path}: expected a line for each file, got none")
    missing = {name: np.array(gaps, dtype=np.bool_) for name, gaps in empty.items()}
    return Manifest(sha256_hex(data), tuple(files), missing)


def _table(text: str, product: Product) -> Iterator[tuple[int, Cells]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) != len(header):
            raise VaultError(f"{product.data}: expected each column name once, got one twice")
        for name in _needed(product):
            if name not in header:
                raise VaultError(f"{product.data}: expected the column {name!r}, got none")
        for cells in reader:
            if len(cells) != len(header):
                raise _bad(product, reader.line_num, "as many cells as the header")
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error:
        raise _bad(product, reader.line_num, "CSV") from None


def _objects(text: str, product: Product) -> Iterator[tuple[int, Cells]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            raise _bad(product, number, "one JSON object with each key once") from None
        if not isinstance(found, dict):
            raise _bad(product, number, "one JSON object with each key once")
        yield number, found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _needed(product: Product) -> list[str]:
    media = product.media
    assert media is not None
    declared = [column.name for column in product.columns]
    return [*declared, media.digest] if media.digest else declared


def _listed(line: int, cells: Cells, product: Product) -> Listed:
    media, subject = product.media, ""
    assert media is not None
    if product.subject is not None:
        subject = _subject(line, cells, product, product.subject)
    sha256 = ""
    if media.digest:
        sha256 = str(cells.get(media.digest, ""))
        if not _SHA256.fullmatch(sha256):
            wanted = f"column {media.digest!r}: a SHA-256 of 64 small hexadecimal digits"
            raise _bad(product, line, wanted)
    path = _path(line, cells, product)
    return Listed(line, path, _label(line, cells, product), subject, sha256)


def _path(line: int, cells: Cells, product: Product) -> str:
    column = product.features[0]
    text = cells.get(column.name)
    place = PurePosixPath(text) if isinstance(text, str) and len(text) <= MAX_PATH_CHARS else None
    if (
        place is None
        or not place.parts
        or place.is_absolute()
        or ".." in place.parts
        or _CONTROL.search(str(place))
    ):
        wanted = f"column {column.name!r}: a path below the product's folder, without '..'"
        raise _bad(product, line, wanted)
    return str(place)


def _label(line: int, cells: Cells, product: Product) -> int:
    column, value = product.label, cells.get(product.label.name)
    if isinstance(value, str) and column.type == "string" and value in product.classes:
        return product.classes.index(value)
    if column.type == "integer":
        number = _whole(value, product)
        if number is not None and 0 <= number < len(product.classes):
            return number
    raise _bad(product, line, f"column {column.name!r}: {WANTED['label']}")


def _subject(line: int, cells: Cells, product: Product, column: Column) -> str:
    value = cells.get(column.name)
    number = _whole(value, product) if column.type == "integer" else None
    text = value if column.type == "string" else None if number is None else str(number)
    if not isinstance(text, str) or not is_subject(text):
        raise _bad(product, line, f"column {column.name!r}: {WANTED['subject']}")
    return text


def _whole(value: object, product: Product) -> int | None:
    """An integer: a number in JSON Lines, its digits in CSV."""
    if product.data.suffix.lower() == ".jsonl":
        return value if type(value) is int else None
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) else None


def _bad(product: Product, line: int, wanted: str) -> VaultError:
    return VaultError(
        f"{product.data}: line {line}: expected {wanted}, got something else; correct the "
        "manifest or the product file"
    )
