"""Files that only their owner may read, for commands that need neither server nor clients."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from commands.errors import BadInput
from commands.reading import read_bounded


def write_private(path: Path, data: bytes) -> None:
    """A new file of mode 0600, durable on return; BadInput if there is one, or it cannot be
    written."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise BadInput(f"{path}: expected no such file, got one; choose another") from error
    except OSError as error:
        raise BadInput(f"{path}: expected to write a new file, got: {error.strerror}") from error


def read_private(path: Path, limit: int) -> bytes:
    """A file's bytes, if nobody but its owner can read it.

    Raises:
        BadInput: it cannot be read, holds more than `limit`, or others can read it.
    """
    data = read_bounded(path, limit)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise BadInput(
            f"{path}: expected a secret that only its owner can read, got mode {mode:04o}; others "
            f"may have read it. If not, run: chmod 600 {path}"
        )
    return data
