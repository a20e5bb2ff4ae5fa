"""The pages: who sees what, in both languages, and that nothing of anybody else's is on them."""

from __future__ import annotations

import re

import pytest
from console_site import Bench, console_over, csrf, events
from server_site import SPACE, Site, constraint, make_fab, private

from policies.canonical import sha256_hex
from server.console import space_live
from server.console.uses import uses
from server.pki import Identity

PATHS = ("/space", "/runs", "/runs/new", "/consent")
MAX_PAGE_BYTES = 100_000


@pytest.mark.parametrize(("language", "tag"), [("en-GB", "en"), ("zh-CN", "zh-Hans")])
def test_every_page_opens(bench: Bench, language: str, tag: str) -> None:
    run = bench.site.open_run()
    bench.site.whole_round(run, "ask-1")
    for who in ("operator", "consumer", "auditor", "alpha"):
        browser = bench.visit(who, language)
        for path in (*PATHS, f"/runs/{run}"):
            answer = browser.get(path)
            assert answer.status_code == 200, answer.text
            assert f'<html lang="{tag}">' in answer.text
            assert len(answer.content) < MAX_PAGE_BYTES
            assert "<script>" not in answer.text and " style=" not in answer.text
            assert not re.search(r"\son[a-z]+=", answer.text), "no handler stands in the page"


@pytest.mark.parametrize("who", ["operator", "consumer", "auditor", "alpha"])
def test_a_run_shows_each_enterprise(bench: Bench, who: str) -> None:
    site = bench.site
    site.withdraw(site.nodes["gamma"])
    run = site.open_run()
    site.whole_round(run, "ask-1")
    open_round = site.authorize(run, "ask-2")
    site.submit(open_round, site.nodes["alpha"])
    text = bench.visit(who).get(f"/runs/{run}").text
    places = re.findall(r'class="place ([a-z-]+)"', text)
    assert sorted(places) == ["at-work", *["received"] * 3, *["refused"] * 2]
    assert "gamma withdrew its consent at" in text
    assert "from Round 1" in text
    assert "1 of 3 rounds closed" in text
    assert '<td class="n">0.25</td>' in text
    assert re.search("<dt>loss</dt><dd>0.25 <small>Round 1</small>", text), "one point is no curve"
    assert ("Stop this run" in text) == (who in ("operator", "consumer"))


def test_bytes_and_privacy_are_told_of_each_round(bench: Bench) -> None:
    site = bench.site
    site.add_product(site.enrol("delta"))
    site.agree(site.nodes["delta"])
    run = site.open_run(rounds=2, **private(tolerated=1))
    first = site.authorize(run, "ask-1")
    site.submit(first, *site.nodes.values())
    site.withdraw(site.nodes["gamma"])
    site.open_masks(first)
    how = site.permit(first).body.secure_sum
    assert how is not None
    sent = 4 * how.words * how.word_bits // 8
    browser = bench.visit("operator")
    text = browser.get(f"/runs/{run}").text
    assert f"{sent} B of masked updates received" in text
    places = re.findall(r'class="place ([a-z-]+)">([a-z, ]+)', text)
    assert sorted(places, reverse=True) == [("received", "in the result")] * 3 + [
        ("left-out", "left out")
    ]
    assert "the masks were opened without it" in text
    site.close_round(first, metrics={})
    site.whole_round(run, "ask-2")
    text = browser.get(f"/runs/{run}").text
    assert "0.926342</td>" in text, "ε after one use with noise 4"
    assert "ε spent" in text and "Round 2: 1.3" in text
    plain = site.open_run("run-2", agreements=[site.nodes["alpha"].agreement])
    site.whole_round(plain, "ask-1")
    assert "not masked: they pass the SuperLink only" in browser.get(f"/runs/{plain}").text


def test_the_reason_is_told_in_chinese_with_its_original(bench: Bench) -> None:
    site = bench.site
    site.withdraw(site.nodes["gamma"])
    run = site.open_run()
    site.whole_round(run, "ask-1")
    text = bench.visit("operator", "zh").get(f"/runs/{run}").text
    assert "其授权已撤回" in text and 'lang="en">(gamma withdrew' in text


def test_a_node_sees_no_run_that_it_is_not_asked_into(bench: Bench) -> None:
    site = bench.site
    run = site.open_run(agreements=[site.nodes["alpha"].agreement])
    assert bench.visit("alpha").get(f"/runs/{run}").status_code == 200
    for path in (f"/runs/{run}", f"/runs/{run}/events"):
        assert bench.visit("beta").get(path).status_code == 404
    assert run not in bench.visit("beta").get("/runs").text


def test_names_are_for_the_operator_and_for_oneself(bench: Bench) -> None:
    def names(who: str) -> set[str]:
        return set(re.findall("The (?:alpha|beta|gamma)", bench.visit(who).get("/space").text))

    assert names("operator") == {"The alpha", "The beta", "The gamma"}
    assert names("alpha") == {"The alpha"}
    assert names("consumer") == set() == names("auditor")


