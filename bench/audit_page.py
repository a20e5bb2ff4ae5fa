"""How long a browser takes to verify a whole log in the console's page, and what the script weighs.

    python bench/audit_page.py [--entries 1000 10000] [--chromium /usr/bin/chromium]

Makes logs as governance writes them (`bench.large_log`), serves their files as the console does, on
loopback, and times the script of the page in Debian's Chromium (`pip install -e .[browser]`): the
best of three, from the first request to the verdict.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import sync_playwright
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bench.large_log import LargeLog, write_folder
from server.console.app import STATIC
from server.logfiles import LogFiles
from server.serving import bind, serve_app

TRIES = 3
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
VERIFY = """async (key) => {
  const { Reader } = await import("/static/audit/tiles.js");
  const { parseKeys, verifyLog } = await import("/static/audit/verify.js");
  const began = performance.now();
  const found = await verifyLog({ reader: new Reader("/log"), ...(await parseKeys(key)) });
  return { size: found.head.size, seconds: (performance.now() - began) / 1000 };
}"""


def page(_request: object) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>bench</title>")


def timed(folder: Path, key: str, chromium: str) -> list[float]:
    """Seconds of each try."""
    app = Starlette(routes=[Route("/", page), LogFiles(folder).route()])
    app.router.routes.append(Mount("/static", StaticFiles(directory=STATIC)))
    listening = bind("127.0.0.1:0")
    port = listening.getsockname()[1]
    serving = serve_app(app, listening, name="bench", pair=None)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            opened = browser.new_page()
            opened.goto(f"http://127.0.0.1:{port}/")
            found = [opened.evaluate(VERIFY, key) for _ in range(TRIES)]
            browser.close()
    finally:
        serving.stop()
    return [one["seconds"] for one in found]


def main() -> None:
    """Prints one JSON object a log, and one for the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asked = parser.parse_args()
    weight = sum(path.stat().st_size for path in (STATIC / "audit").glob("*.js"))
    print(json.dumps({"script_bytes": weight}))
    for count in asked.entries:
        with tempfile.TemporaryDirectory(prefix="tds-bench-") as made:
            folder = Path(made) / "log"
            signer = write_folder(folder, islice(LargeLog().entries(), count))
            bundles = (folder / "tile" / "entries").rglob("*")
            size = sum(path.stat().st_size for path in bundles if path.is_file())
            seconds = timed(folder, signer.verifier_key, asked.chromium)
        rounded = [round(one, 2) for one in seconds]
        print(json.dumps({"entries": count, "bytes": size, "seconds": rounded}))


if __name__ == "__main__":
    main()
