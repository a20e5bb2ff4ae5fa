"""Images of every page of the console, for the documentation: to be looked at before they are kept.

    python bench/screenshots.py [docs/images]

Governance, its log and its pages are real; the enterprises are keys without machines
(`console_story`). Pages are those that the console's own navigation names, so that a new one is
taken as soon as it is there.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parents[1]
sys.path[:0] = [
    str(ROOT),
    *(str(ROOT / "tests" / one) for one in ("browser", "unit/server", "unit/server/console")),
]

from chromium import CHROMIUM, FLAGS
from console_site import Bench, console_over
from console_story import PEOPLE, Story, begin, connect
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

MAX_BYTES: Final = 150_000
MAX_HEIGHT: Final = 3000
COLOURS: Final = 96  # flat colours and antialiased letters need no more
DESK: Final = {"width": 1200, "height": 800}
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "": {"locale": "en-GB", "color_scheme": "light", "viewport": DESK},
    "-dark": {"locale": "en-GB", "color_scheme": "dark", "viewport": DESK},
    "-phone": {
        "locale": "zh-CN",
        "color_scheme": "dark",
        "viewport": {"width": 360, "height": 780},
    },
}
ALSO: Final = {"run": ("-dark", "-phone"), "space": ("-phone",), "consent": ("-phone",)}
"""Looks besides the desk's; a phone's for any other page."""

VIEWERS: Final = {"consent": "lakeview", "run": "operator", "space": "operator"}
"""Whose page is shown; the operator's for any other."""


def main() -> None:
    """Take them all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        story = _story(Path(scratch) / "space")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with console_over(story.site) as bench:
            pages = {"run": f"/runs/{story.run}", **_pages(bench)}
            for name, path in sorted(pages.items()):
                for look in ("", *ALSO.get(name, ("-phone",))):
                    _keep(
                        _opened(browser, bench, name, path, look), folder, f"console-{name}{look}"
                    )
        browser.close()
        story.site.close()


def _story(folder: Path) -> Story:
    """Nine rounds of twenty: one enterprise is not online, one withdrew in the fourth round."""
    story = begin(folder, enterprises=8, rounds=19, noise="9")
    site = story.site
    connect(site, *(name for name, _, _ in PEOPLE[:6]))
    for n in range(9):
        if n == 4:
            site.withdraw(site.nodes["westpark"])
        story.round()
        site.tick(0.4)
    story.round(until="receipts")
    return story


def _pages(bench: Bench) -> dict[str, str]:
    """The pages that the navigation names, but for the list of runs."""
    text = bench.visit("operator").get("/space").text
    nav = text[text.index("<nav") : text.index("</nav>")]
    return {path: f"/{path}" for path in re.findall(r'href="/([a-z]+)"', nav) if path != "runs"}


def _opened(browser: Browser, bench: Bench, name: str, path: str, look: str) -> Page:
    page = browser.new_context(**LOOKS[look]).new_page()
    page.goto(f"{bench.console.url}/enter/{bench.code(VIEWERS.get(name, 'operator'))}")
    page.get_by_role("main").get_by_role("button").click()
    page.wait_for_url("**/space")
    page.goto(bench.console.url + path)
    page.wait_for_timeout(1200)  # until it follows
    if name == "audit":
        page.locator("#verify button").first.click()
        page.wait_for_timeout(4000)  # until the browser has checked the log
    return page


def _keep(page: Page, folder: Path, name: str) -> None:
    """The page's beginning, as much of it as an image of `MAX_BYTES` holds."""
    image = Image.open(io.BytesIO(page.screenshot(full_page=True, animations="disabled")))
    flat = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    height = min(image.height, MAX_HEIGHT)
    path = folder / f"{name}.png"
    while True:
        flat.crop((0, 0, image.width, height)).save(path, optimize=True)
        if (size := path.stat().st_size) <= MAX_BYTES:
            break
        height = height * 9 // 10
    print(f"{path}: {size:,} bytes, {image.width} x {height} of {image.height}")
    page.context.close()


if __name__ == "__main__":
    main()