def test_a_consent_page_shows_only_what_is_ones_own(bench: Bench) -> None:
    site = bench.site
    site.whole_round(site.open_run(), "ask-1")
    own = bench.visit("alpha").get("/consent").text
    assert "agreement-alpha" in own and "80</td>" in own
    assert "agreement-beta" not in own and "agreement-gamma" not in own
    every = bench.visit("auditor").get("/consent").text
    assert all(f"agreement-{name}" in every for name in site.nodes)
    assert "Stop this use" not in every and "/consent/withdraw" not in every


def test_a_permit_without_a_receipt_is_a_use(bench: Bench) -> None:
    site = bench.site
    run = site.open_run()
    answer = site.authorize(run)
    site.submit(answer, site.nodes["beta"])
    assert "permitted, at work" in bench.visit("alpha").get("/consent").text
    site.close_round(answer)
    assert "it counts as a use" in bench.visit("alpha").get("/consent").text
    assert "it counts as a use" not in bench.visit("beta").get("/consent").text
    with site.governance.reading() as connection:
        assert len(uses(connection, bench.caller("auditor"))) == 3
        assert len(uses(connection, bench.caller("auditor"), most=2)) == 2
        stranger = Identity(space=SPACE, role="consumer", participant="stranger")
        assert uses(connection, stranger) == []


def test_who_is_connected_is_told_by_who_watches(bench: Bench) -> None:
    heads = bench.site.governance.witnesses.watch(bench.caller("alpha"), 0)
    text = bench.visit("operator").get("/space").text
    assert "Connected now: 1." in text
    bench.site.tick(90)
    heads.close()
    text = bench.visit("operator").get("/space").text
    assert "Connected now: 0." in text
    assert f"last seen {bench.site.now:%H:%M}" in text and text.count("not seen yet") == 6


def test_after_a_restart_the_log_tells_who_took_part_when(site: Site) -> None:
    run = site.open_run()
    site.submit(site.authorize(run), site.nodes["beta"])
    when = f"{site.now:%Y-%m-%d}"
    site.tick(86_400)
    site.reopen()
    with console_over(site) as bench:
        text = bench.visit("auditor").get("/space").text
    assert text.count(f"last took part {when}") == 3, "in both drawings and the list"
    assert text.count("not seen yet") == 6


def test_the_page_of_the_space_is_sent_what_changed(bench: Bench) -> None:
    browser = bench.visit("operator")
    assert browser.head("/space/events").status_code == 204
    assert bench.browser().get("/space/events").status_code == 401
    with browser.stream("GET", "/space/events", timeout=20) as answer:
        told = events(answer)
        first = dict([next(told), next(told), next(told)])
        assert first.keys() == {"drawing", "lists", "log"}
        assert "head cosigned by 0 of 3" in first["drawing"]
        heads = bench.site.governance.witnesses.watch(bench.caller("alpha"), 0)
        name, text = next(told)
        assert name == "drawing" and "Connected now: 1." in text
        assert next(told)[0] == "lists"
        heads.close()


def test_a_large_space_has_pages_of_a_bounded_size(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_live, "MAX_LINES", 2)
    text = bench.visit("auditor").get("/space").text
    assert text.count("<tbody>") == 2 and text.count('<th scope="row"') == 4
    assert "and 1 more: tds product list" in text
    assert "and 3 more: tds space participants" in text


def test_what_others_wrote_is_never_markup(bench: Bench, site: Site) -> None:
    site.enrol("delta", title="<script>alert(1)</script>")
    text = bench.visit("operator").get("/space").text
    assert "<script>alert" not in text and "&lt;script&gt;" in text


def test_an_owner_stops_a_use_and_lets_it_go_on(bench: Bench) -> None:
    site = bench.site
    run = site.open_run(min_cohort=1)
    browser = bench.visit("alpha")
    found = re.search(
        r'href="(/consent/urn:tdspace:transfer:[0-9a-f]+/stop)"', browser.get("/consent").text
    )
    assert found is not None
    ask = browser.get(found[1])
    assert ask.status_code == 200 and run in ask.text
    done = browser.post(found[1], data={"csrf": csrf(browser), "reason": "we think again"})
    assert done.status_code == 303
    index = int(done.headers["location"].removeprefix("/consent?entry="))
    assert f"entry {index} of the log" in browser.get(done.headers["location"]).text
    assert "of the log" not in browser.get(f"/consent?entry={index - 1}").text, "no word of ours"
    entry = site.entries()[index]
    assert entry.type == "TransferStep" and entry.body["participant"] == "alpha"
    verdicts = {one["participant"]: one for one in site.authorize(run).verdicts}
    assert verdicts["alpha"]["reasons"][0]["code"] == "transfer-suspended"
    assert verdicts["beta"]["permitted"]
    again = found[1].replace("/stop", "/start")
    assert browser.post(again, data={"csrf": csrf(browser)}).status_code == 303
    assert site.authorize(run, "ask-2").verdicts[0]["permitted"]


