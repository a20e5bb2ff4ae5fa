"""The seccomp filter of a sandbox child: no sockets, no other processes, no way around.

What is named is refused with an error that tells an app's author why, all else is allowed. Of a
pair of sockets only streams are given: a datagram socket of a pair can still send to any other
socket by its path. Signals and limits reach this process alone.
Sources: seccomp(2), linux/{filter,seccomp,audit}.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from typing import Final

from clients.kernel import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, PR_SET_SECCOMP, prctl

CLONE_THREAD: Final = 0x00010000

# BPF: load a word, jump if equal / not below / any bit set, return.
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_AT_NUMBER, _AT_ARCH, _AT_ARG0, _AT_ARG1 = 0, 4, 16, 24
_NOT_STREAM: Final = 0x0E
"""Bits of a socket's type that SOCK_STREAM (1) does not have; its flags lie above."""
_NOT_SEQPACKET: Final = 0x0A
"""The same of SOCK_SEQPACKET (5); SOCK_STREAM passes, too."""
_AF_UNIX: Final = 1
_X32_BIT: Final = 0x40000000


@dataclass(frozen=True, slots=True)
class Machine:
    """System call numbers of one architecture (linux/unistd.h).

    Attributes:
        socketpair: allowed for streams only.
        to_self: kill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, prlimit64: their first argument
            must be this process, or 0.
        network: socket, connect, accept and accept4; the first alone has an exception.
        processes: fork, vfork, execve, execveat, setpgid, setsid, tkill, pidfd_send_signal,
            pidfd_open.
        inspection: ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_getfd,
            process_madvise, process_mrelease, migrate_pages, move_pages.
        kernel: io_uring (setup, enter, register), bpf, perf_event_open, userfaultfd, the keyrings
            (add_key, request_key, keyctl), unshare, setns; modules, kexec, reboot, swap, acct.
        mounts: mount, umount2, pivot_root, chroot, open_tree, move_mount, fsopen, fsconfig,
            fsmount, fspick, mount_setattr, open_by_handle_at, name_to_handle_at, fanotify_init.
        shared: shared memory, semaphores and message queues (System V and POSIX), which reach
            other processes: those that exist are found by number, without asking for one first.
        memory: memfd_create, memfd_secret: memory that lies in files, where no limit of a process
            counts it. An accelerator's library may need it.
    """

    audit_arch: int
    clone: int
    prctl: int
    socketpair: int
    to_self: tuple[int, ...]
    network: tuple[int, ...]
    processes: tuple[int, ...]
    inspection: tuple[int, ...]
    kernel: tuple[int, ...]
    mounts: tuple[int, ...]
    shared: tuple[int, ...]
    memory: tuple[int, ...]
    clone3: int = 435

    @property
    def refused(self) -> tuple[int, ...]:
        """What fails with EPERM."""
        return self.processes + self.inspection + self.kernel + self.mounts + self.shared


MACHINES: Final = {
    "x86_64": Machine(
        audit_arch=0xC000003E,
        clone=56,
        prctl=157,
        socketpair=53,
        to_self=(62, 234, 129, 297, 302),
        network=(41, 42, 43, 288),
        processes=(57, 58, 59, 322, 109, 112, 200, 424, 434),
        inspection=(101, 310, 311, 312, 438, 440, 448, 256, 279),
        kernel=(
            *(425, 426, 427, 321, 298, 323, 248, 249, 250, 272, 308),
            *(175, 313, 176, 246, 320, 169, 167, 168, 163),
        ),
        mounts=(165, 166, 155, 161, 428, 429, 430, 431, 432, 433, 442, 304, 303, 300),
        shared=(29, 30, 31, 64, 65, 66, 220, 68, 69, 70, 71, 240, 241),
        memory=(319, 447),
    ),
    "aarch64": Machine(
        audit_arch=0xC00000B7,
        clone=220,
        prctl=167,
        socketpair=199,
        to_self=(129, 131, 138, 240, 261),
        network=(198, 203, 202, 242),
        processes=(221, 281, 154, 157, 130, 424, 434),
        inspection=(117, 270, 271, 272, 438, 440, 448, 238, 239),
        kernel=(
            *(425, 426, 427, 280, 241, 282, 217, 218, 219, 97, 268),
            *(105, 273, 106, 104, 294, 142, 224, 225, 89),
        ),
        mounts=(40, 39, 41, 51, 428, 429, 430, 431, 432, 433, 442, 265, 264, 262),
        shared=(194, 196, 195, 190, 193, 191, 192, 186, 189, 188, 187, 180, 181),
        memory=(279, 447),
    ),
}


def _op(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, k)


def filter_program(machine: Machine, *, own_pid: int, devices: bool = False) -> bytes:
    """The program: deny what is named, with the error that tells an app's author why.

    Args:
        own_pid: the process that may be signalled and limited.
        devices: give it Unix sockets that stay alone: NVIDIA's library wants to bind one at its
            start, and does without connecting or accepting, which stay refused.
    """
    refuse = _op(_RET, _ERRNO | errno.EPERM)
    program = [
        _op(_LOAD, _AT_ARCH),
        _op(_JEQ, machine.audit_arch, 1, 0),
        _op(_RET, _KILL),
        _op(_LOAD, _AT_NUMBER),
        _op(_JGE, _X32_BIT, 0, 1),
        refuse,
    ]
    if devices:
        program += [
            _op(_JEQ, machine.network[0], 0, 6),
            _op(_LOAD, _AT_ARG0),
            _op(_JEQ, _AF_UNIX, 0, 3),
            _op(_LOAD, _AT_ARG1),
            _op(_JSET, _NOT_SEQPACKET, 1, 0),
            _op(_RET, _ALLOW),
            _op(_RET, _ERRNO | errno.ENETUNREACH),
        ]
    for number in machine.network:
        program += [_op(_JEQ, number, 0, 1), _op(_RET, _ERRNO | errno.ENETUNREACH)]
    for number in (*machine.refused, *(() if devices else machine.memory)):
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
    for number in machine.to_self:
        program += [
            _op(_JEQ, number, 0, 5),
            _op(_LOAD, _AT_ARG0),
            _op(_JEQ, 0, 1, 0),
            _op(_JEQ, own_pid, 0, 1),
            _op(_RET, _ALLOW),
            refuse,
        ]
    program += [
        _op(_JEQ, machine.socketpair, 0, 4),
        _op(_LOAD, _AT_ARG1),
        _op(_JSET, _NOT_STREAM, 0, 1),
        _op(_RET, _ERRNO | errno.ENETUNREACH),
        _op(_RET, _ALLOW),
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


def install_filter(*, devices: bool = False) -> None:
    """Put the filter on this process and all that it starts, for good; needs no_new_privs.

    Args:
        devices: as in `filter_program`.

    Raises:
        OSError: no numbers for this architecture, or the kernel refused.
    """
    name = os.uname().machine
    machine = MACHINES.get(name)
    if machine is None:
        raise OSError(errno.ENOSYS, f"seccomp filter: expected one of {sorted(MACHINES)}, {name}")
    program = filter_program(machine, own_pid=os.getpid(), devices=devices)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    fprog = ctypes.create_string_buffer(header, len(header))
    prctl(PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(fprog)))
