"""The first line of a CSV file."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from clients.errors import VaultError

MAX_HEADER_BYTES: Final = 1 << 20


def header_of(path: Path) -> list[str]:
    """Column names of a CSV file's first line."""
    try:
        with path.open("rb") as file:
            line = file.readline(MAX_HEADER_BYTES)
    except OSError as error:
        raise VaultError(f"{path}: expected a readable file, got: {error.strerror}") from None
    if not line.strip():
        raise VaultError(f"{path}: expected a header line, got an empty file")
    try:
        return next(csv.reader(io.StringIO(line.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise VaultError(
            f"{path}: expected a header line in UTF-8 of at most {MAX_HEADER_BYTES} bytes"
        ) from error
