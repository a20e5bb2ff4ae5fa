"""Files of the space: secrets are made once, with mode 0600, in folders of mode 0700."""

from __future__ import annotations

import os
from pathlib import Path

from server.errors import SpaceError

MAX_FILE_BYTES = 1 << 20


def make_private_folder(path: Path) -> None:
    """A new folder that only its owner may enter, whatever the umask.

    Raises:
        SpaceError: it exists, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise SpaceError(f"{path}: expected to make this folder, got {error.strerror}") from error


def write_secret(path: Path, data: bytes) -> None:
    """A new file that only its owner may read, durable on return.

    The mode is set as the file is made, so that there is no moment in which others can open it.

    Raises:
        SpaceError: it exists (nothing is overwritten), or cannot be written.
    """
    _write_new(path, data, 0o600)


def write_public(path: Path, data: bytes) -> None:
    """A new file that others may read, durable on return; errors as `write_secret`."""
    _write_new(path, data, 0o644)


def read_file(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        SpaceError: missing, unreadable, or over 1 MiB.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SpaceError(
            f"{path}: expected a readable file, got {error.strerror}; a space is made by "
            "`tds space init` and moved only as a whole"
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise SpaceError(f"{path}: expected at most {MAX_FILE_BYTES} bytes, got more")
    return data


def read_secret(path: Path) -> bytes:
    """As `read_file`, and only if nobody but the owner can read it.

    Raises:
        SpaceError: as `read_file`, or the mode lets others in.
    """
    data = read_file(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise SpaceError(
            f"{path}: expected a secret with mode 600, got {mode:o}; others on this machine may "
            f"have read it. If not, run: chmod 600 {path}"
        )
    return data


def _write_new(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SpaceError(f"{path}: expected to write a new file, got {error.strerror}") from error