def test_nobody_stops_anothers_use(bench: Bench) -> None:
    bench.site.open_run()
    before = bench.site.log.size
    found = re.search(r"/consent/urn:[a-z0-9:]+/stop", bench.visit("alpha").get("/consent").text)
    assert found is not None
    for who in ("beta", "operator", "auditor", "consumer"):
        browser = bench.visit(who)
        assert browser.get(found[0]).status_code == 404
        refused = browser.post(found[0], data={"csrf": csrf(browser)})
        assert refused.status_code in (403, 404)
    assert bench.site.log.size == before


def test_a_run_is_started_once_and_stopped(bench: Bench) -> None:
    site, browser = bench.site, bench.visit("consumer")
    seeded = make_fab(
        '[project]\nname = "app"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "tests"\n'
        "[tool.flwr.app.config]\nseed = 7\n"
    )
    site.governance.catalogue.register_app(seeded, "seeded")
    page = browser.get("/runs/new").text
    request_id = re.search(r'name="request_id" value="([^"]+)"', page)
    assert request_id is not None
    form = {
        "csrf": csrf(browser),
        "request_id": request_id[1],
        "app": sha256_hex(seeded),
        "purpose": "medical-research",
        "agreement": ["agreement-alpha", "agreement-beta"],
        "rounds": "3",
        "deadline_s": "30",
        "quorum": "1",
        "min_cohort": "2",
        "memory_mib": "1024",
        "metrics": "loss",
        "clip_norm": "1",
        "secure_sum": "governance",
        "epsilon": "3",
        "unit": "record",
    }
    first = browser.post("/runs/new", data=form)
    assert first.status_code == 303, first.text
    assert browser.post("/runs/new", data=form).headers["location"] == first.headers["location"]
    assert site.kinds().count("RunOpened") == 1
    [(_, config)] = site.superlink.started
    assert config["seed"] != 7
    where = first.headers["location"]
    shown = browser.get(where).text
    spent = re.search(r"ε 0 of ([0-9.]+) spent", shown)
    assert spent is not None and 2.9 < float(spent[1]) <= 3
    assert re.search(r"noise [0-9.]+ for each record, at δ 0.00001", shown)
    assert browser.get(f"{where}/stop").status_code == 200
    stopped = browser.post(f"{where}/stop", data={"csrf": csrf(browser), "reason": "enough"})
    assert stopped.headers["location"] == where
    assert "stopped" in browser.get(where).text and "enough" in browser.get(where).text


def test_the_form_names_the_purposes_of_the_agreements(bench: Bench) -> None:
    browser, site = bench.visit("consumer"), bench.site
    assert "such as diagnosis-support" in browser.get("/runs/new").text
    for name, purpose in (("delta", "quality-control"), ("eta", "research"), ("zeta", "research")):
        site.add_product(site.enrol(name))
        site.agree(site.nodes[name], constraint("purpose", "isA", purpose))
    text = browser.get("/runs/new").text
    assert 'value="research"' in text
    assert "Purposes that these agreements name: research, quality-control" in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rounds": "0"}, "rounds"),
        ({"rounds": "many"}, "rounds: expected a whole number"),
        ({"agreement": []}, "agreements"),
        ({"agreement": ["agreement-nobody"]}, "expected one with consortium"),
        ({"app": "0" * 64}, "expected a registered app"),
        ({"clip_norm": "-1"}, "clip_norm"),
        ({"quorum": "3"}, "quorum"),
        ({"epsilon": "much"}, "epsilon: expected a number"),
        ({"epsilon": "0"}, "epsilon"),
        ({"epsilon": "0.000000000001"}, "epsilon"),
        ({"epsilon": "3", "unit": "planet"}, "unit"),
        ({"epsilon": "3"}, "secure_sum"),
    ],
)
def test_a_run_that_cannot_be_is_not_started(
    bench: Bench, change: dict[str, object], told: str
) -> None:
    browser = bench.visit("consumer")
    form: dict[str, object] = {
        "csrf": csrf(browser),
        "request_id": "once",
        "app": sha256_hex(make_fab()),
        "purpose": "medical-research",
        "agreement": ["agreement-alpha"],
        "rounds": "1",
        "deadline_s": "30",
        "quorum": "1",
        "min_cohort": "1",
        "memory_mib": "1024",
        "metrics": "loss",
        "clip_norm": "1",
        "secure_sum": "none",
        "epsilon": "",
        "unit": "record",
    }
    answer = browser.post("/runs/new", data=form | change)
    assert answer.status_code == 400
    assert told in answer.text
    assert "RunOpened" not in bench.site.kinds()


@pytest.mark.parametrize("who", ["operator", "auditor", "alpha"])
def test_only_a_consumer_starts_runs(bench: Bench, who: str) -> None:
    browser = bench.visit(who)
    assert browser.post("/runs/new", data={"csrf": csrf(browser)}).status_code == 403


@pytest.mark.parametrize("who", ["auditor", "alpha"])
def test_only_the_consumer_and_the_operator_stop_runs(bench: Bench, who: str) -> None:
    run = bench.site.open_run()
    browser = bench.visit(who)
    answer = browser.post(f"/runs/{run}/stop", data={"csrf": csrf(browser)})
    assert answer.status_code == 403
    assert "RunEnded" not in bench.site.kinds()
