"""Work that needs secrets, in a fork of a process that goes on without them."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable


def apart(work: Callable[[], None]) -> None:
    """Return once `work` was done in a fork of this process; end with its code where it failed.

    What the work read is never in this process's memory, and what was imported before need not be
    imported again. Call it from a process with a single thread and no connection.
    """
    child = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    child.start()
    child.join()
    if child.exitcode != 0:
        sys.exit(1)
