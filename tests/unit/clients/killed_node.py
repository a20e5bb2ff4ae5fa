"""A node's process that stops at a step of a use, to be killed there: FOLDER STEP.

Prints `PID-OF-ZYGOTE` and then `at`. The step `running` is in the middle of the app.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import psutil
from hostile_node import HostileNode

from clients.sandbox import Sandbox


def main(folder: Path, step: str) -> None:
    """Never returns by itself."""
    sandbox = Sandbox.start(preload=())
    print(sandbox.pid, flush=True)  # noqa: T201 the test reads it
    hostile = HostileNode(folder, sandbox)
    task = hostile.task("sleep" if step == "running" else "nothing")
    (folder / "permit").write_bytes(task.permit)
    hostile.node.at[step] = _stop
    if step == "running":
        threading.Thread(target=_wait_for_child, args=(sandbox.pid,), daemon=True).start()
    hostile.node.worker.handle(task)
    time.sleep(600)


def _stop() -> None:
    print("at", flush=True)  # noqa: T201 the test reads it
    time.sleep(600)


def _wait_for_child(zygote: int) -> None:
    while not psutil.Process(zygote).children():
        time.sleep(0.02)
    _stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
