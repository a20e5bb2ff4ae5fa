"""SIGTERM unwinds like Ctrl-C, so that every context manager ends what it started."""

from __future__ import annotations

import signal
from types import FrameType


def unwind_on_sigterm() -> None:
    """Raise KeyboardInterrupt in the main thread at the first SIGTERM; later ones change nothing.

    A process whose parent was killed may be sent several: the kernel hands it on from one dying
    thread of its parent to the next, and signals each time (prctl(2), PR_SET_PDEATHSIG). A second
    one must not cut off the cleaning up after the first.
    """
    signal.signal(signal.SIGTERM, _unwind)


def _unwind(_signal: int, _frame: FrameType | None) -> None:
    # No SIG_IGN: programs that are started while cleaning up would inherit it.
    signal.signal(signal.SIGTERM, _pass)
    raise KeyboardInterrupt


def _pass(_signal: int, _frame: FrameType | None) -> None:
    """It ends already."""
