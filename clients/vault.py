"""The vault: reads a data product where it lies and commits to what was read.

An error names file, column and row (the first row of data is row 1) but never a cell's value: it is
for the owner's eyes and the node's logger, and travels as a fixed sentence only (clients.refusals).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from clients.consent import Subjects
from clients.errors import VaultError
from clients.media_reader import media_stamp, read_media
from clients.product import Product
from clients.sdk import Rows
from clients.source_reader import BATCH_ROWS, read_batches
from clients.tablefile import MAX_ROWS, UNREAD, read_columns
from policies.canonical import canonical_bytes

MIN_SALT_BYTES: Final = 16

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class OpenProduct:
    """What was read; the arrays cannot be written to.

    Attributes:
        rows: as apps see them.
        held_back: bool [n], in the file's order; true rows are for evaluation only.
        product_commitment: SHA-256(salt || file bytes), hexadecimal; of a database, SHA-256(salt ||
            the batches' bytes), as `_from_source` lays them out; of files, as
            `clients.media_reader.MediaRows` has it.
        subjects: whose rows these are; None if the product does not say.
    """

    rows: Rows
    held_back: Mask
    product_commitment: str
    salt: bytes = field(repr=False)
    subjects: Subjects | None = None

    @property
    def count(self) -> int:
        """How many rows the file has."""
        return len(self.held_back)


class Vault:
    """Open products, read again only when a file's time, size or inode changed."""

    def __init__(self, *, salt: bytes) -> None:
        self._salt = salt
        self._open: dict[Product, tuple[object, OpenProduct]] = {}

    def open(self, product: Product) -> OpenProduct:
        """As `open_product`."""
        if product.source is not None:  # whether a database changed, only reading tells
            return open_product(product, salt=self._salt)
        stamp = _stamp(product.data) if product.media is None else media_stamp(product)
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
    if product.media is not None:
        return _from_media(product, salt)
    read = _from_file if product.source is None else _from_source
    columns, commitment = read(product, salt)
    subjects = None
    if product.subject is not None:
        subjects = Subjects.of(columns.pop(product.subject.name))
    labels = columns.pop(product.label.name).astype(np.int64)
    held_back = _held_back(labels.size, float(product.held_back), salt)
    features = list(columns.values())
    return OpenProduct(
        rows=Rows(
            features=_frozen(_matrix(features, ~held_back)),
            labels=_frozen(labels[~held_back]),
            held_out_features=_frozen(_matrix(features, held_back)),
            held_out_labels=_frozen(labels[held_back]),
            feature_names=tuple(column.name for column in product.features),
            classes=product.classes,
        ),
        held_back=_frozen(held_back),
        product_commitment=commitment,
        salt=salt,
        subjects=subjects,
    )


def _from_media(product: Product, salt: bytes) -> OpenProduct:
    share = float(product.held_back)
    read = read_media(product, salt=salt, split=lambda rows: _held_back(rows, share, salt))
    held_back = read.held_back
    return OpenProduct(
        rows=Rows(
            features=_frozen(read.features),
            labels=_frozen(read.labels[~held_back]),
            held_out_features=_frozen(read.held_out),
            held_out_labels=_frozen(read.labels[held_back]),
            feature_names=tuple(column.name for column in product.features),
            classes=product.classes,
        ),
        held_back=_frozen(held_back),
        product_commitment=read.commitment,
        salt=salt,
        subjects=None if read.subjects is None else Subjects.of(read.subjects),
    )


def _from_file(product: Product, salt: bytes) -> tuple[dict[str, npt.NDArray[Any]], str]:
    before = _stamp(product.data)
    commitment = _commit(product.data, salt)
    columns = read_columns(product)
    if _stamp(product.data) != before:
        raise VaultError(f"{product.data}: changed while it was read; run the round again")
    return columns, commitment


def _from_source(product: Product, salt: bytes) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """Committed to are a line of JSON (columns with their types, classes, rows in a block), then
    block by block of rows in the key's order, of each column its values: float32 or int64, little
    endian, a label the number of its class, subjects a JSON list.
    """
    used = [column for column in product.columns if column.role not in UNREAD]
    head = {
        "columns": [[column.name, column.type] for column in used],
        "classes": list(product.classes),
        "block_rows": BATCH_ROWS,
    }
    digest = hashlib.sha256(salt + canonical_bytes(head) + b"\n")
    parts: list[list[npt.NDArray[Any]]] = [[] for _ in used]
    for _, cells in read_batches(product, used, max_rows=MAX_ROWS):
        for part, values in zip(parts, cells, strict=True):
            if values.dtype == np.object_:
                digest.update(canonical_bytes(values.tolist()))
            else:
                digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
            part.append(values)
    columns = {}
    for column in used:
        columns[column.name] = np.concatenate(parts.pop(0))
    return columns, digest.hexdigest()


def _matrix(columns: Sequence[npt.NDArray[Any]], chosen: Mask) -> Floats:
    """The chosen rows [n, d]."""
    matrix = np.empty((int(chosen.sum()), len(columns)), dtype=np.float32)
    for place, values in enumerate(columns):
        matrix[:, place] = values[chosen]
    return matrix


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
