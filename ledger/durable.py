"""The few file operations whose promise is "it is on the disk when this returns".

Errors are the operating system's own (`OSError`); the log turns them into `LogUnavailable`.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ledger.errors import LogUnavailable

FILE_MODE = 0o644


def place_file(path: Path, data: bytes, *, fresh: Path) -> None:
    """`path` holds exactly `data`; the bytes are durable, the name once its folder is synced.

    A crash leaves the old file or the new one, and at most `fresh` beside, which the next call
    overwrites.

    Args:
        fresh: written first, then renamed; on the same file system.
    """
    descriptor = open_file(fresh)
    try:
        os.ftruncate(descriptor, 0)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)


def replace_file(path: Path, data: bytes, *, fresh: Path | None = None) -> None:
    """As `place_file`, and the name is durable too; `fresh` is a hidden file beside it."""
    place_file(path, data, fresh=fresh or path.with_name(f".{path.name}.new"))
    sync_folder(path.parent)


def open_file(path: Path) -> int:
    """A descriptor to read and write `path`; created, readable by all, if absent."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)  # whatever the umask: an auditor must be able to copy it
    return descriptor


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_file(path: Path) -> int:
    """A descriptor that holds `path` locked until it is closed, also if this process is killed.

    Raises:
        LogUnavailable: another process (or another opening in this one) holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LogUnavailable(
            f"log: expected to be its only writer, but another process holds {path}; "
            "stop that one first (a log has exactly one writer)"
        ) from error
    return descriptor
