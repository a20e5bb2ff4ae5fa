"""Process that starts ServerApps for `tds serve`: `python -m commands.executor SPACE`."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from commands.logs import FORMAT_VARIABLE, LogFormat, configure_logs
from server.errors import SuperLinkUnavailable
from server.exchange import ServerAppExecutor
from server.files import read_secret
from server.space import load_space

LOGGER = logging.getLogger(__name__)

_LOOK_S = 0.5
_RETRY_S = 2.0


def main(folder: Path) -> None:
    """Look for ServerApp tasks until SIGTERM."""
    configure_logs(LogFormat(os.environ.get(FORMAT_VARIABLE, LogFormat.TEXT)))
    signal.signal(signal.SIGTERM, _leave)
    space = load_space(folder)
    if importlib.util.find_spec("torch") is not None:
        import torch  # noqa: F401, PLC0415  (what each ServerApp would import, once)
    executor = ServerAppExecutor(
        address=space.card.superlink,
        ca_file=space.folder / "ca" / "ca.crt",
        secret=read_secret(space.superlink_folder / "superexec.secret"),
    )
    try:
        while True:
            try:
                found = executor.step()
            except SuperLinkUnavailable as problem:
                LOGGER.warning("%s", problem)
                time.sleep(_RETRY_S)
                continue
            if not found:
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        LOGGER.info("leaving")
    finally:
        executor.close()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(Path(sys.argv[1]))
