"""The log's pages in a real browser: searched, an entry proven, all of it verified; and a byte that
somebody changed on the disk is named in red."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from console_site import Bench, console_over
from playwright.sync_api import Browser, Page, Route, expect
from server_site import Site
from test_browser_console import LOOKS, MAX_PAGE_BYTES, Visitor, _keep, axe, opened
from test_server_cosigning import cosigner
from test_server_rotation import rotate

from ledger.folder import CHECKPOINT
from ledger.note import NoteVerifier, add_signatures, only_by
from ledger.tlogpolicy import Policy
from ledger.tlogproof import parse_proof
from ledger.tree import leaf_hash

__all__ = ["axe"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A space with a round that went well, a new key, and a withdrawal; alpha cosigned its head."""
    site = Site.make(tmp_path_factory.mktemp("audited") / "space")
    site.populate("alpha", "beta", "gamma")
    site.whole_round(site.open_run(), "ask-1")
    rotate(site, "gamma")
    site.withdraw(site.nodes["gamma"])
    head = site.space.log_folder / CHECKPOINT
    note = head.read_text(encoding="utf-8")
    line = cosigner(site.nodes["alpha"]).cosign(note, time=int(site.now.timestamp()))
    head.write_text(add_signatures(note, [line]), encoding="utf-8")
    with console_over(site) as made:
        yield made
    site.close()


@contextmanager
def changed(bench: Bench, path: str, at: int) -> Iterator[None]:
    """One bit of a published file is another."""
    data = bytearray((bench.site.space.log_folder / path).read_bytes())
    data[at] ^= 1
    with replaced(bench, path, bytes(data)):
        yield


@contextmanager
def replaced(bench: Bench, path: str, data: bytes) -> Iterator[None]:
    file = bench.site.space.log_folder / path
    before = file.read_bytes()
    file.write_bytes(data)
    try:
        yield
    finally:
        file.write_bytes(before)


def published(bench: Bench) -> str:
    return (bench.site.space.log_folder / CHECKPOINT).read_text(encoding="utf-8")


def last(bench: Bench, level: str) -> str:
    return f"tile/{level}/000.p/{bench.site.log.size}"


def verify(page: Page) -> None:
    page.locator("#keys-form button").first.click()


def remembered(page: Page) -> Any:
    return json.loads(page.evaluate("localStorage.getItem('tds-audit')"))


def test_the_log_is_verified_in_the_page(browser: Browser, bench: Bench) -> None:
    visitor, site = opened(browser, bench, "auditor"), bench.site
    page = visitor.go("/audit")
    key, size = site.space.card.log_key, site.log.size
    expect(page.locator("#verdict")).to_contain_text(f"The newest head is of {size} entries")
    verify(page)
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text(f"It holds: {size} entries")
    expect(verdict).to_contain_text("which this server showed and nobody here compared")
    expect(verdict).to_contain_text("Cosigned by alpha, ")
    expect(verdict).to_contain_text("verified no head of this log before")
    root = base64.b64decode(site.log.checkpoint().split("\n")[2]).hex()
    expect(verdict).to_contain_text(root)
    assert remembered(page)["root"] == root
    page.get_by_label("The log's key as you hold it").fill(key)
    verify(page)
    expect(verdict).to_contain_text("which you gave")
    expect(verdict).to_contain_text(f"It continues the {size} entries")
    page.reload()
    expect(page.get_by_label("The log's key as you hold it")).to_have_value(key)
    other = key.replace(key.split("+")[0], "another.example", 1)
    page.get_by_label("The log's key as you hold it").fill(other)
    verify(page)
    expect(page.get_by_role("alert")).to_contain_text("Expected a key as name+hash+base64")
    assert visitor.heard == []


def test_a_look_that_ends_late_says_nothing_beside_a_verdict(
    browser: Browser, bench: Bench
) -> None:
    visitor = opened(browser, bench, "auditor")
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright counts a handler's arguments
        held.append(route)

    visitor.page.route("**/log/checkpoint", hold)
    with changed(bench, last(bench, "entries"), -3):
        page = visitor.go("/audit")
        verify(page)
        while len(held) < 2:
            page.wait_for_timeout(20)
        held[1].continue_()
        expect(page.get_by_role("alert")).to_contain_text("was changed")
        held[0].continue_()
        page.wait_for_timeout(300)
        expect(page.locator("#verdict")).to_be_empty()
        expect(page.get_by_role("alert")).to_contain_text("was changed")


def test_an_entry_is_found_proven_and_handed_on(
    browser: Browser, bench: Bench, tmp_path: Path
) -> None:
    visitor, site = opened(browser, bench, "consumer"), bench.site
    page = visitor.go("/audit")
    page.get_by_label("Type").select_option(label="Receipt accepted")
    page.get_by_label("Participant").fill("beta")
    page.get_by_role("button", name="Search").click()
    rows = page.get_by_role("table").locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("beta")
    index = int(rows.get_by_role("link").inner_text())
    rows.get_by_role("link").click()
    expect(page.locator("#verdict")).to_contain_text(f"This entry stands at place {index}")
    expect(page.locator("[data-statement]")).to_contain_text("The signature holds")
    expect(page.locator("#body-said")).to_be_visible()
    expect(page.locator("#told")).to_contain_text("It rests on")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save as a .tlog-proof file").click()
    saved.value.save_as(tmp_path / "one")
    proof = parse_proof((tmp_path / "one").read_bytes())
    log = NoteVerifier.parse(site.space.card.log_key)
    assert proof.extra is not None and proof.index == index
    proof.verify(leaf_hash(proof.extra), Policy(), log)
    for kind in ("AgreementConcluded", "CertificateIssued", "KeyRotated", "ConsentWithdrawn"):
        visitor.go(f"/audit/{[*site.kinds()].index(kind)}")
        expect(page.locator("[data-statement]").first).to_contain_text("The signature holds")
    assert visitor.heard == []


