"""What SIGTERM does to our processes, and what the second one does not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import commands
from commands.children import python

ENV = {**os.environ, "PYTHONPATH": str(Path(commands.__path__[0]).parent)}

UNWINDING = """
import subprocess, sys, time
from commands.ending import unwind_on_sigterm

unwind_on_sigterm()
try:
    print("up", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("ending", flush=True)
    sys.stdin.readline()
    helper = subprocess.Popen(["sleep", "60"])
    helper.terminate()
    print("ended", helper.wait(), flush=True)
"""

# Its threads die one after the other, and the kernel signals its children at each.
PARENT = """
import sys, threading, time
from pathlib import Path
from commands.children import Children, python

for _ in range(20):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
with Children(logs=Path(sys.argv[1])) as children:
    for number in range(3):
        words = python("-c", sys.argv[2], sys.argv[1], str(number))
        child = children.start(f"child-{number}", words)
        children.wait_until("it", lambda: "up" in child.output(), timeout_s=60)
    print("up", flush=True)
    time.sleep(60)
"""

CLEANING = """
import sys, time
from pathlib import Path
from commands.ending import unwind_on_sigterm

unwind_on_sigterm()
try:
    print("up", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)
    (Path(sys.argv[1]) / ("cleaned-" + sys.argv[2])).touch()
"""


def test_the_first_unwinds_and_later_ones_do_not_cut_that_off() -> None:
    with subprocess.Popen(
        python("-c", UNWINDING), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.stdout.readline() == "ending\n"
        for _ in range(3):
            process.terminate()
            time.sleep(0.05)
        process.stdin.write("\n")
        process.stdin.flush()
        # What it starts meanwhile can be ended: it did not inherit that.
        assert process.stdout.readline() == f"ended {-signal.SIGTERM}\n"
    assert process.returncode == 0


def test_children_of_a_parent_that_was_killed_clean_up(tmp_path: Path) -> None:
    with subprocess.Popen(
        python("-c", PARENT, str(tmp_path), CLEANING), stdout=subprocess.PIPE, env=ENV, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        parent.kill()
    end = time.monotonic() + 30
    expected = {f"cleaned-{number}" for number in range(3)}
    while {file.name for file in tmp_path.glob("cleaned-*")} != expected:
        assert time.monotonic() < end, sorted(tmp_path.iterdir())
        time.sleep(0.1)
