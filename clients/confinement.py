"""What holds a sandbox child: Linux confinement that a process puts on itself, in one order.

    network    an empty network namespace where we are root, and a seccomp filter that refuses every
               `socket` with "Network is unreachable"
    processes  the same filter refuses fork, exec, ptrace and their like: an app is one process
    files      Landlock: reads under the given roots, writes in the scratch folder, nothing else
    user       `nobody` where we are root; no new privileges; not dumpable; dies with its parent
    memory     RLIMIT_AS above what the process already maps; no core dumps, bounded files

seccomp is required (the child fails without it); Landlock is used where the kernel has it, and what
holds on this host is measured by a probe child, never assumed (`policies.receipt.Confinement`).
Sources: seccomp(2), landlock(7), prctl(2), linux/{filter,seccomp,audit,landlock}.h.
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

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39
CAP_DAC_READ_SEARCH: Final = 1 << 2
CLONE_NEWNET: Final = 0x40000000
CLONE_THREAD: Final = 0x00010000

MAX_FILE_BYTES: Final = 1 << 28
MAX_OPEN_FILES: Final = 256
MAX_THREADS: Final = 512
"""Counted by the kernel over all processes of the user, so that it leaves room for other nodes."""

# BPF: load a word, jump if equal / not below / any bit set, return.
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_AT_NUMBER, _AT_ARCH, _AT_ARG0 = 0, 4, 16
_X32_BIT: Final = 0x40000000


@dataclass(frozen=True, slots=True)
class _Machine:
    """System call numbers of one architecture (linux/unistd.h).

    Attributes:
        network: socket and connect.
        processes: fork, vfork, execve, execveat, setpgid, setsid.
        inspection: ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_getfd.
        kernel: io_uring_setup, bpf, perf_event_open, userfaultfd, the keyrings, unshare, setns,
            mount, open_by_handle_at.
        shared: shmget, semget, msgget, mq_open, which reach other processes of the user.
    """

    audit_arch: int
    clone: int
    prctl: int
    network: tuple[int, ...]
    processes: tuple[int, ...]
    inspection: tuple[int, ...]
    kernel: tuple[int, ...]
    shared: tuple[int, ...]
    clone3: int = 435

    @property
    def refused(self) -> tuple[int, ...]:
        """What fails with EPERM."""
        return self.processes + self.inspection + self.kernel + self.shared


_MACHINES: Final = {
    "x86_64": _Machine(
        audit_arch=0xC000003E,
        clone=56,
        prctl=157,
        network=(41, 42),
        processes=(57, 58, 59, 322, 109, 112),
        inspection=(101, 310, 311, 312, 438),
        kernel=(425, 321, 298, 323, 248, 249, 250, 272, 308, 165, 304),
        shared=(29, 64, 68, 240),
    ),
    "aarch64": _Machine(
        audit_arch=0xC00000B7,
        clone=220,
        prctl=167,
        network=(198, 203),
        processes=(221, 281, 154, 157),
        inspection=(117, 270, 271, 272, 438),
        kernel=(425, 280, 241, 282, 217, 218, 219, 97, 268, 40, 265),
        shared=(194, 190, 186, 180),
    ),
}


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
    return bool(_libc().unshare(CLONE_NEWNET) == 0)


def open_to_others(path: Path) -> bool:
    """Whether any user can enter the folder and list it."""
    modes = [place.stat().st_mode for place in (path, *path.parents)]
    return bool(modes[0] & 0o004) and all(mode & 0o001 for mode in modes)


def confine(
    *,
    parent: int,
    memory_bytes: int,
    user: User | None,
    searching: bool,
    readable: Sequence[Path],
    scratch: Path,
) -> bool:
    """Put every restriction on this process; none can be taken back.

    Args:
        parent: pid that must be alive and is the parent; with it this process dies.
        memory_bytes: address space on top of what is mapped now.
        searching: keep the capability to read what others may not, for an interpreter that lies in
            root's home; Landlock must then hold, and limits it to `readable`.
        readable: roots below which files may be read.
        scratch: the only folder where files may be written.

    Returns:
        Whether the file system is confined (Landlock).

    Raises:
        OSError: a restriction that is always required could not be put on.
    """
    _limit(memory_bytes, threads=user is not None)
    if user is not None:
        _become(user, searching=searching)
    # After the change of user, which clears it; the check closes the race with a parent's death.
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    files = _landlock(readable, scratch)
    if searching and not files:
        raise OSError(
            errno.EACCES,
            f"expected a Python that uid {user.uid if user else 0} can read, or Landlock",
        )
    _seccomp()
    return files


def _become(user: User, *, searching: bool) -> None:
    _prctl(PR_SET_KEEPCAPS, int(searching))
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if searching:
        # capset(2), version 3: effective, permitted, inheritable; then their upper halves.
        kept = struct.pack("=6I", CAP_DAC_READ_SEARCH, CAP_DAC_READ_SEARCH, 0, 0, 0, 0)
        if _libc().capset(struct.pack("=Ii", 0x20080522, 0), kept) != 0:
            raise OSError(ctypes.get_errno(), "capset")


def has_no_new_privileges() -> bool:
    """Whether this process has given up gaining privileges, as the kernel says."""
    return bool(_libc().prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)


def _limit(memory_bytes: int, *, threads: bool) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    mapped = pages * resource.getpagesize()
    bounds = {
        resource.RLIMIT_AS: mapped + memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    if threads:
        bounds[resource.RLIMIT_NPROC] = MAX_THREADS
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (value, value))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int, pointer: ctypes.c_void_p | None = None) -> None:
    arguments = (ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0))
    if _libc().prctl(ctypes.c_int(option), *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


# -- seccomp -----------------------------------------------------------------------------------


def _op(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, k)


def _filter(machine: _Machine) -> bytes:
    """The program: deny what is named, with the error that tells an app's author why."""
    refuse = _op(_RET, _ERRNO | errno.EPERM)
    program = [
        _op(_LOAD, _AT_ARCH),
        _op(_JEQ, machine.audit_arch, 1, 0),
        _op(_RET, _KILL),
        _op(_LOAD, _AT_NUMBER),
        _op(_JGE, _X32_BIT, 0, 1),
        refuse,
    ]
    for number in machine.network:
        program += [_op(_JEQ, number, 0, 1), _op(_RET, _ERRNO | errno.ENETUNREACH)]
    for number in machine.refused:
        program += [_op(_JEQ, number, 0, 1), refuse]
    # The C library falls back to clone, whose flags a filter can read.
    program += [_op(_JEQ, machine.clone3, 0, 1), _op(_RET, _ERRNO | errno.ENOSYS)]
    program += [
        _op(_JEQ, machine.clone, 0, 4),
        _op(_LOAD, _AT_ARG0),
        _op(_JSET, CLONE_THREAD, 0, 1),
        _op(_RET, _ALLOW),
        refuse,
    ]
    # The two settings that tie the child to its parent and hide its memory must stay.
    program += [
        _op(_JEQ, machine.prctl, 0, 4),
        _op(_LOAD, _AT_ARG0),
        _op(_JEQ, PR_SET_PDEATHSIG, 1, 0),
        _op(_JEQ, PR_SET_DUMPABLE, 0, 1),
        refuse,
        _op(_RET, _ALLOW),
    ]
    return b"".join(program)


