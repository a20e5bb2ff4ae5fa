"""The seccomp filter's program, run by an interpreter of the few BPF instructions it uses."""

from __future__ import annotations

import errno
import struct

import pytest

from clients.kernel import PR_SET_DUMPABLE, PR_SET_PDEATHSIG
from clients.seccomp import CLONE_THREAD, MACHINES, Machine, filter_program

ALLOW, KILL = 0x7FFF0000, 0x80000000
X86 = MACHINES["x86_64"]
OWN_PID = 4711
ARM = MACHINES["aarch64"]


def verdict(
    machine: Machine,
    *,
    arch: int,
    number: int,
    argument: int = 0,
    second: int = 0,
    devices: bool = False,
) -> int:
    """What the kernel would answer to a system call."""
    program = filter_program(machine, own_pid=OWN_PID, devices=devices)
    data = struct.pack("=IIQQQ", number, arch, 0, argument, second)
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
    for number in (*machine.refused, *machine.memory):
        assert verdict(machine, arch=arch, number=number) == refused(errno.EPERM)
    for number in machine.memory:
        assert verdict(machine, arch=arch, number=number, devices=True) == ALLOW
    assert verdict(machine, arch=arch, number=machine.clone3) == refused(errno.ENOSYS)


@pytest.mark.parametrize(
    ("number", "argument", "expected"),
    [
        (0, 0, ALLOW),  # read
        (62, OWN_PID, ALLOW),  # kill
        (62, 0, ALLOW),
        (62, 1, refused(errno.EPERM)),
        (62, 0xFFFFFFFF, refused(errno.EPERM)),  # -1: everybody
        (234, OWN_PID, ALLOW),  # tgkill, as abort does
        (302, 0, ALLOW),  # prlimit64, as getrlimit does
        (302, 1, refused(errno.EPERM)),
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


STREAM, DATAGRAM, SEQPACKET = 1, 2, 5
CLOSE_ON_EXEC = 0o2000000


@pytest.mark.parametrize("machine", [X86, ARM], ids=["x86_64", "aarch64"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (STREAM, ALLOW),
        (STREAM | CLOSE_ON_EXEC, ALLOW),
        (DATAGRAM, refused(errno.ENETUNREACH)),
        (DATAGRAM | CLOSE_ON_EXEC, refused(errno.ENETUNREACH)),
        (SEQPACKET, refused(errno.ENETUNREACH)),
    ],
)
def test_of_a_pair_of_sockets_only_streams_are_given(
    machine: Machine, kind: int, expected: int
) -> None:
    number = machine.socketpair
    got = verdict(machine, arch=machine.audit_arch, number=number, argument=1, second=kind)
    assert got == expected


UNIX, INET, NETLINK = 1, 2, 16


@pytest.mark.parametrize("machine", [X86, ARM], ids=["x86_64", "aarch64"])
@pytest.mark.parametrize(
    ("family", "kind", "expected"),
    [
        (UNIX, SEQPACKET, ALLOW),
        (UNIX, SEQPACKET | CLOSE_ON_EXEC, ALLOW),
        (UNIX, DATAGRAM, refused(errno.ENETUNREACH)),
        (INET, STREAM, refused(errno.ENETUNREACH)),
        (NETLINK, SEQPACKET, refused(errno.ENETUNREACH)),
    ],
)
def test_with_devices_a_unix_socket_may_be_made_and_stays_alone(
    machine: Machine, family: int, kind: int, expected: int
) -> None:
    make, *others = machine.network
    for number, expects in ((make, expected), *((n, refused(errno.ENETUNREACH)) for n in others)):
        got = verdict(
            machine,
            arch=machine.audit_arch,
            number=number,
            argument=family,
            second=kind,
            devices=True,
        )
        assert got == expects


def test_another_architecture_is_killed() -> None:
    assert verdict(X86, arch=0x40000003, number=0) == KILL
