"""The console: weight of its pages, time until they can be used, and what watchers cost.

    python bench/console.py [--seconds 20] [--watchers 50]

Twelve enterprises, a masked run of thousands of rounds with twenty behind it. A page's weight is
all that a browser that was never there is sent for it. Watchers follow the run while it does a
round a second; what they cost is the processor time of governance's process with them, less that
without. The rounds' own work (also the nodes' signatures, made in that process here) is in both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT), str(ROOT / "tests" / "browser")]

import httpx
import psutil
from chromium import CHROMIUM, FLAGS
from rich.console import Console
from rich.table import Table

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

STREAMS_OF_ONE: Final = 10  # of a session; the console bounds them
TIMES: Final = 7


@dataclass
class Served:
    """The process, and how it is told."""

    process: subprocess.Popen[str]
    url: str = ""
    run: str = ""

    def tell(self, line: str) -> Any:
        """Its answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def signed_in(self, who: str) -> httpx.Client:
        """A client with a session."""
        client = httpx.Client(base_url=self.url, trust_env=False)
        client.post("/enter", data={"code": self.tell(f"links {who} 1")[0]})
        return client

    def cpu_s(self) -> float:
        """Processor seconds so far."""
        used = psutil.Process(self.process.pid).cpu_times()
        return used.user + used.system


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--watchers", type=int, default=50)
    options = parser.parse_args()
    with serving() as served:
        pages = paths(served)
        told = Table(
            "page", "HTML", "with all it needs", "first byte, ms", "interactive, ms (least)"
        )
        opened = interactive(served, pages)
        for name, path in pages.items():
            html, all_ = weigh(served, path)
            first = first_byte(served, path)
            seen = "{:.0f} ({:.0f})".format(*opened[name]) if name in opened else "no Chromium"
            told.add_row(
                name, f"{html / 1000:.1f} kB", f"{all_ / 1000:.1f} kB", f"{first:.1f}", seen
            )
        screen = Console()
        screen.print(told)
        screen.print(watched(served, options.watchers, options.seconds))
    screen.print(f"load of the machine: {os.getloadavg()[0]:.1f}, processors: {os.cpu_count()}")


@contextmanager
def serving() -> Iterator[Served]:
    """The console in a process of its own."""
    command = [sys.executable, str(ROOT / "bench" / "console_served.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Served(process, **json.loads(process.stdout.readline()))
        process.stdin.write("end\n")
        process.stdin.flush()
    finally:
        process.stdin.close()
        process.wait(30)


def paths(served: Served) -> dict[str, str]:
    """The pages that the navigation names, and the run's."""
    text = served.signed_in("operator").get("/space").text
    nav = text[text.index("<nav") : text.index("</nav>")]
    found = {path: f"/{path}" for path in re.findall(r'href="/([a-z]+)"', nav)}
    return {**found, "run": f"/runs/{served.run}"}


def weigh(served: Served, path: str) -> tuple[int, int]:
    """Bytes of a page, and with what it names, as they are sent."""
    client = served.signed_in("operator")
    page = client.get(path)
    needs = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
    scripts = {one for one in needs if one.endswith(".js")}
    for one in scripts:
        parts = re.findall(r'from "(\./[^"]+)"', client.get(one).text)
        needs |= {f"/static/{part.removeprefix('./')}" for part in parts}
    sent = [page, *(client.get(one) for one in needs)]
    return len(page.content), sum(one.num_bytes_downloaded for one in sent)


def first_byte(served: Served, path: str) -> float:
    """Milliseconds until a page begins, over a connection that is there; the median."""
    client = served.signed_in("operator")
    took = []
    for _ in range(3 * TIMES):
        began = time.perf_counter()
        with client.stream("GET", path):
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def interactive(served: Served, pages: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Milliseconds until a browser that was never there has read a page and run its scripts: the
    median, and the least."""
    if sync_playwright is None:
        return {}
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, path in pages.items():
            took, client = [], served.signed_in("auditor")
            for _ in range(TIMES):
                context = browser.new_context()
                for cookie, value in client.cookies.items():
                    context.add_cookies([{"name": cookie, "value": value, "url": served.url}])
                page = context.new_page()
                page.goto(served.url + path, wait_until="load")
                took.append(
                    page.evaluate(
                        "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
                    )
                )
                context.close()
            found[name] = statistics.median(took), min(took)
        browser.close()
    return found


@dataclass
class Watching:
    """Connections that follow the run."""

    bytes: int = 0
    events: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    sockets: list[socket.socket] = field(default_factory=list)

    def open(self, served: Served, cookie: str) -> None:
        """One more."""
        at = urlsplit(served.url)
        one = socket.create_connection((at.hostname or "", at.port or 0))
        head = f"GET /runs/{served.run}/events HTTP/1.1\r\nHost: {at.netloc}\r\n"
        one.sendall(f"{head}Cookie: {cookie}\r\n\r\n".encode())
        self.sockets.append(one)
        threading.Thread(target=self._read, args=(one,), daemon=True).start()

    def _read(self, one: socket.socket) -> None:
        while data := one.recv(1 << 16):
            with self.lock:
                self.bytes += len(data)
                self.events += data.count(b"event: ")


def watched(served: Served, watchers: int, seconds: float) -> Table:
    """What watchers cost."""
    before = served.tell("rounds on")
    time.sleep(3)
    alone = _share(served, seconds)
    watching, cookie = Watching(), ""
    for n in range(watchers):
        if n % STREAMS_OF_ONE == 0:
            client = served.signed_in("auditor")
            cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        watching.open(served, cookie)
    time.sleep(3)
    bytes_, events, began = watching.bytes, watching.events, served.tell("rounds on")
    together = _share(served, seconds)
    rounds = served.tell("rounds off") - began
    table = Table("", f"{watchers} watchers", title=f"rounds: {began - before + rounds}")
    table.add_row("rounds a second", f"{rounds / seconds:.2f}")
    table.add_row("of a core, rounds alone", f"{alone:.1%}")
    table.add_row("of a core, with watchers", f"{together:.1%}")
    table.add_row("of a core, the watchers'", f"{together - alone:.1%}")
    each = max(1, watchers * max(1, rounds))
    table.add_row("events a watcher and round", f"{(watching.events - events) / each:.1f}")
    table.add_row("bytes a watcher and round", f"{(watching.bytes - bytes_) / each:,.0f}")
    for one in watching.sockets:
        one.shutdown(socket.SHUT_RDWR)
    return table


def _share(served: Served, seconds: float) -> float:
    """Of a core, over so many seconds."""
    before, began = served.cpu_s(), time.monotonic()
    time.sleep(seconds)
    return (served.cpu_s() - before) / (time.monotonic() - began)


if __name__ == "__main__":
    main()
