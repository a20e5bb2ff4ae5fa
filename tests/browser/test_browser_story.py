"""One story through the five pages, as the people in it see it, in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_site import Bench, console_over
from playwright.sync_api import Browser, expect
from server_site import Site, withdrawal_envelope
from test_browser_console import opened


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Four enterprises that agreed to everything, and nothing has run."""
    site = Site.make(tmp_path / "space")
    site.populate("alpha", "beta", "gamma", "delta")
    with console_over(site) as made:
        yield made
    site.close()


def test_from_a_run_to_a_log_that_somebody_changed(browser: Browser, bench: Bench) -> None:
    site = bench.site

    # Who uses data reads what an agreement says, and starts a run.
    consumer = opened(browser, bench, "consumer")
    page = consumer.go("/policies")
    page.get_by_role("link", name="alpha/records").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page = consumer.go("/runs/new")
    page.get_by_label("Purpose").fill("medical-research")
    page.get_by_label("Training rounds").fill("3")
    page.get_by_label("ε of the whole run").fill("8")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_text("No round was asked for yet.")).to_be_visible()
    run = re.sub(r".*/", "", page.url)

    # It watches; the rounds come by themselves.
    expect(page.locator("#following")).to_have_text("This page follows the run by itself.")
    site.whole_round(run, "ask-1")
    expect(page.get_by_role("status")).to_contain_text("1 of 4 rounds closed")
    expect(page.get_by_role("status")).to_contain_text("of masked updates received")
    expect(page.locator(".place.received", has_text="in the result")).to_have_count(4)

    # An owner withdraws, on a phone and in Chinese, while the next round is under way.
    under_way = site.authorize(run, "ask-2")
    expect(page.locator(".place.at-work")).to_have_count(4)
    signed = withdrawal_envelope(site.nodes["alpha"], site.now, reason="")
    owner = opened(browser, bench, "alpha", "phone", {"agreement-alpha": signed})
    told = owner.go("/consent")
    told.get_by_role("link", name="撤回授权").click()
    told.get_by_role("button", name="确认立即永久撤回").click()
    expect(told.get_by_role("status")).to_contain_text("授权已撤回")
    site.submit(under_way, *[site.nodes[name] for name in ("beta", "gamma", "delta")])
    site.close_round(
        under_way, metrics={}, quorum_met=False, model=site.permit(under_way).body.model
    )

    # The next round is refused to it, with the reason, and goes on without it.
    site.authorize(run, "ask-3")
    expect(page.get_by_text("from Round 3: alpha withdrew its consent at")).to_be_visible()
    expect(page.locator(".place.refused")).to_have_count(1)
    told = owner.go(f"/runs/{run}")
    expect(told.get_by_text("其授权已撤回")).to_be_visible()
    expect(told.locator(".place.refused", has_text="未获准")).to_be_visible()

    # An auditor has the log checked by the browser itself, before and after somebody changed it.
    auditor = opened(browser, bench, "auditor")
    page = auditor.go("/audit")
    page.get_by_role("button", name="Verify the log").click()
    expect(page.locator("#verdict")).to_contain_text(f"It holds: {site.log.size} entries")
    tile = site.space.log_folder / f"tile/entries/000.p/{site.log.size}"
    data = bytearray(tile.read_bytes())
    data[-3] ^= 1
    tile.write_bytes(data)
    page.get_by_role("button", name="Verify the log").click()
    expect(page.get_by_role("alert")).to_contain_text("The log does not hold")
    assert consumer.heard == owner.heard == auditor.heard == []
