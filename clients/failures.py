"""What an app said when it failed: for its owner's eyes, in files of the node's folder.

An app may print rows. So its words go into no log and nowhere else: not to standard error, where a
collector of logs would take them off this machine.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from clients.errors import FileRefused
from clients.files import make_private_folder, replace_file

LOGGER = logging.getLogger(__name__)

KEPT: Final = 20
MAX_CHARS: Final = 16 * 1024


class Failures:
    """Keeps the newest `KEPT` in `folder`, mode 0600 each. Safe to share between threads.

    Args:
        folder: made (0700) at the first failure.
        clock: aware UTC now.
    """

    def __init__(self, *, folder: Path, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._clock = clock
        self._turn = threading.Lock()

    def keep(self, words: str) -> None:
        """Keep an app's words, cut to their end; where that fails they are gone, and it is told."""
        path = self._folder / f"{self._clock():%Y%m%dT%H%M%S.%f}Z.txt"
        try:
            with self._turn:
                make_private_folder(self._folder)
                replace_file(path, words[-MAX_CHARS:].encode("utf-8", "replace"))
                for old in sorted(self._folder.glob("*.txt"))[:-KEPT]:
                    old.unlink(missing_ok=True)
        except (FileRefused, OSError) as error:
            LOGGER.error("what the app said when it failed could not be kept: %s", error)
            return
        LOGGER.warning("the app failed; what it said is in %s", path)


def told_failures(failures: Sequence[Exception]) -> str:
    """What the owner is told of a private use's parts that count as zeros, and nobody else."""
    kinds = Counter(type(error).__name__ for error in failures)
    counts = ", ".join(f"{count} {name}" for name, count in kinds.most_common())
    first = failures[0]
    detail = getattr(first, "detail", "")
    return f"{detail}\n{first}\nthe first of {len(failures)} parts that count as zeros: {counts}"
