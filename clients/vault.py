"""The vault: reads a data product where it lies and commits to what was read.

An error names file, column and row (the first row of data is row 1) but never a cell's value: it is
for the owner's eyes and the node's logger, and travels as a fixed sentence only (clients.refusals).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from clients.consent import SubjectColumn, Subjects
from clients.errors import VaultError
from clients.media_reader import media_stamp, read_media
from clients.product import Product
from clients.rowfile import MappedRows, RowTable, split
from clients.source_reader import BATCH_ROWS, read_batches
from clients.tablefile import MAX_ROWS, UNREAD, read_table
from policies.canonical import canonical_bytes
from policies.statements import Column

MIN_SALT_BYTES: Final = 16
BLOCK_ROWS: Final = 1 << 18

Mask = npt.NDArray[np.bool_]
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class OpenProduct:
    """What was read; nothing of it can be written to.

    Attributes:
        held_back: bool [n], in the file's order; true rows are for evaluation only.
        product_commitment: SHA-256(salt || file bytes), hexadecimal; of a database, SHA-256(salt ||
            the batches' bytes), as `_from_source` lays them out; of files, as
            `clients.media_reader.MediaRows` has it.
        subjects: whose rows these are; None if the product does not say.
    """

    product: Product = field(repr=False)
    table: RowTable = field(repr=False)
    held_back: Mask
    product_commitment: str
    salt: bytes = field(repr=False)
    subjects: Subjects | None = None
    spool: Path | None = None

    @property
    def count(self) -> int:
        """How many rows the file has."""
        return len(self.held_back)

    @property
    def rows(self) -> MappedRows:
        """All of them, as apps see them; a file of its own each time."""
        return self.select(np.ones(self.count, dtype=np.bool_))

    def select(self, mask: Mask) -> MappedRows:
        """Exactly the rows of `mask` [n], as apps see them.

        Raises:
            VaultError: no room for a file of them.
        """
        return split(
            self.table,
            chosen=mask,
            held_back=self.held_back,
            names=tuple(column.name for column in self.product.features),
            classes=self.product.classes,
            folder=self.spool,
        )


class Vault:
    """Open products, read again only when a file's time, size or inode changed.

    Args:
        spool: folder for the files of rows that are too large for memory (clients.rowfile).
    """

    def __init__(self, *, salt: bytes, spool: Path | None = None) -> None:
        self._salt = salt
        self._spool = spool
        self._open: dict[Product, tuple[object, OpenProduct]] = {}

    def open(self, product: Product) -> OpenProduct:
        """As `open_product`."""
        if product.source is not None:  # whether a database changed, only reading tells
            return open_product(product, salt=self._salt, spool=self._spool)
        stamp = _stamp(product.data) if product.media is None else media_stamp(product)
        known = self._open.get(product)
        if known is not None and known[0] == stamp:
            return known[1]
        fresh = open_product(product, salt=self._salt, spool=self._spool)
        self._open[product] = (stamp, fresh)
        return fresh


def open_product(product: Product, *, salt: bytes, spool: Path | None = None) -> OpenProduct:
    """Read the product's rows once, in batches, into a file of this process's own.

    Args:
        product: which file and columns.
        salt: the node's secret for commitments, at least 16 bytes; it also decides which rows are
            held back, so that the split is the same after a restart.
        spool: as `Vault` has it.

    Raises:
        VaultError: the file is missing, empty, too long, changed meanwhile, or not as declared.
    """
    if len(salt) < MIN_SALT_BYTES:
        raise VaultError(f"salt: expected at least {MIN_SALT_BYTES} bytes, got {len(salt)}")
    shape = (len(product.features),) if product.media is None else product.media.shape
    reading = _Reading(product, RowTable(spool, shape))
    if product.media is not None:
        commitment = _from_media(reading, salt)
    elif product.source is not None:
        commitment = _from_source(reading, salt)
    else:
        commitment = _from_file(reading, salt)
    return OpenProduct(
        product=product,
        table=reading.table,
        held_back=_frozen(_held_back(reading.table.count, float(product.held_back), salt)),
        product_commitment=commitment,
        salt=salt,
        subjects=None if reading.subjects is None else reading.subjects.read(),
        spool=spool,
    )


class _Reading:
    """Takes batches apart: features and labels into the table, subjects beside it."""

    def __init__(self, product: Product, table: RowTable) -> None:
        self.product = product
        self.table = table
        self.subjects = None if product.subject is None else SubjectColumn()

    def take(self, cells: Sequence[npt.NDArray[Any]], columns: Sequence[Column]) -> None:
        """The next rows."""
        features = []
        for column, values in zip(columns, cells, strict=True):
            if column.role == "feature":
                features.append(values)
            elif column.role == "label":
                labels = values
            elif self.subjects is not None:
                self.subjects.append(values)
        self.table.append_columns(features, labels)


def _from_media(reading: _Reading, salt: bytes) -> str:
    read = read_media(reading.product, salt=salt, take=reading.table.append)
    if reading.subjects is not None and read.subjects is not None:
        reading.subjects.append(read.subjects)
    return read.commitment


def _from_file(reading: _Reading, salt: bytes) -> str:
    """Read the file, and its digest beside it; both saw the same if its stamp did not change."""
    product = reading.product
    before = _stamp(product.data)
    columns = [column for column in product.columns if column.role not in UNREAD]
    with ThreadPoolExecutor(1, "digest") as pool:
        commitment = pool.submit(_commit, product.data, salt)
        for _, cells in read_table(product):
            reading.take(cells, columns)
        found = commitment.result()
    if _stamp(product.data) != before:
        raise VaultError(f"{product.data}: changed while it was read; run the round again")
    return found


def _from_source(reading: _Reading, salt: bytes) -> str:
    """Committed to are a line of JSON (columns with their types, classes, rows in a block), then
    block by block of rows in the key's order, of each column its values: float32 or int64, little
    endian, a label the number of its class, subjects a JSON list.
    """
    product = reading.product
    used = [column for column in product.columns if column.role not in UNREAD]
    head = {
        "columns": [[column.name, column.type] for column in used],
        "classes": list(product.classes),
        "block_rows": BATCH_ROWS,
    }
    digest = hashlib.sha256(salt + canonical_bytes(head) + b"\n")
    for _, cells in read_batches(product, used, max_rows=MAX_ROWS):
        for values in cells:
            if values.dtype == np.object_:
                digest.update(canonical_bytes(values.tolist()))
            else:
                digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        reading.take(cells, used)
    return digest.hexdigest()


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
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    limit = np.uint32(share * 2**32)
    mask = np.empty(rows, dtype=np.bool_)
    least, most = (2**32, 0), (-1, 0)
    for start in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - start)
        words = np.frombuffer(stream.update(bytes(4 * count)), dtype="<u4")
        mask[start : start + count] = words < limit
        low, high = int(words.argmin()), int(words.argmax())
        # The first of equal words, as over all of them at once.
        least = min(least, (int(words[low]), start + low))
        most = max(most, (int(words[high]), start + high), key=lambda one: one[0])
    if rows >= 2 and not mask.any():
        mask[least[1]] = True
    if mask.all():
        mask[most[1]] = False
    return mask