def test_a_byte_that_somebody_changed_is_named_in_red(browser: Browser, bench: Bench) -> None:
    visitor = opened(browser, bench, "operator")
    page = visitor.go("/audit")
    alert = page.get_by_role("alert")
    entries, leaves, newest = last(bench, "entries"), last(bench, "0"), bench.site.log.size - 1
    with changed(bench, entries, -3):
        verify(page)
        expect(alert).to_contain_text("The log does not hold")
        expect(alert).to_contain_text(f"Entry {newest} was changed (file {entries})")
        expect(page.locator("#verdict")).to_be_empty()
        _keep(page, "audit-alarm")
        visitor.go(f"/audit/{newest}")
        expect(alert).to_contain_text(f"Entry {newest} is not in the log that was signed")
        visitor.go("/audit/0")
        expect(page.locator("#verdict")).to_contain_text("This entry stands at place 0")
    with changed(bench, leaves, 40):
        visitor.go("/audit")
        verify(page)
        expect(alert).to_contain_text(f"Tile {leaves} was changed at entry 1")
    note = only_by(published(bench), NoteVerifier.parse(bench.site.space.card.log_key))
    of_another = cosigner(bench.site.nodes["alpha"]).cosign(f"another {note}", time=1)
    with replaced(bench, CHECKPOINT, add_signatures(note, [of_another]).encode()):
        visitor.go("/audit")
        verify(page)
        expect(alert).to_contain_text("checkpoint: expected a cosignature by")
    with changed(bench, CHECKPOINT, 0):
        visitor.go("/audit")
        expect(alert).to_contain_text("checkpoint: expected a signature")
    visitor.go("/audit")
    verify(page)
    expect(page.locator("#verdict")).to_contain_text("It holds")
    assert alert.count() == 0


def test_a_log_that_shrank_or_has_another_past(browser: Browser, bench: Bench) -> None:
    visitor, size = opened(browser, bench, "alpha"), bench.site.log.size
    page = visitor.go("/audit")
    alert = page.get_by_role("alert")
    verify(page)
    expect(page.locator("#verdict")).to_contain_text("It holds")
    kept = remembered(page)
    for change, said in (
        ({"size": size + 1}, f"The log shrank: expected at least the {size + 1} entries"),
        ({"root": "00" * 32}, f"the first {size} entries had the root {'00' * 32}"),
        ({"size": 3}, "the first 3 entries had the root"),
        ({"key": kept["key"][:-1]}, "now this server shows"),
    ):
        page.evaluate("kept => localStorage.setItem('tds-audit', kept)", json.dumps(kept | change))
        visitor.go("/audit")
        expect(alert).to_contain_text(said)
    earlier = kept | {"size": 3, "root": "11" * 32}
    page.evaluate("kept => localStorage.setItem('tds-audit', kept)", json.dumps(earlier))
    visitor.go("/audit/5")
    expect(alert).to_contain_text("The history is another: the first 3 entries")
    visitor.go("/audit")
    verify(page)
    expect(page.locator("#working")).to_be_hidden()
    expect(alert).to_contain_text("The history is another: the first 3 entries")
    assert remembered(page)["root"] == "11" * 32
    page.get_by_role("button", name="Forget what was verified here before").click()
    verify(page)
    expect(page.locator("#verdict")).to_contain_text("It holds")


@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_are_whole_light_and_accessible(
    browser: Browser, bench: Bench, axe: str, look: str
) -> None:
    visitor = opened(browser, bench, "auditor", look)
    kinds = [*bench.site.kinds()]
    decided, receipt = kinds.index("RoundDecided"), kinds.index("ReceiptAccepted")
    for path in ("/audit", f"/audit/{decided}", f"/audit/{receipt}", "/audit?text=nothing+at+all"):
        page = visitor.go(path)
        expect(page.locator("#verdict")).to_contain_text(str(bench.site.log.size))
        assert 0 < visitor.weight < MAX_PAGE_BYTES, (path, visitor.weight)
        if path[-1].isdigit():
            expect(page.locator("#told summary")).to_have_count(2)
        if path == "/audit":
            verify(page)
            expect(page.locator("#verdict .done")).to_be_visible()
        check(visitor, axe, look, path)
        if path.endswith(str(receipt)):
            for one in page.locator("summary").all():
                one.click()
            check(visitor, axe, look, path + "-open")
    with changed(bench, last(bench, "entries"), -3):
        page = visitor.go("/audit")
        verify(page)
        expect(page.get_by_role("alert")).to_be_visible()
        check(visitor, axe, look, "/audit-alarm")
    assert visitor.heard == []
    visitor.page.context.close()


def check(visitor: Visitor, axe: str, look: str, name: str) -> None:
    page = visitor.page
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    width = LOOKS[look]["viewport"]["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    _keep(page, f"audit-{look}-{name.strip('/').replace('/', '-').replace('?', '-')}")
    page.evaluate(axe)
    found = page.evaluate("axe.run().then(all => all.violations)")
    assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] == [], name
