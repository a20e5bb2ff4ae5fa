"""A node in a container: it enrols when it first starts, then runs.

`python -m commands.container.node --join FILE --region CODE`; TDS_NODE names the node's folder, in
a volume of its own, and TDS_HEALTH and the like are `tds node run`'s. Keys are made there and
leave it never. What needs them to enrol is done in a fork, so that the node's process begins
without them, as it does elsewhere.
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
from commands.container.apart import apart
from commands.main import main as tds
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
    """`tds node run` in this process, which holds no key yet; the environment says how."""
    sys.argv = ["tds", "node", "run"]
    tds()
    raise AssertionError("`tds` ends its process")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="commands.container.node")
    parser.add_argument("--join", type=Path, required=True)
    parser.add_argument("--region", required=True)
    asked = parser.parse_args()
    node = Path(os.environ["TDS_NODE"])
    if not NodePaths(node).config.exists():
        apart(lambda: enrolled(node, join=asked.join, region=asked.region))
    become_node()


if __name__ == "__main__":
    main()
