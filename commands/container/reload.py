"""Live reload for who changes the code: `python -m commands.container.reload WORD...`.

Runs a command, and runs it anew whenever a file of the code was changed, added or removed; also
after it ended by itself, once something changed. Files are compared by name and time of change.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

CODE: Final = Path(__file__).parents[2]
PACKAGES: Final = ("policies", "ledger", "server", "clients", "auditors", "commands")
SUFFIXES: Final = frozenset({".py", ".html", ".json", ".jsonld"})
LOOK_S: Final = 1.0
GRACE_S: Final = 20.0

Seen = dict[Path, int]


def seen(code: Path) -> Seen:
    """When each file of the code was changed, nanoseconds."""
    found: Seen = {}
    for package in PACKAGES:
        for path in (code / package).rglob("*"):
            if path.suffix in SUFFIXES:
                try:
                    found[path] = path.stat().st_mtime_ns
                except FileNotFoundError:  # an editor just replaced it
                    continue
    return found


def difference(before: Seen, after: Seen) -> list[Path]:
    """What was changed, added or removed, by name."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name))


def reload(
    words: Sequence[str],
    *,
    code: Path = CODE,
    look_s: float = LOOK_S,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Run the command again and again, until this process is told to end.

    Args:
        words: the command.
        look_s: seconds between two looks at the code.
    """
    before = seen(code)
    child = subprocess.Popen(list(words))
    try:
        while True:
            pause(look_s)
            after = seen(code)
            changed = difference(before, after)
            before = after
            if changed:
                _say(f"{changed[0].name} changed; starting {words[0]} again")
                _end(child)
                child = subprocess.Popen(list(words))
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _say(text: str) -> None:
    sys.stderr.write(f"reload: {text}\n")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    reload(sys.argv[1:])
