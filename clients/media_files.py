"""Files below a folder, each read whole without following a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from clients.errors import VaultError

MAX_FILE_BYTES: Final = 1 << 26


@contextmanager
def opened_folder(place: Path) -> Iterator[int]:
    """A descriptor of the folder, for `read_below`.

    Raises:
        VaultError: there is no such folder.
    """
    try:
        root = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise VaultError(f"{place}: expected a folder of files, got: {error.strerror}") from None
    try:
        yield root
    finally:
        os.close(root)


def read_below(root: int, path: str) -> bytes:
    """The file's content; every step of its path is a plain folder or file, never a link.

    Args:
        path: relative, without "..".

    Raises:
        VaultError: no such file, or larger than `MAX_FILE_BYTES`; the text does not name it.
    """
    *folders, name = PurePosixPath(path).parts
    assert ".." not in folders
    opened = [root]
    try:
        for folder in folders:
            how = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            opened.append(os.open(folder, how, dir_fd=opened[-1]))
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened.append(os.open(name, how, dir_fd=opened[-1]))
        if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
            raise VaultError("expected a regular file, got something else")
        with os.fdopen(os.dup(opened[-1]), "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise VaultError(f"expected a file that is no link, got: {error.strerror}") from None
    finally:
        for descriptor in opened[1:]:
            os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise VaultError(f"expected at most {MAX_FILE_BYTES} bytes, got more")
    return data
