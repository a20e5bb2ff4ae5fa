"""The console in a real browser: both languages, light and dark, a desk and a phone.

`TDS_AXE` names axe-core's file (.ci/browser installs it through npm); with `TDS_SCREENSHOTS` each
page is kept there as an image, to be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from console_site import Bench, console_over
from playwright.sync_api import Browser, BrowserContext, Page, expect
from server_site import Site, withdrawal_envelope

from server.console.advance import NONE, InAdvance

MAX_PAGE_BYTES = 100_000
AXE = Path(os.environ.get("TDS_AXE", Path(__file__).parents[2] / ".venv/axe/axe.min.js"))
_AS_NAME = str.maketrans("/?=", "---")
ROLES = ("operator", "consumer", "auditor", "alpha")
LOOKS: dict[str, dict[str, Any]] = {
    "desk": {
        "locale": "en-GB",
        "color_scheme": "light",
        "viewport": {"width": 1280, "height": 900},
    },
    "phone": {"locale": "zh-CN", "color_scheme": "dark", "viewport": {"width": 360, "height": 780}},
}


@pytest.fixture(scope="session")
def axe() -> str:
    assert AXE.is_file(), f"{AXE}: expected axe-core; get it with: .ci/browser"
    return AXE.read_text(encoding="utf-8")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A space with a run that somebody was refused in and somebody left out of."""
    site = Site.make(tmp_path / "space")
    site.populate("alpha", "beta", "gamma")
    far = site.enrol(
        "delta-of-the-far-north", region="CN-SH", title='<img src=x onerror="alert()">'
    )
    site.add_product(far)
    site.agree(far)
    site.governance.witnesses.watch(site.nodes["alpha"].identity, 0)
    run = site.open_run(rounds=3)
    site.whole_round(run, "ask-1")
    site.withdraw(site.nodes["gamma"])
    answer = site.authorize(run, "ask-2")
    site.submit(answer, site.nodes["alpha"], site.nodes["beta"])
    site.tick(9)
    site.close_round(answer, metrics={"loss": "0.2", "eval_accuracy": "0.91"})
    with console_over(site) as made:
        yield made
    site.close()


def run_of(bench: Bench) -> str:
    return str(bench.site.entries()[[*bench.site.kinds()].index("RunOpened")].body["run"])


class Visitor:
    """A browser window that is signed in, and whatever it complained about or asked for."""

    def __init__(
        self, context: BrowserContext, bench: Bench, who: str, withdrawals: InAdvance = NONE
    ) -> None:
        self.page: Page = context.new_page()
        self.heard: list[str] = []
        self.page.on("console", lambda message: self.heard.append(message.text))
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("request", lambda request: self._asked(bench.console.url, request.url))
        self.url = bench.console.url
        self.weight = 0
        self.page.on("response", self._weigh)
        self.page.goto(f"{self.url}/enter/{bench.code(who, withdrawals)}")
        self.page.get_by_role("main").get_by_role("button").click()
        expect(self.page).to_have_url(f"{self.url}/space")

    def _asked(self, own: str, url: str) -> None:
        if not url.startswith(own):
            self.heard.append(f"asked {url}")

    def _weigh(self, response: Any) -> None:
        path = urlsplit(response.url).path
        if not path.startswith("/static/vendor/") and not path.endswith("/events"):
            self.weight += int(response.headers.get("content-length", "0"))

    def go(self, path: str) -> Page:
        self.weight = 0
        self.page.goto(self.url + path)
        return self.page


