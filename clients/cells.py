"""What a column's values must be, wherever they were read; a message names the place only."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from clients.errors import VaultError
from policies.statements import Column

MAX_SUBJECT_CHARS: Final = 256
WANTED: Final = {
    "label": "one of the product's classes",
    "subject": f"a subject of 1 to {MAX_SUBJECT_CHARS} plain characters",
}

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Mask = npt.NDArray[np.bool_]


def checked(
    values: npt.NDArray[Any],
    column: Column,
    data: Path,
    *,
    gaps: Mask | None = None,
    first_row: int = 1,
) -> npt.NDArray[Any]:
    """The plain values, each present, finite and within the column's range.

    Args:
        values: what is masked did not read as its type.
        data: for the message.
        gaps: the only rows where a value may be missing.
        first_row: number of the first of these rows, for the message.

    Raises:
        VaultError: the column and the first row that is not so.
    """
    bad = np.ma.getmaskarray(values)
    plain = np.ma.getdata(values)
    if plain.dtype.kind == "f":
        bad = bad | ~np.isfinite(plain)
    if gaps is not None:
        bad = bad & ~gaps
    if bad.any():
        wanted = WANTED.get(column.role, f"a finite {column.type}")
        raise VaultError(
            f"{data}: column {column.name!r}, row {int(bad.argmax()) + first_row}: expected "
            f"{wanted}, got something else; correct the data or declare the column otherwise"
        )
    if column.range is not None:
        outside = _outside(plain, *column.range)
        if gaps is not None:
            outside = outside & ~gaps
        if outside.any():
            raise VaultError(
                f"{data}: column {column.name!r}, row {int(outside.argmax()) + first_row}: "
                f"expected a value from {column.range[0]} to {column.range[1]} as declared, got "
                "one outside; correct the data or the column's range"
            )
    return plain


def is_subject(text: object) -> bool:
    """Whether it can be of whom a row is."""
    sound = isinstance(text, str) and 1 <= len(text) <= MAX_SUBJECT_CHARS
    return sound and not _CONTROL.search(str(text))


def _outside(values: npt.NDArray[Any], least: str, most: str) -> Mask:
    """Floats are compared as the numbers of their own precision that the bounds round to."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            low, high = (np.float64(bound).astype(values.dtype) for bound in (least, most))
        outside: Mask = (values < low) | (values > high)
        return outside
    limits = np.iinfo(np.int64)
    low_whole = math.ceil(max(Decimal(least), Decimal(int(limits.min))))
    high_whole = math.floor(min(Decimal(most), Decimal(int(limits.max))))
    if low_whole > high_whole:  # between two whole numbers, or beyond all of them
        return np.ones(values.shape, dtype=np.bool_)
    return np.logical_or(values < low_whole, values > high_whole)
