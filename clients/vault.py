"""The vault: reads a data product where it lies and commits to what was read.

Types are those of the product file: nothing is guessed, and a cell that does not read as its type
refuses the whole product. An error names file, column and row (the first row of data is row 1) but
never a cell's value, since refusals travel. The data file is the only one that the reader may open.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from clients.errors import VaultError
from clients.product import Product
from clients.sdk import Rows
from policies.statements import Column

MAX_ROWS: Final = 50_000_000
MAX_HEADER_BYTES: Final = 1 << 20
MIN_SALT_BYTES: Final = 16

_NUMBER: Final = {
    "float": r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?",
    "integer": r"[+-]?\d+",
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

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class OpenProduct:
    """What was read; the arrays cannot be written to.

    Attributes:
        features: float32 [n, d].
        labels: int64 [n], indices into the product's classes.
        held_back: bool [n]; true rows are for evaluation only.
        product_commitment: SHA-256(salt || file bytes), hexadecimal.
    """

    features: Floats
    labels: Integers
    held_back: Mask
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    product_commitment: str
    salt: bytes = field(repr=False)

    def training_indices(self) -> Integers:
        """The rows that an app may train on, ascending."""
        return np.flatnonzero(~self.held_back).astype(np.int64)

    def rows(self) -> Rows:
        """The rows as apps see them."""
        return Rows(
            features=_frozen(self.features[~self.held_back]),
            labels=_frozen(self.labels[~self.held_back]),
            held_out_features=_frozen(self.features[self.held_back]),
            held_out_labels=_frozen(self.labels[self.held_back]),
            feature_names=self.feature_names,
            classes=self.classes,
        )

    def rows_commitment(self, indices: Integers) -> str:
        """SHA-256(salt || the indices as little-endian uint64), hexadecimal."""
        return hashlib.sha256(self.salt + indices.astype("<u8").tobytes()).hexdigest()


class Vault:
    """Open products, read again only when the file's time, size or inode changed."""

    def __init__(self, *, salt: bytes) -> None:
        self._salt = salt
        self._open: dict[Product, tuple[Stamp, OpenProduct]] = {}

    def open(self, product: Product) -> OpenProduct:
        """As `open_product`."""
        stamp = _stamp(product.data)
        known = self._open.get(product)
        if known is not None and known[0] == stamp:
            return known[1]
        fresh = open_product(product, salt=self._salt)
        self._open[product] = (stamp, fresh)
        return fresh


def open_product(product: Product, *, salt: bytes) -> OpenProduct:
    """Read the product's file whole.

    Args:
        product: which file and columns.
        salt: the node's secret for commitments, at least 16 bytes; it also decides which rows are
            held back, so that the split is the same after a restart.

    Raises:
        VaultError: the file is missing, empty, too long, changed meanwhile, or not as declared.
    """
    if len(salt) < MIN_SALT_BYTES:
        raise VaultError(f"salt: expected at least {MIN_SALT_BYTES} bytes, got {len(salt)}")
    before = _stamp(product.data)
    commitment = _commit(product.data, salt)
    columns = _read(product)
    if _stamp(product.data) != before:
        raise VaultError(f"{product.data}: changed while it was read; run the round again")
    labels = columns.pop(product.label.name).astype(np.int64)
    features = np.empty((labels.size, len(columns)), dtype=np.float32)
    for position, values in enumerate(columns.values()):
        features[:, position] = values
    return OpenProduct(
        features=_frozen(features),
        labels=_frozen(labels),
        held_back=_frozen(_held_back(labels.size, float(product.held_back), salt)),
        feature_names=tuple(column.name for column in product.features),
        classes=product.classes,
        product_commitment=commitment,
        salt=salt,
    )


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise VaultError(f"{path}: expected a data file, got: {error.strerror}") from error
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _commit(path: Path, salt: bytes) -> str:
    digest = hashlib.sha256(salt)
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise VaultError(f"{path}: expected a readable file, got: {error.strerror}") from error
    return digest.hexdigest()


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array


def _held_back(rows: int, share: float, salt: bytes) -> Mask:
    """Row i is held back when the i-th word of a keyed stream falls below the share.

    A row's word depends on salt and index only, so rows appended later do not move the others. The
    stream is AES-128-CTR under a key derived by HMAC-SHA-256: one HMAC a row would take minutes.
    """
    if share == 0 or rows == 0:
        return np.zeros(rows, dtype=np.bool_)
    key = hmac.digest(salt, b"tds held back rows", "sha256")[:16]
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(4 * rows))
    words = np.frombuffer(stream, dtype="<u4")
    mask: Mask = words < np.uint32(share * 2**32)
    if rows >= 2 and not mask.any():
        mask[int(words.argmin())] = True
    if mask.all():
        mask[int(words.argmax())] = False
    return mask


