"""Process that starts ServerApps for `tds serve`: `python -m commands.executor SPACE`.

On a machine of its own it has no space, and needs none of its keys:
`python -m commands.executor --superlink HOST:PORT --ca FILE --secret FILE`.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import time
from pathlib import Path
from typing import Any

from commands.ending import unwind_on_sigterm
from commands.logs import FORMAT_VARIABLE, LogFormat, configure_logs
from server.errors import SuperLinkUnavailable
from server.exchange import ServerAppExecutor
from server.files import read_secret
from server.space import load_space

LOGGER = logging.getLogger(__name__)

_LOOK_S = 0.5
_RETRY_S = 2.0


def main(*, superlink: str, ca: Path, secret: Path) -> None:
    """Look for ServerApp tasks until SIGTERM.

    Args:
        superlink: host:port of its Runtime API.
        ca, secret: files: the space's CA, and what the SuperLink asks of executors.
    """
    configure_logs(LogFormat(os.environ.get(FORMAT_VARIABLE, LogFormat.TEXT)))
    unwind_on_sigterm()
    if importlib.util.find_spec("torch") is not None:
        import torch  # noqa: F401, PLC0415  (what each ServerApp would import, once)
    executor = ServerAppExecutor(address=superlink, ca_file=ca, secret=read_secret(secret))
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


def arguments(words: list[str] | None = None) -> dict[str, Any]:
    """What `main` takes, from the command line."""
    parser = argparse.ArgumentParser(prog="commands.executor")
    parser.add_argument("space", nargs="?", type=Path)
    parser.add_argument("--superlink")
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--secret", type=Path)
    asked = parser.parse_args(words)
    if asked.space is not None:
        space = load_space(asked.space)
        secret = space.superlink_folder / "superexec.secret"
        return {
            "superlink": space.card.superlink,
            "ca": space.folder / "ca" / "ca.crt",
            "secret": secret,
        }
    if not (asked.superlink and asked.ca and asked.secret):
        parser.error("expected SPACE, or --superlink, --ca and --secret")
    return {"superlink": asked.superlink, "ca": asked.ca, "secret": asked.secret}


if __name__ == "__main__":
    main(**arguments())
