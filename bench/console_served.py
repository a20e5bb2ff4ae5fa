"""The console in a process of its own, told what to do by lines on its input: `bench/console.py`.

links WHO N     N one-time codes
rounds on|off   one round about each second
end
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:1] = [
    str(ROOT),
    *(str(ROOT / "tests" / "unit" / one) for one in ("server", "server/console")),
]

from console_site import console_over
from console_story import PEOPLE, Story, begin, connect

ENTERPRISES, BEFORE, EACH_S = 12, 20, 1.0


def main() -> None:
    """Serve until told to end."""
    with tempfile.TemporaryDirectory() as scratch:
        story = begin(Path(scratch) / "space", enterprises=ENTERPRISES, rounds=2000, noise="40")
        site = story.site
        for _ in range(BEFORE):
            story.round()
        connect(site, *(name for name, _, _ in PEOPLE))
        site.now = datetime.now(UTC)
        going, one_round = threading.Event(), threading.Lock()
        threading.Thread(target=_go_on, args=(story, going, one_round), daemon=True).start()
        with console_over(site) as bench:
            _tell({"url": bench.console.url, "run": story.run})
            for line in sys.stdin:
                what, *more = line.split()
                if what == "end":
                    break
                if what == "links":
                    _tell([bench.code(more[0]) for _ in range(int(more[1]))])
                else:
                    (going.set if more[0] == "on" else going.clear)()
                    _tell(story.asked)
        one_round.acquire()  # the last one ends before the log does
        site.close()


def _go_on(story: Story, going: threading.Event, one_round: threading.Lock) -> None:
    """Rounds as they come where nodes need a second for each."""
    while True:
        going.wait()
        began = time.monotonic()
        with one_round:
            story.site.now = datetime.now(UTC)
            story.round(pause=lambda: time.sleep(EACH_S * 0.4))
        time.sleep(max(0.0, EACH_S - (time.monotonic() - began)))


def _tell(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
