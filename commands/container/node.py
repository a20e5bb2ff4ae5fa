"""A node in a container: it enrols when it first starts, then runs.

`python -m commands.container.node --join FILE --region CODE`; TDS_NODE names the node's folder, in
a volume of its own, and TDS_HEALTH and the like are `tds node run`'s. Keys are made there and
leave it never.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from clients.enrol import enrol
from clients.errors import GovernanceUnavailable
from clients.folder import NodePaths
from commands.output import say

RETRY_S = 2.0


def enrolled(node: Path, *, join: Path, region: str) -> None:
    """Returns once the folder is an enrolled node's; waits for the join file, and for governance.

    Raises:
        EnrolmentFailed: governance said no, or the join file is not one.
    """
    waited = False
    while not NodePaths(node).config.exists():
        if join.is_file():
            try:
                enrol(node, join, region=region, now=datetime.now(UTC))
                say(f"enrolled: {node}")
                return
            except GovernanceUnavailable as problem:
                if not waited:
                    say(f"waiting for governance: {problem}")
        elif not waited:
            say(f"waiting for the join file {join}")
        waited = True
        time.sleep(RETRY_S)


def become_node() -> NoReturn:
    """`tds node run` in place of this process, whose memory held keys; the environment says how."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "commands", "node", "run"])  # noqa: S606


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="commands.container.node")
    parser.add_argument("--join", type=Path, required=True)
    parser.add_argument("--region", required=True)
    asked = parser.parse_args()
    enrolled(Path(os.environ["TDS_NODE"]), join=asked.join, region=asked.region)
    become_node()


if __name__ == "__main__":
    main()
