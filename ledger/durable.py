"""The few file operations whose promise is "it is on the disk when this returns".

Errors are the operating system's own (`OSError`); the log turns them into `LogUnavailable`.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ledger.errors import LogUnavailable

FILE_MODE = 0o644


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; in the page cache only, until `os.fdatasync`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def replace_file(path: Path, data: bytes) -> None:
    """`path` holds exactly `data`, durably; after a crash it holds the old bytes or the new ones.

    A crash leaves at most a file `.<name>.new` beside it, which the next call overwrites.
    """
    fresh = path.with_name(f".{path.name}.new")
    descriptor = open_file(fresh)
    try:
        os.ftruncate(descriptor, 0)
        write_at(descriptor, data, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
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
