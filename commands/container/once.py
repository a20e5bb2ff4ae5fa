"""What docker-compose.yml does once: `python -m commands.container.once MODULE FILE...`.

Runs the module, unless all the files that it leaves are there already: each `docker compose up` and
each `run` of a service that depends on it begins it anew.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path


def main(module: str, files: Sequence[str]) -> None:
    """Run `commands.container.MODULE` if one of the files is missing."""
    if not all(Path(file).exists() for file in files):
        runpy.run_module(f"commands.container.{module}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
