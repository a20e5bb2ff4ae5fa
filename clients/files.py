"""The node's files: secrets that only their owner can read, and writes that a crash cannot tear.

What `write_secret` and `replace_file` wrote is on the disk, whole, when they return; a crash leaves
the old content or the new one, and at most a file `.<name>.<n>.new` beside it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from clients.errors import FileRefused

SECRET_MODE = 0o600
FOLDER_MODE = 0o700
MAX_SECRET_BYTES = 16 * 1024


def make_private_folder(path: Path) -> None:
    """`path` is a folder of this user's that nobody else can enter (mode 0700).

    Raises:
        FileRefused: it exists as something else, or cannot be made.
    """
    try:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        path.chmod(FOLDER_MODE)
    except OSError as error:
        raise FileRefused(
            f"{path}: expected a folder of this user's, got: {error.strerror}; choose another path"
        ) from error


def write_secret(path: Path, data: bytes) -> None:
    """`path` holds `data` durably, mode 0600; an existing file is never replaced.

    Raises:
        FileRefused: the file exists already, or cannot be written.
    """
    fresh = _written(path, (data,), SECRET_MODE)
    try:
        os.link(fresh, path)  # unlike a rename, it fails where the name is taken
        sync_folder(path.parent)
    except FileExistsError as error:
        raise FileRefused(
            f"{path}: expected no file there yet, got one; a key is never overwritten, "
            "move it away if it is to be made anew"
        ) from error
    except OSError as error:
        raise FileRefused(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes, *, mode: int = SECRET_MODE) -> None:
    """`path` holds exactly `data` durably, whether it existed or not.

    Raises:
        FileRefused: it cannot be written (disk full, no permission); the old content stands.
    """
    fresh = _written(path, (data,), mode)
    try:
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FileRefused(f"{path}: cannot be written: {error.strerror}") from error


def rewrite_file(path: Path, parts: Iterable[bytes], *, check: Callable[[Path], None]) -> None:
    """`path` holds these parts durably, mode 0600; they need not fit into memory at once.

    Args:
        parts: what they raise leaves the old content.
        check: is given the new file before it has its name; what it raises leaves the old content.

    Raises:
        FileRefused: as `replace_file`.
    """
    fresh = _written(path, parts, SECRET_MODE)
    try:
        check(fresh)
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise FileRefused(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """The whole file.

    Raises:
        FileRefused: absent, no plain file, or over `max_bytes`.
    """
    return _read(path, max_bytes=max_bytes, secret=False)


def read_secret(path: Path, *, max_bytes: int = MAX_SECRET_BYTES) -> bytes:
    """The whole file, if nobody but its owner can read it.

    Raises:
        FileRefused: as `read_file`, or other users may read or write it.
    """
    return _read(path, max_bytes=max_bytes, secret=True)


def _read(path: Path, *, max_bytes: int, secret: bool) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileRefused(f"{path}: expected a readable file, got: {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor), secret=secret)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise FileRefused(f"{path}: expected at most {max_bytes} bytes, got more")
    return data


def _check(path: Path, found: os.stat_result, *, secret: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileRefused(f"{path}: expected a plain file, got something else")
    if secret and stat.S_IMODE(found.st_mode) & 0o077:
        raise FileRefused(
            f"{path}: expected a secret that only its owner can read, got mode "
            f"{stat.S_IMODE(found.st_mode):04o}; run: chmod 600 {path}"
        )


def _written(path: Path, parts: Iterable[bytes], mode: int) -> Path:
    """A durable file beside `path`, with its final content and mode but not yet its name."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    except OSError as error:
        raise FileRefused(f"{path}: cannot be written: {error.strerror}") from error
    fresh, whole = Path(name), False
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(descriptor)
        whole = True
    except OSError as error:
        raise FileRefused(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        if not whole:
            fresh.unlink(missing_ok=True)
    return fresh


def sync_folder(folder: Path) -> None:
    """What was renamed or removed in `folder` is so on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
