"""The policies' pages in a real browser: tried, negotiated and followed, in both languages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from console_site import Bench, console_over
from dsp_site import Contracts
from playwright.sync_api import Browser, expect
from server_site import Site, constraint, count_at_most
from test_browser_console import LOOKS, MAX_PAGE_BYTES, _keep, axe, opened, run_of

__all__ = ["axe"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, Contracts]]:
    """A space with an offer that can be met, and one that cannot."""
    site = Site.make(tmp_path_factory.mktemp("policies") / "space")
    site.populate("alpha", "beta")
    dsp = Contracts(site)
    general, core = (constraint("classification", "eq", one) for one in ("general", "core"))
    stay_out = constraint("notTogetherWith", "isNoneOf", "beta")
    research = constraint("purpose", "isA", "medical-research")
    dsp.publish(general, core, id="offer-never")
    dsp.publish(research, count_at_most(5), stay_out, id="offer-some")
    site.open_run(min_cohort=2)
    with console_over(site) as made:
        yield made, dsp
    site.close()


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_whole_light_and_accessible(
    browser: Browser, shop: tuple[Bench, Contracts], axe: str, look: str
) -> None:
    bench, dsp = shop
    row = dsp.request(dsp.publish(count_at_most(5)))
    visitor = opened(browser, bench, "alpha", look)
    offer, agreement = "offer/offer-some", "agreement/agreement-alpha"
    paths = {
        "list": "/policies",
        "never": "/policies/read/offer/offer-never",
        "agreement": f"/policies/read/{agreement}",
        "what-if": f"/policies/what-if/{offer}?ask=1&v-purpose=marketing",
        "compare": "/policies/compare?a=offer:offer-never&b=offer:offer-some",
        "check": "/policies/check",
        "round": f"/policies/round/{run_of(bench)}",
        "negotiation": f"/policies/negotiation/{row.id}",
        "end": f"/policies/negotiation-end/{row.id}",
    }
    for name, path in paths.items():
        page = visitor.go(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        width = LOOKS[look]["viewport"]["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert 0 < visitor.weight < MAX_PAGE_BYTES, path
        _keep(page, f"policies-{look}-{name}")
        page.evaluate(axe)
        found = page.evaluate("axe.run().then(all => all.violations)")
        assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] == [], path
        assert visitor.heard == [], path
    visitor.page.context.close()


def test_a_consumer_tries_an_offer_and_concludes_it(
    browser: Browser, shop: tuple[Bench, Contracts]
) -> None:
    bench, dsp = shop
    visitor = opened(browser, bench, "consumer")
    page = visitor.go("/policies")
    page.get_by_role("link", name="What if: offer-some").click()
    page.get_by_label("The purpose").fill("marketing")
    page.get_by_role("checkbox", name="beta").uncheck()
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_role("heading", name="It would be refused.")).to_be_visible()
    page.get_by_role("link", name="Try it").click()
    expect(page.get_by_role("heading", name="It would be permitted.")).to_be_visible()
    expect(page.get_by_label("The purpose")).to_have_value("medical-research")

    visitor.go("/policies").get_by_role("link", name="Ask for it: offer-some").click()
    page.get_by_role("button", name="Yes, ask for it").click()
    expect(page.get_by_text("The owner answers")).to_be_visible()
    asked = page.url.rpartition("/")[2]
    row = bench.site.governance.contracts.negotiations.get(bench.caller("consumer"), asked)
    expect(page.get_by_text("This page follows by itself.")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("The connection is lost since")).to_be_visible()
    page.context.set_offline(False)
    visitor.heard.clear()  # what the browser says of being offline
    row = dsp.agree(row)  # on the owner's machine; the page follows
    command = f"tds contract verify {asked} --offer offer-some --consumer ./CONSUMER"
    expect(page.get_by_text(command)).to_be_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visitor.url)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == command
    dsp.verify(row)  # on the consumer's
    expect(page.get_by_text("This page follows by itself.")).not_to_be_visible()
    page.get_by_role("link", name="Read the agreement").click()
    expect(page.get_by_text("alpha and consortium agreed on this")).to_be_visible()
    assert visitor.heard == []
    page.context.close()


def test_an_owner_has_a_policy_checked_in_chinese(
    browser: Browser, shop: tuple[Bench, Contracts]
) -> None:
    bench, _ = shop
    visitor = opened(browser, bench, "alpha", "phone")
    odrl = visitor.go("/policies/read/offer/offer-never").locator("details pre").text_content()
    page = visitor.go("/policies/check")
    page.get_by_label("策略（至多 64 KiB）").fill(str(odrl).replace("offer-never", "offer-new"))
    page.get_by_role("button", name="读取并检查").click()
    expect(page.get_by_text("该许可永远无法满足。")).to_be_visible()
    expect(page.get_by_text("数据产品属于核心数据")).to_be_visible()
    page.get_by_label("策略（至多 64 KiB）").fill("{}")
    page.get_by_role("button", name="读取并检查").click()
    expect(page.get_by_role("alert")).to_contain_text("这不是符合规范的策略")
    page.context.close()
