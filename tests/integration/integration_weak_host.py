"""Runs `tds` as on a host that gives less: not as root, and on a kernel without Landlock.

    python integration_weak_host.py node run --node ./clinic

The kernel itself says so: a filter answers `landlock_create_ruleset` with "no such call", to this
process and to all that it starts. Nobody keeps reading the interpreter, which may lie in root's
home (capabilities(7)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import runpy
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

NOBODY = 65534
_LANDLOCK_CREATE_RULESET = 444
_READ_SEARCH = 1 << 2


def refuse_landlock(libc: ctypes.CDLL) -> None:
    """Install the filter; needs root (linux/filter.h, linux/seccomp.h)."""
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the call's number
            (0x15, 0, 1, _LANDLOCK_CREATE_RULESET),
            (0x06, 0, 0, 0x00050000 | errno.ENOSYS),
            (0x06, 0, 0, 0x7FFF0000),
        )
    )
    held = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    if libc.prctl(22, 2, ctypes.create_string_buffer(header, len(header)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def become_nobody(libc: ctypes.CDLL) -> None:
    """Another user for good, who may read everything."""
    libc.prctl(8, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kept = struct.pack("=6I", _READ_SEARCH, _READ_SEARCH, _READ_SEARCH, 0, 0, 0)
    libc.capset(struct.pack("=Ii", 0x20080522, 0), kept)
    libc.prctl(47, 2, 2, 0, 0)


if __name__ == "__main__":
    library = ctypes.CDLL(None, use_errno=True)
    refuse_landlock(library)
    become_nobody(library)
    os.environ["HOME"] = "/tmp"
    runpy.run_module("commands", run_name="__main__", alter_sys=True)
