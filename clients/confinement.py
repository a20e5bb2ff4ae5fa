"""What holds a sandbox child: Linux confinement that a process puts on itself, in one order.

    network    an empty network namespace where we are root, and a seccomp filter that refuses every
               `socket` with "Network is unreachable"
    processes  the same filter refuses fork, exec, ptrace and their like: an app is one process
    files      Landlock: reads under the given roots, writes in the scratch folder, nothing else
    user       `nobody` where we are root; no new privileges; not dumpable; dies with its parent
    memory     RLIMIT_AS above what the process already maps; no core dumps; no memory that has a
               descriptor instead of an address (memfd)
    time       RLIMIT_CPU, should the node be too slow to end it
    scratch    bounded in bytes and files (clients.scratch)

seccomp is required (the child fails without it); Landlock is used where the kernel has it, and what
holds on this host is measured by a probe child, never assumed (`policies.receipt.Confinement`).
Sources: prctl(2), setrlimit(2), capabilities(7); the rest in clients.seccomp and clients.landlock.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import resource
import signal
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clients.kernel import (
    PR_GET_NO_NEW_PRIVS,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    libc,
    prctl,
)
from clients.landlock import restrict_files
from clients.scratch import SCRATCH_BYTES
from clients.seccomp import install_filter

CAP_DAC_READ_SEARCH: Final = 1 << 2
CLONE_NEWNET: Final = 0x40000000

MAX_FILE_BYTES: Final = SCRATCH_BYTES
MAX_OPEN_FILES: Final = 256
MAX_THREADS: Final = 512
"""Counted by the kernel over all processes of the user, so that it leaves room for other nodes."""


@dataclass(frozen=True, slots=True)
class User:
    """Whom the child becomes."""

    uid: int
    gid: int


def unprivileged_user() -> User | None:
    """`nobody` when we are root, else None (the child keeps our user)."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return User(uid=entry.pw_uid, gid=entry.pw_gid)


def enter_empty_network() -> bool:
    """Move this single-threaded process and its children into a network without interfaces.

    Returns:
        False where the kernel does not let us; the seccomp filter then stands alone.
    """
    return bool(libc().unshare(CLONE_NEWNET) == 0)


def open_to_others(path: Path) -> bool:
    """Whether any user can enter the folder and list it."""
    modes = [place.stat().st_mode for place in (path, *path.parents)]
    return bool(modes[0] & 0o004) and all(mode & 0o001 for mode in modes)


def confine(
    *,
    parent: int,
    memory_bytes: int,
    cpu_s: int,
    user: User | None,
    searching: bool,
    readable: Sequence[Path],
    scratch: Path,
    devices: Sequence[Path] = (),
) -> bool:
    """Put every restriction on this process; none can be taken back.

    Args:
        parent: pid that must be alive and is the parent; with it this process dies.
        memory_bytes: address space on top of what is mapped now; with devices, private data.
        cpu_s: seconds of processor time, of all threads together; then the kernel kills it.
        searching: keep the capability to read what others may not, for an interpreter that lies in
            root's home; Landlock must then hold, and limits it to `readable`.
        readable: roots below which files may be read.
        scratch: the only folder where files may be written.
        devices: files of an accelerator that may be used (clients.accelerator).

    Returns:
        Whether the file system is confined (Landlock).

    Raises:
        OSError: a restriction that is always required could not be put on.
    """
    _limit(memory_bytes, cpu_s, threads=user is not None, devices=bool(devices))
    if user is not None:
        _become(user, searching=searching)
    _die_with(parent)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    files = restrict_files(readable, scratch, devices)
    if searching and not files:
        raise OSError(
            errno.EACCES,
            f"expected a Python that uid {user.uid if user else 0} can read, or Landlock",
        )
    install_filter(devices=bool(devices))
    return files


def _die_with(parent: int) -> None:
    # After the change of user, which clears it; the check closes the race with a parent's death.
    prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def _become(user: User, *, searching: bool) -> None:
    prctl(PR_SET_KEEPCAPS, int(searching))
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if searching:
        # capset(2), version 3: effective, permitted, inheritable; then their upper halves.
        kept = struct.pack("=6I", CAP_DAC_READ_SEARCH, CAP_DAC_READ_SEARCH, 0, 0, 0, 0)
        if libc().capset(struct.pack("=Ii", 0x20080522, 0), kept) != 0:
            raise OSError(ctypes.get_errno(), "capset")


def has_no_new_privileges() -> bool:
    """Whether this process has given up gaining privileges, as the kernel says."""
    return bool(libc().prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)


def _limit(memory_bytes: int, cpu_s: int, *, threads: bool, devices: bool) -> None:
    # proc(5), statm: all that is mapped comes first, data and stack sixth, in pages.
    sizes = Path("/proc/self/statm").read_text(encoding="ascii").split()
    mapped = int(sizes[5 if devices else 0]) * resource.getpagesize()
    bounds = {
        resource.RLIMIT_DATA if devices else resource.RLIMIT_AS: mapped + memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    if threads:
        bounds[resource.RLIMIT_NPROC] = MAX_THREADS
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (value, value))
