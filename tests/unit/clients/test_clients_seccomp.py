"""The seccomp filter's program, run by an interpreter of the few BPF instructions it uses."""

from __future__ import annotations

import errno
import struct

import pytest

from clients.kernel import PR_SET_DUMPABLE, PR_SET_PDEATHSIG
from clients.seccomp import CLONE_THREAD, MACHINES, Machine, filter_program

ALLOW, KILL = 0x7FFF0000, 0x80000000
X86 = MACHINES["x86_64"]
ARM = MACHINES["aarch64"]


def verdict(machine: Machine, *, arch: int, number: int, argument: int = 0) -> int:
    """What the kernel would answer to a system call."""
    program = filter_program(machine)
    data = struct.pack("=IIQQ", number, arch, 0, argument)
    accumulator = position = 0
    while True:
        code, yes, no, k = struct.unpack_from("=HBBI", program, 8 * position)
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == 0x06:
            return int(k)
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}
            position += yes if holds[code] else no


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("machine", [X86, ARM], ids=["x86_64", "aarch64"])
def test_every_named_call_is_refused(machine: Machine) -> None:
    arch = machine.audit_arch
    for number in machine.network:
        assert verdict(machine, arch=arch, number=number) == refused(errno.ENETUNREACH)
    for number in machine.refused:
        assert verdict(machine, arch=arch, number=number) == refused(errno.EPERM)
    assert verdict(machine, arch=arch, number=machine.clone3) == refused(errno.ENOSYS)


@pytest.mark.parametrize(
    ("number", "argument", "expected"),
    [
        (0, 0, ALLOW),  # read
        (53, 0, ALLOW),  # socketpair
        (56, CLONE_THREAD, ALLOW),
        (56, 17, refused(errno.EPERM)),  # clone as fork does
        (157, PR_SET_PDEATHSIG, refused(errno.EPERM)),
        (157, PR_SET_DUMPABLE, refused(errno.EPERM)),
        (157, 15, ALLOW),  # PR_SET_NAME
        (0x40000000 | 41, 0, refused(errno.EPERM)),  # the x32 spelling of socket
    ],
)
def test_calls_that_depend_on_their_argument(number: int, argument: int, expected: int) -> None:
    assert verdict(X86, arch=X86.audit_arch, number=number, argument=argument) == expected


def test_another_architecture_is_killed() -> None:
    assert verdict(X86, arch=0x40000003, number=0) == KILL