def opened(
    browser: Browser,
    bench: Bench,
    who: str,
    look: str = "desk",
    withdrawals: InAdvance = NONE,
) -> Visitor:
    return Visitor(browser.new_context(**LOOKS[look]), bench, who, withdrawals)


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_whole_light_and_accessible(
    browser: Browser, bench: Bench, axe: str, look: str, who: str
) -> None:
    run = run_of(bench)
    visitor = opened(browser, bench, who, look)
    paths = ["/space", "/runs", f"/runs/{run}", "/runs/new", "/consent"]
    paths += [f"/runs/{run}/stop"] if who in ("operator", "consumer") else []
    paths += ["/consent/withdraw?agreement=agreement-alpha"] if who == "alpha" else []
    for path in paths:
        page = visitor.go(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        width = LOOKS[look]["viewport"]["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert 0 < visitor.weight < MAX_PAGE_BYTES, path
        _keep(page, f"{who}-{look}-{path.replace(run, 'one').strip('/').translate(_AS_NAME)}")
        assert _violations(page, axe) == [], path
        assert visitor.heard == [], path
    visitor.page.context.close()


def test_text_of_drawings_stays_inside(browser: Browser, bench: Bench) -> None:
    visitor = opened(browser, bench, "operator")
    for path in ("/space", f"/runs/{run_of(bench)}"):
        outside = visitor.go(path).evaluate(
            "() => [...document.querySelectorAll('svg')].flatMap(svg => {"
            " const box = svg.getBoundingClientRect();"
            " return [...svg.querySelectorAll('text')].filter(t => {"
            "  const r = t.getBoundingClientRect();"
            "  return r.left < box.left - 1 || r.right > box.right + 1;"
            " }).map(t => t.textContent); })"
        )
        assert outside == []
    over = visitor.go("/space").evaluate(
        "() => [...document.querySelectorAll('svg .name')].filter(t => {"
        " const card = t.previousElementSibling.getBoundingClientRect();"
        " const right = t.getBoundingClientRect().right;"
        " return card.width > 0 && right > card.right - 4; }).map(t => t.textContent)"
    )
    assert over == []


def test_a_run_is_seen_as_it_happens(browser: Browser, bench: Bench) -> None:
    site, run = bench.site, run_of(bench)
    visitor = opened(browser, bench, "operator")
    page = visitor.go(f"/runs/{run}")
    expect(page.get_by_role("status")).to_contain_text("2 of 4 rounds closed")
    lanes = page.get_by_role("table").first
    expect(lanes.get_by_text("permitted, at work")).to_have_count(0)
    answer = site.authorize(run, "ask-3")
    expect(lanes.get_by_role("columnheader", name="Round 3")).to_be_visible()
    expect(lanes.get_by_text("permitted, at work")).to_have_count(3)
    site.submit(answer, site.nodes["alpha"], site.nodes["beta"])
    expect(lanes.get_by_text("permitted, at work")).to_have_count(1)
    site.close_round(answer)
    expect(page.get_by_role("status")).to_contain_text("3 of 4 rounds closed")
    site.whole_round(run, "ask-4")
    expect(page.get_by_role("status")).to_contain_text("completed")
    expect(page.get_by_role("link", name="Stop this run")).not_to_be_visible()
    assert visitor.heard == []


def test_charts_tell_their_values_to_the_keyboard_and_a_pointer(
    browser: Browser, bench: Bench
) -> None:
    page = opened(browser, bench, "operator").go(f"/runs/{run_of(bench)}")
    chart = page.get_by_role("slider", name="loss")
    readout = page.locator("figure", has=chart).locator(".readout")
    expect(readout).to_have_text("Round 2: 0.2")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(readout).to_have_text("Round 1: 0.25")
    expect(chart).to_have_attribute("aria-valuetext", "Round 1: 0.25")
    bench.site.whole_round(run_of(bench), "ask-3")
    expect(readout).to_have_text("Round 3: 0.25")
    expect(chart).to_be_focused()
    chart.hover(position={"x": 70, "y": 60})
    expect(readout).to_have_text("Round 1: 0.25")


def test_a_page_that_lost_its_server_says_so_and_goes_on(browser: Browser, bench: Bench) -> None:
    site, run = bench.site, run_of(bench)
    visitor = opened(browser, bench, "operator")
    page = visitor.go(f"/runs/{run}")
    following = page.locator("#following")
    expect(following).to_have_text("This page follows the run by itself.")
    bench.console.stop()
    expect(following).to_contain_text("The connection is lost since")
    expect(page.get_by_text("2 of 4 rounds closed")).to_be_visible()
    site.whole_round(run, "ask-3")
    with console_over(site, bench.console.port) as again:
        expect(following).to_contain_text("no longer signed in", timeout=15_000)
        other = page.context.new_page()
        other.goto(f"{visitor.url}/enter/{again.code('operator')}")
        other.get_by_role("main").get_by_role("button").click()
        expect(other).to_have_url(f"{visitor.url}/space")
        expect(page.get_by_role("status")).to_contain_text("3 of 4 rounds closed", timeout=30_000)
        expect(following).to_have_text("This page follows the run by itself.")
        page.context.close()


def test_a_page_out_of_view_lets_its_connection_go(browser: Browser, bench: Bench) -> None:
    visitor = opened(browser, bench, "operator")
    visitor.page.clock.install()
    page = visitor.go(f"/runs/{run_of(bench)}")
    following = page.locator("#following")
    expect(following).to_have_text("This page follows the run by itself.")
    seen = "Object.defineProperty(document, 'visibilityState', {value: %r, configurable: true});"
    told = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(seen % "hidden" + told)
    page.clock.fast_forward(61_000)
    expect(following).to_contain_text("lost since")
    bench.site.whole_round(run_of(bench), "ask-3")
    with page.expect_navigation():
        page.evaluate(seen % "visible" + told)
    expect(page.get_by_role("status")).to_contain_text("3 of 4 rounds closed")
    expect(following).to_have_text("This page follows the run by itself.")


def test_a_consumer_starts_a_run_and_stops_it(browser: Browser, bench: Bench) -> None:
    visitor = opened(browser, bench, "consumer")
    page = visitor.go("/runs")
    page.get_by_role("link", name="Start a run").click()
    page.get_by_label("Purpose").fill("medical-research")
    page.get_by_label("Receipts that a round needs").fill("9")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("alert")).to_contain_text("quorum: expected at most 3")
    expect(page.get_by_label("Purpose")).to_have_value("medical-research")
    page.get_by_label("Receipts that a round needs").fill("1")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_text("No round was asked for yet.")).to_be_visible()
    page.get_by_role("link", name="Stop this run").click()
    page.get_by_label("Reason, for people").fill("a first look is enough")
    page.get_by_role("button", name="Yes, stop it").click()
    expect(page.get_by_role("status")).to_contain_text("stopped")
    expect(page.get_by_text("a first look is enough")).to_be_visible()
    assert bench.site.kinds()[-1] != "RunOpened"


