"""The log's pages: searched, entry by entry, for whom; no verdict comes from the server."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import console_site
import pytest
from console_site import Bench
from server_site import Site
from test_server_rotation import rotate

from ledger.folder import CHECKPOINT
from ledger.log import Log
from policies.entries import entry_bytes
from policies.parts import log_lines
from server.console import log_search
from server.console.app import STATIC
from server.console.audit_pages import SCRIPT_PREFIX
from server.console.log_lines import LogLines
from server.console.log_search import Wanted, parse_wanted, search
from server.console.statements import SIGNERS, statements
from server.console.words import ALL
from server.errors import BadInput, NotKnown, Unavailable

LOG_PAGE_BYTES = 100_000


def shown(text: str) -> list[int]:
    """The entries that a page of the log lists."""
    return [
        int(one) for one in re.findall(r'<th scope="row" class="n"><a href="/audit/(\d+)"', text)
    ]


@pytest.mark.parametrize(
    ("who", "language"),
    [("operator", "en"), ("consumer", "zh"), ("auditor", "zh"), ("alpha", "en")],
)
def test_whoever_is_signed_in_reads_the_log(bench: Bench, who: str, language: str) -> None:
    site = bench.site
    site.whole_round(site.open_run(), "ask-1")
    browser = bench.visit(who, language)
    log = browser.get("/audit")
    assert log.status_code == 200
    assert shown(log.text) == [*range(site.log.size)][::-1][: log_search.PAGE]
    assert ("/audit/report" in log.text) == (who in ("operator", "auditor"))
    receipt = [*site.kinds()].index("ReceiptAccepted")
    entry = browser.get(f"/audit/{receipt}")
    assert entry.status_code == 200
    assert ("80 rows" if language == "en" else "80 行") in entry.text
    for page in (log, entry):
        assert len(page.content) < LOG_PAGE_BYTES
        assert "<script>" not in page.text and " style=" not in page.text
    assert browser.get(f"/audit/{site.log.size}").status_code == 404
    assert browser.get("/audit/1x").status_code == 404


def test_nobody_else_reads_it(bench: Bench) -> None:
    browser = bench.browser()
    for path in (
        "/audit",
        "/audit/0",
        "/audit/0/told",
        "/audit/report",
        "/log/checkpoint",
        "/log/tile/0/000.p/1",
    ):
        assert browser.get(path).status_code == 401, path


def test_the_files_are_those_of_the_folder(bench: Bench) -> None:
    browser, folder = bench.visit("alpha"), bench.site.space.log_folder
    answer = browser.get("/log/checkpoint")
    assert answer.content == (folder / CHECKPOINT).read_bytes()
    width = bench.site.log.size
    for path in (f"tile/0/000.p/{width}", f"tile/entries/000.p/{width}"):
        answer = browser.get(f"/log/{path}")
        assert answer.content == (folder / path).read_bytes()
        assert answer.headers["cache-control"] == "no-store"
    for path in ("nothing", "tile/0/999", "..%2flog.sqlite"):
        assert browser.get(f"/log/{path}").status_code == 404
    assert browser.post("/log/checkpoint").status_code in (404, 405)


def test_names_are_shown_to_who_may_know_them(bench: Bench) -> None:
    enrolled = [*bench.site.kinds()].index("ParticipantEnrolled")
    for who, named in (("operator", True), ("alpha", True), ("beta", False), ("auditor", False)):
        browser = bench.visit(who)
        for path in (
            f"/audit/{enrolled}",
            f"/audit/{enrolled}/told",
            "/audit?type=ParticipantEnrolled",
        ):
            assert ("The alpha (alpha)" in browser.get(path).text) == named, (who, path)


def test_an_entry_is_told_with_what_was_signed(bench: Bench) -> None:
    site = bench.site
    site.whole_round(site.open_run(), "ask-1")
    browser = bench.visit("consumer")
    kinds = [*site.kinds()]
    text = browser.get(f"/audit/{kinds.index('ReceiptAccepted')}").text
    assert "application/vnd.tdspace.receipt+json" in text
    assert f'data-key-entry="{kinds.index("ParticipantEnrolled")}"' in text
    assert "&#34;rows_used&#34;: 80" in text
    decided = browser.get(f"/audit/{kinds.index('RoundDecided')}").text
    assert "3 of 3 candidates permitted" in decided
    assert "holds no statement" in decided and "data-statement" not in decided
    told = browser.get(f"/audit/{kinds.index('RoundDecided')}/told").text
    assert told.count("<h3>") == 3 and "alpha may use" not in decided
    assert f'href="/audit/{kinds.index("PermitIssued")}"' in told
    assert browser.get("/audit/x/told").status_code == 404


def test_each_key_is_found_where_it_was_named(bench: Bench) -> None:
    """Also one that is no longer in use, and the one that took its place."""
    site = bench.site
    enrolled = [*site.kinds()].index("ParticipantEnrolled")
    rotate(site)
    rotated = site.log.size - 1
    site.withdraw(site.nodes["alpha"])
    expected = {"ProductRegistered": enrolled, "KeyRotated": enrolled, "ConsentWithdrawn": rotated}
    expected |= {"CertificateIssued": 0}
    found: dict[str, int | None] = {}
    with site.governance.reading() as connection:
        for entry in site.entries():
            for one in statements(connection, entry):
                found.setdefault(entry.type, one.key_entry)
    assert {kind: found[kind] for kind in expected} == expected
    assert set(found) <= set(SIGNERS)


FOUND = {
    "type=RoundClosed": {"RoundClosed"},
    "round=1&type=PermitIssued": {"PermitIssued"},
    "round=9": set(),
    "participant=beta&type=ReceiptAccepted": {"ReceiptAccepted"},
    "participant=bet": set(),
    "run=run-&type=RunOpened": {"RunOpened"},
    "run=run-nothing": set(),
    "text=MEDICAL-research&type=PermitIssued": {"PermitIssued"},
    "text=%22purpose%22": set(),
    "type=ForkSeen": set(),
}
REFUSED = ("type=Nothing", "round=one", "round=-1", "run=%22", "before=x", f"text={'x' * 201}")


def test_a_search_finds_what_fits(bench: Bench) -> None:
    site = bench.site
    site.whole_round(site.open_run(), "ask-1")
    browser, entries = bench.visit("alpha"), site.entries()
    for query, kinds in FOUND.items():
        found = shown(browser.get(f"/audit?{query}").text)
        assert {entries[index].type for index in found} == kinds, query
    for query in REFUSED:
        assert browser.get(f"/audit?{query}").status_code == 400, query


def test_a_search_is_paged_down_to_the_beginning(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_search, "PAGE", 7)
    browser, seen, path = bench.visit("alpha"), [], "/audit?participant=alpha"
    while path:
        text = browser.get(path).text
        seen += shown(text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        path = html.unescape(older[1]) if older else ""
    assert seen == sorted(seen, reverse=True) and len(seen) == len(set(seen)) > 1
    assert browser.get("/audit?index=3").headers["location"] == "/audit/3"


def test_a_search_that_takes_too_long_says_how_far_it_came(site: Site) -> None:
    lines, clock = LogLines(site.space.log_folder), iter(range(100))
    wanted = Wanted(text="nothing that stands there")
    hits = search(lines, wanted, before=None, now=lambda: next(clock))
    assert hits.entries == () and hits.looked and hits.further == site.log.size - 1
    whole = search(lines, wanted, before=None, now=lambda: 0.0)
    assert whole.further is None and not whole.looked


def test_an_entry_in_parts_is_found_and_shown_as_one(tmp_path: Path, site: Site) -> None:
    text = "界" * 60_000
    time = "2026-01-31T08:00:00.000Z"
    long = entry_bytes("ReportsMade", time=time, body={"run": "run-1", "reports": [text]})
    short = entry_bytes("RunEnded", time=time, body={"run": "run-2"})
    lines = [*log_lines(short), *log_lines(long), *log_lines(short)]
    with Log.open(
        folder=tmp_path / "log",
        database=tmp_path / "log.sqlite",
        last_signed=tmp_path / "last",
        signer=site.space.log_signer(),
    ) as log:
        log.append([short] * 250 + lines)
    read = LogLines(tmp_path / "log")
    place = 250 + len(lines) - 2
    assert read.entry(place, read.size()) == (place, long)
    found = search(read, parse_wanted({"run": "run-1"}), before=None, now=lambda: 0.0)
    assert [(index, entry.type) for index, entry in found.entries] == [(place, "ReportsMade")]
    every = [index for index, _ in read.downwards(read.size(), read.size())]
    assert every == [place + 1, place, *range(250, -1, -1)]
    with pytest.raises(NotKnown, match="from 0 to"):
        read.entry(10_000, read.size())


@pytest.mark.parametrize("gone", [CHECKPOINT, "tile/entries"])
def test_files_that_are_gone_leave_a_page_that_verifies(bench: Bench, gone: str) -> None:
    path = bench.site.space.log_folder / gone
    path.rename(path.with_name("away"))
    answer = bench.visit("alpha").get("/audit")
    assert answer.status_code == 503 and 'id="verify"' in answer.text
    assert "verify the log" in answer.text and str(path.parent) not in answer.text
    with pytest.raises(Unavailable):
        lines = LogLines(bench.site.space.log_folder)
        lines.entry(0, lines.size())
    path.with_name("away").rename(path)


def test_only_operator_and_auditors_download_the_report(bench: Bench) -> None:
    bench.site.whole_round(bench.site.open_run(), "ask-1")
    assert bench.visit("alpha").get("/audit/report").status_code == 403
    assert bench.visit("consumer").get("/audit/report").status_code == 403
    answer = bench.visit("auditor", "zh").get("/audit/report", timeout=60)
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    assert '<html lang="zh' in answer.text and "alpha" in answer.text


def test_the_script_has_a_sentence_for_each_code() -> None:
    """Every fault that the script throws, every word that it says, in both languages."""
    text = "".join(path.read_text(encoding="utf-8") for path in (STATIC / "audit").glob("*.js"))
    said = set(re.findall(r'\bsay\("([a-z-]+)"', text))
    said |= {f"fault-{code}" for code in re.findall(r'Broken\("([a-z-]+)"', text)}
    said |= {
        f"fault-{code}" for code in re.findall(r'"((?:entry|leaf)-(?:changed|differs))"', text)
    }
    said |= {f"why-{code}" for code in re.findall(r'Unknown\("([a-z0-9-]+)"', text)}
    said |= {"alarm", "unknown", "signed-yours", "signed-theirs"}
    for words in ALL.values():
        assert set(words.beginning(SCRIPT_PREFIX)) == said
    places = [
        {key: sorted(re.findall(r"\{\w+\}", one)) for key, one in words.beginning("").items()}
        for words in ALL.values()
    ]
    assert places[0] == places[1]


def test_the_page_tells_the_script_its_words_and_the_key(bench: Bench) -> None:
    text = bench.visit("alpha", "zh").get("/audit").text
    told = re.search(r'data-words="([^"]+)"', text)
    assert told is not None
    assert json.loads(html.unescape(told[1])) == ALL["zh"].beginning(SCRIPT_PREFIX)
    assert f'data-key="{bench.site.space.card.log_key}"' in text


def test_without_a_teller_entries_are_shown_as_they_stand(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_site, "ConsoleTeller", lambda _key: None)
    with console_site.console_over(site) as bench:
        browser = bench.visit("operator")
        assert len(shown(browser.get("/audit").text)) == site.log.size
        text = browser.get("/audit/2").text
        assert "ParticipantEnrolled" in text and "tds audit explain ./log 2" in text
        assert browser.get("/audit/2/told").status_code == 404
        assert browser.get("/audit/report").status_code == 403


def test_a_run_is_no_round(site: Site) -> None:
    with pytest.raises(BadInput, match="expected an id"):
        parse_wanted({"participant": "a b"})
