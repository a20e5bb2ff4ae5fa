"""What holds a sandbox child on this host: tried from inside, never assumed."""

from __future__ import annotations

import mmap
import os
import socket
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clients.confinement import has_no_new_privileges

PROBE_EXTRA_BYTES: Final = 1 << 33
"""Beyond the limit by so much must fail in the probe: it is far above what slack could hide."""


def python_folders() -> list[Path]:
    """The folders of the interpreter and its packages."""
    places = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()} - {"/"}
    return [path for path in map(Path, sorted(places)) if path.exists()]


def measure(app_dir: Path, *, memory_bytes: int, files: bool) -> dict[str, object]:
    """Try what must not work, from inside a confined child; true means that it did not.

    Args:
        memory_bytes: the limit that was set.
        files: whether Landlock says that it holds.

    Raises:
        OSError: the child cannot reach its app or the interpreter.
    """
    for needed in (app_dir, *python_folders()):
        next(needed.iterdir(), None)
    beyond = memory_bytes + PROBE_EXTRA_BYTES
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return {
        "network": _fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
        "root": _fails(lambda: os.setuid(0)) and os.getuid() != 0,
        "uid": os.getuid(),
        "no_new_privileges": has_no_new_privileges(),
        "memory": _fails(lambda: mmap.mmap(-1, beyond, flags=private, prot=mmap.PROT_READ).close()),
        "processes": _fails(lambda: os.waitpid(os.fork(), 0)),
        "files": files and _fails(lambda: Path("/etc/passwd").read_bytes()),
    }


def _fails(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError:
        return True
    return False