def test_an_owner_stops_a_use_and_sees_it_take_effect(browser: Browser, bench: Bench) -> None:
    site, run = bench.site, run_of(bench)
    visitor = opened(browser, bench, "alpha", "phone")
    page = visitor.go("/consent")
    page.get_by_role("link", name="停止此项使用").click()
    page.get_by_role("button", name="确认停止").click()
    expect(page.get_by_role("status")).to_contain_text("号条目")
    expect(page.get_by_text("已停止", exact=True)).to_be_visible()
    page.get_by_role("link", name="撤回授权").click()
    expect(page.get_by_text("tds node withdraw agreement-alpha")).to_be_visible()
    site.authorize(run, "ask-3")
    watching = visitor.go(f"/runs/{run}")
    expect(watching.get_by_text("提供方或使用方已停止此项使用")).to_be_visible()
    page = visitor.go("/consent")
    page.get_by_role("link", name="恢复使用").click()
    page.get_by_role("button", name="确认恢复").click()
    expect(page.get_by_text("使用中", exact=True)).to_be_visible()


def test_an_owner_withdraws_and_the_next_round_shows_it_without_reloading(
    browser: Browser, bench: Bench, axe: str
) -> None:
    site, run = bench.site, run_of(bench)
    answer = site.authorize(run, "ask-3")
    signed = withdrawal_envelope(site.nodes["alpha"], site.now, reason="")
    visitor = opened(browser, bench, "alpha", "phone", {"agreement-alpha": signed})
    page = visitor.go("/consent")
    page.get_by_role("link", name="撤回授权").click()
    _accessible(page, axe, "alpha-phone-consent-withdraw-signed")
    page.get_by_role("button", name="确认立即永久撤回").click()
    effect = page.get_by_role("status")
    expect(effect).to_contain_text("授权已撤回")
    expect(effect).to_contain_text("等待其下一轮")
    _accessible(page, axe, "alpha-phone-consent-withdrawn")
    site.submit(answer, site.nodes["beta"], site.nodes["gamma"])
    site.tick(9)
    site.close_round(answer)
    site.authorize(run, "ask-4")
    expect(effect).to_contain_text("已不含您的产品")
    expect(effect).to_contain_text("其授权已撤回")
    _accessible(page, axe, "alpha-phone-consent-effect")
    assert visitor.heard == []


def test_the_keyboard_is_enough(browser: Browser, bench: Bench) -> None:
    visitor = opened(browser, bench, "consumer")
    page = visitor.go("/runs")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Start a run")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_label("Purpose").focus()
    page.keyboard.type("medical-research")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Run run-")).to_be_visible()


def test_the_language_is_switched_and_kept(browser: Browser, bench: Bench) -> None:
    visitor = opened(browser, bench, "auditor")
    page = visitor.go("/runs")
    page.get_by_role("link", name="中文").click()
    expect(page).to_have_url(f"{visitor.url}/runs")
    expect(page.get_by_role("heading", level=1)).to_have_text("任务")
    visitor.go("/space")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    page.get_by_role("button", name="退出").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("登录")
    visitor.go("/space")
    expect(page.get_by_role("heading", level=1)).to_have_text("您尚未登录。")


def test_a_script_in_a_title_does_not_run_and_would_be_stopped(
    browser: Browser, bench: Bench
) -> None:
    visitor = opened(browser, bench, "operator")
    page = visitor.go("/space")
    expect(page.get_by_text('<img src=x onerror="alert()">').first).to_be_visible()
    assert page.locator("main img").count() == 0 and visitor.heard == []
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', "
        '\'<img src=x onerror="window.ran = 1"><p style="color:red">x</p>\')'
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in visitor.heard)


def test_it_is_interactive_soon(browser: Browser, bench: Bench) -> None:
    visitor = opened(browser, bench, "operator")
    took = []
    for _ in range(5):
        page = visitor.go("/space")
        took.append(page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive"))
    assert min(took) < 300, f"milliseconds: {took}"


def _violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run().then(all => all.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


def _accessible(page: Page, axe: str, name: str) -> None:
    _keep(page, name)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert _violations(page, axe) == []


def _keep(page: Page, name: str) -> None:
    folder = os.environ.get("TDS_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
