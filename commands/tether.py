"""Becomes another program that the kernel ends when its parent dies.

    python -I -S tether.py PARENT PROGRAM [ARGUMENT ...]

Run as a file of its own by `commands.children`, before the program. Asking the kernel in the child
between fork and exec instead (`preexec_fn`) runs gRPC's fork handlers while its threads work:
a child may then abort or hang. So this asks after one exec and before the next.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Never returns: becomes the program, or exits with 1 if the parent died before."""
    parent, program = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)
    os.execv(program[0], program)  # noqa: S606  (no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