def _seccomp() -> None:
    name = os.uname().machine
    machine = _MACHINES.get(name)
    if machine is None:
        raise OSError(errno.ENOSYS, f"seccomp filter: expected one of {sorted(_MACHINES)}, {name}")
    program = _filter(machine)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    fprog = ctypes.create_string_buffer(header, len(header))
    _prctl(PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(fprog)))


# -- Landlock ----------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ: Final = 1 << 2 | 1 << 3
_ALL_FILE_RIGHTS: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
"""Rights known since each version of the interface; execution is among them and never granted."""
_ONLY_FOR_FOLDERS: Final = 1 << 3
_SCOPE_SOCKETS_AND_SIGNALS: Final = 3


def _landlock(readable: Sequence[Path], scratch: Path) -> bool:
    libc = _libc()
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = max(mask for since, mask in _ALL_FILE_RIGHTS.items() if since <= version)
    # Files; (since 4) no rule on TCP ports, seccomp covers them; (since 6) scopes.
    scoped = _SCOPE_SOCKETS_AND_SIGNALS if version >= 6 else 0
    attributes = struct.pack("=QQQ", rights, 0, scoped)
    size = 24 if version >= 6 else 8
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        for root in readable:
            _allow(libc, ruleset, root, _READ)
        _allow(libc, ruleset, scratch, rights & ~1)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, root: Path, rights: int) -> None:
    try:
        place = os.open(root, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    try:
        allowed = rights if root.is_dir() else rights & ~_ONLY_FOR_FOLDERS
        libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)
