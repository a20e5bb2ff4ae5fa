"""Landlock: which files a process may still read and write (landlock(7), linux/landlock.h)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clients.kernel import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ: Final = 1 << 2 | 1 << 3
_ALL_FILE_RIGHTS: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
"""Rights known since each version of the interface; execution is among them and never granted."""
_ONLY_FOR_FOLDERS: Final = 1 << 3
_USE: Final = 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Write, read, (since 3) truncate, (since 5) ioctl on devices."""
_SCOPE_SOCKETS_AND_SIGNALS: Final = 3


def restrict_files(readable: Sequence[Path], scratch: Path, devices: Sequence[Path] = ()) -> bool:
    """Reads below `readable`, use of `devices`, all in `scratch`, nothing else; for good.

    It needs no_new_privs. To use is to read, write and control what is there.

    Returns:
        False where the kernel has no Landlock.
    """
    library = libc()
    version = library.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = max(mask for since, mask in _ALL_FILE_RIGHTS.items() if since <= version)
    # Files; (since 4) no rule on TCP ports, seccomp covers them; (since 6) scopes.
    scoped = _SCOPE_SOCKETS_AND_SIGNALS if version >= 6 else 0
    attributes = struct.pack("=QQQ", rights, 0, scoped)
    size = 24 if version >= 6 else 8
    ruleset = library.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        for root in readable:
            _allow(library, ruleset, root, _READ)
        for device in devices:
            _allow(library, ruleset, device, rights & _USE)
        _allow(library, ruleset, scratch, rights & ~1)
        return bool(library.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(library: ctypes.CDLL, ruleset: int, root: Path, rights: int) -> None:
    try:
        place = os.open(root, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    try:
        allowed = rights if root.is_dir() else rights & ~_ONLY_FOR_FOLDERS
        library.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)