# -- reading -----------------------------------------------------------------------------------


def _read(product: Product) -> dict[str, npt.NDArray[Any]]:
    """The used columns by name, in the product file's order, every value checked."""
    path = product.data
    used = [column for column in product.columns if column.role != "ignored"]
    connection = _reader(path)
    try:
        source, arguments = _source(connection, product)
        typed = path.suffix.lower() == ".parquet"
        selected = ", ".join(
            f"{_expression(column, product, typed=typed)} AS c{place}"
            for place, column in enumerate(used)
        )
        labels = list(product.classes) if product.label.type == "string" else []
        query = f"SELECT {selected} FROM {source} LIMIT {MAX_ROWS + 1}"  # noqa: S608 quoted names
        found = connection.execute(query, [*labels, *arguments]).fetchnumpy()
    except duckdb.Error as error:
        # Its text quotes the line: the number is kept, the rest and the chain are dropped.
        line = re.search(r"Line: (\d+)", str(error))
        place_text = f"line {line[1]} is not one" if line else "something else"
        raise VaultError(
            f"{path}: expected {path.suffix[1:].upper()} rows with as many cells as the header, "
            f"got: {place_text}"
        ) from None
    finally:
        connection.close()
    count = len(found["c0"])
    if not 1 <= count <= MAX_ROWS:
        got = "none" if count == 0 else "more"
        raise VaultError(f"{path}: expected 1 to {MAX_ROWS} rows of data, got {got}")
    return {
        column.name: _checked(found[f"c{place}"], column, product)
        for place, column in enumerate(used)
    }


def _reader(path: Path) -> duckdb.DuckDBPyConnection:
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
    names = _header(path)
    _check_names(product, names)
    options = "auto_detect=false, header=true, delim=',', quote='\"', escape='\"'"
    strict = "strict_mode=true, null_padding=false, ignore_errors=false"
    return f"read_csv(?, columns=?, {options}, {strict})", [
        str(path),
        dict.fromkeys(names, "VARCHAR"),
    ]


def _header(path: Path) -> list[str]:
    """Column names of a CSV file's first line."""
    with path.open("rb") as file:
        line = file.readline(MAX_HEADER_BYTES)
    if not line.strip():
        raise VaultError(f"{path}: expected a header line, got an empty file")
    try:
        return next(csv.reader(io.StringIO(line.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise VaultError(
            f"{path}: expected a header line in UTF-8 of at most {MAX_HEADER_BYTES} bytes"
        ) from error


def _check_names(product: Product, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise VaultError(f"{product.data}: expected each column name once, got one twice")
    for column in product.columns:
        if column.name not in names:
            raise VaultError(
                f"{product.data}: expected the column {column.name!r}, got none of that name; "
                "correct the product file or the data's header"
            )


def _expression(column: Column, product: Product, *, typed: bool) -> str:
    """SQL for one column; what does not read as its type becomes NULL."""
    name = '"' + column.name.replace('"', '""') + '"'
    if column.role == "label" and column.type == "string":
        cases = " ".join(f"WHEN ? THEN {place}" for place in range(len(product.classes)))
        return f"CASE {name} {cases} END"
    cast = f"TRY_CAST(trim({name}) AS {_CAST[column.type]})"
    if typed:
        cast = f"TRY_CAST({name} AS {_CAST[column.type]})"
    else:
        # The engine's own casts would take 1_000, round 1.5 to an integer, and read "inf".
        pattern = _NUMBER[column.type]
        cast = f"CASE WHEN regexp_full_match(trim({name}), '{pattern}') THEN {cast} END"
    if column.role == "label":
        return f"CASE WHEN {cast} BETWEEN 0 AND {len(product.classes) - 1} THEN {cast} END"
    return cast


def _checked(values: npt.NDArray[Any], column: Column, product: Product) -> npt.NDArray[Any]:
    bad = np.ma.getmaskarray(values)
    plain = np.ma.getdata(values)
    if plain.dtype.kind == "f":
        bad = bad | ~np.isfinite(plain)
    if bad.any():
        wanted = (
            "one of the product's classes" if column.role == "label" else f"a finite {column.type}"
        )
        raise VaultError(
            f"{product.data}: column {column.name!r}, row {int(bad.argmax()) + 1}: expected "
            f"{wanted}, got something else; correct the data or declare the column otherwise"
        )
    return plain
