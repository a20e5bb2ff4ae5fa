"""The policies' pages: read, checked, compared, tried and negotiated, by whom they concern."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from console_site import Bench, console_over, csrf
from dsp_site import Contracts, copied, offer
from server_site import CONSUMER, Site, constraint, count_at_most

from policies.findings import Finding
from policies.odrl import MAX_BYTES
from server.console.negotiating import request_command, turn_of
from server.console.pondering import Pondering
from server.console.read_lines import told
from server.console.shelf import read_policy
from server.dsp.negotiation import NEGOTIATION
from server.errors import TooMany

CORE = constraint("classification", "eq", "core")
GENERAL = constraint("classification", "eq", "general")


def text_of(answer: httpx.Response) -> str:
    """What a page says, without its markup."""
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.text)))


@pytest.fixture
def dsp(bench: Bench) -> Contracts:
    return Contracts(bench.site)


@pytest.fixture(scope="module")
def shared(populated: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A console for tests that publish and look, and change nothing that another one looks at."""
    folder = tmp_path_factory.mktemp("policies") / "space"
    with copied(populated, folder) as site, console_over(site) as made:
        yield made


@pytest.fixture(scope="module")
def shop(shared: Bench) -> Contracts:
    """Its owner."""
    return Contracts(shared.site)


@pytest.fixture(scope="module")
def buyer(shared: Bench) -> httpx.Client:
    """A consumer's browser there."""
    return shared.visit("consumer")


def read(kind: str, id: str) -> str:
    return f"/policies/read/{kind}/{quote(id)}"


def what_if(id: str, kind: str = "offer", **query: Any) -> str:
    more = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
    return f"/policies/what-if/{kind}/{quote(id)}" + (f"?{more}" if more else "")


# -- who sees what -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_opens_for_everybody(bench: Bench, dsp: Contracts, language: str) -> None:
    made = dsp.publish(count_at_most(3), CORE, GENERAL)
    row = dsp.request(made)
    paths = ["/policies", "/policies/check", "/policies/compare", read("offer", made.id)]
    paths += [what_if(made.id), f"/policies/compare?a=offer:{made.id}&b=offer:{made.id}"]
    mine = [read("agreement", "agreement-alpha"), what_if("agreement-alpha", "agreement")]
    mine += [f"/policies/negotiation/{row.id}"]
    for who in ("operator", "consumer", "auditor", "alpha", "beta"):
        browser = bench.visit(who, language)
        for path in paths:
            answer = browser.get(path)
            assert answer.status_code == 200, answer.text
            assert "<script>" not in answer.text and " style=" not in answer.text
            assert answer.text.count("<h1") == 1 and len(answer.content) < 100_000
        for path in mine:
            assert browser.get(path).status_code == (404 if who == "beta" else 200), (who, path)
    assert "agreement-alpha" not in bench.visit("beta").get("/policies").text
    assert row.id not in bench.visit("beta").get("/policies").text


# -- reading and checking ------------------------------------------------------------------------


def test_findings_stand_beside_their_sentence(bench: Bench, dsp: Contracts) -> None:
    made = dsp.publish(CORE, GENERAL)
    page = bench.visit("alpha").get(read("offer", made.id)).text
    told_at = page.index("Permission 1: any use is permitted if all of this holds:")
    found_at = page.index("permission 1 can never be met: constraint 1 and constraint 2 exclude")
    assert told_at < found_at < page.index("the product is core data")
    assert "this policy can never permit anything" in page
    assert json.dumps(made.to_json()["permission"][0]["action"]) in html.unescape(page)  # type: ignore[call-overload, index]
    chinese = text_of(bench.visit("alpha", "zh").get(read("offer", made.id)))
    assert "该许可永远无法满足。" in chinese and "放宽相互排斥的条件" in chinese
    assert 'class="severity error"' in bench.visit("alpha").get("/policies").text


def test_a_finding_without_a_sentence_of_its_own_stands_with_the_nearest() -> None:
    policy = read_policy(json.dumps(made_offer(count_at_most(3))))
    found = [
        Finding("note", "undecided", path, "t", "f")
        for path in ("$.permission[0].constraint[0].rightOperand", "$.permission[7]", "$")
    ]
    page = told(policy, "en", found)
    assert len(page.findings) == 2
    assert len(page.lines[0].parts[0].findings) == 1


def test_only_so_many_questions_are_thought_about_at_a_time() -> None:
    pondering = Pondering(at_once=1, patience_s=0.01)
    with pondering.turn(), pytest.raises(TooMany), pondering.turn():
        pass
    with pondering.turn():
        pass


def made_offer(*parts: dict[str, Any]) -> dict[str, Any]:
    class Owner:
        name = "alpha"

    return offer(Owner, "offer-x", *parts).to_json()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        (json.dumps(made_offer(count_at_most(3))), 200, "is at most 3"),
        (json.dumps(made_offer(CORE, GENERAL)), 200, "can never permit anything"),
        (json.dumps(made_offer(CORE)), 200, "what is registered about the product leaves nothing"),
        (json.dumps(made_offer()), 200, "Permission 1: any use is permitted, without a condition."),
        ("{", 400, "no policy of the profile"),
        ('{"@type": "Set"}', 400, "expected 'Offer' or 'Agreement'"),
        ("[]", 400, "expected 'Offer' or 'Agreement'"),
        (json.dumps(made_offer() | {"conflict": "perm"}), 400, "$.conflict"),
        ("x" * (MAX_BYTES + 1), 400, "no policy of the profile"),
        ("<script>alert(1)</script>", 400, "&lt;script&gt;"),
    ],
)
def test_a_pasted_policy_is_read_and_not_kept(
    shared: Bench, text: str, status: int, says: str
) -> None:
    browser, before = shared.visit("alpha"), shared.site.log.size
    form = {"csrf": csrf(browser), "document": text, "product": "alpha/records"}
    answer = browser.post("/policies/check", data=form)
    assert answer.status_code == status
    assert says in answer.text.replace("&#39;", "'")
    assert shared.site.log.size == before and "offer-x" not in browser.get("/policies").text


def test_two_policies_side_by_side(shared: Bench, shop: Contracts) -> None:
    few = shop.publish(count_at_most(3))
    many = shop.publish(count_at_most(9))
    never = shop.publish(CORE, GENERAL)
    browser = shared.visit("operator")

    def compared(a: str, b: str) -> str:
        return text_of(browser.get(f"/policies/compare?a={quote(a)}&b={quote(b)}"))

    within = compared(f"offer:{few.id}", f"offer:{many.id}")
    assert "A permits only what B permits: yes" in within
    assert "B permits only what A permits: no" in within
    assert "They do not contradict each other." in within and within.count("decides") == 2
    against = compared(f"offer:{never.id}", "agreement:agreement-alpha")
    assert "A permits no request to" in against
    theirs = "/policies/compare?a=agreement:agreement-alpha&b="
    assert shared.visit("beta").get(theirs).status_code == 404


# -- what if -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "query", "says"),
    [
        ([], {}, ["It would be permitted.", "permission 1 decides"]),
        ([count_at_most(3)], {"v-count": "3"}, ["It would be permitted.", "is at most 3 3 yes"]),
        (
            [count_at_most(3)],
            {"v-count": "7"},
            [
                "It would be refused.",
                "No permission is met in every condition: permission 1.",
                "is at most 3 7 no",
                "3 instead of 7 (this only grows: a new agreement is needed)",
            ],
        ),
        ([count_at_most(3)], {"v-count": ""}, ["is at most 3 not known", "3 instead of not known"]),
        (
            [constraint("purpose", "isA", "medical-research")],
            {"v-purpose": "marketing"},
            ["The purpose: medical-research instead of marketing"],
        ),
        (
            [constraint("notTogetherWith", "isNoneOf", "beta")],
            {"v-notTogetherWith-0": "on"},
            ["none of these takes part: beta beta no", "nobody instead of beta"],
        ),
        (
            [constraint("purpose", "isA", "medical-research"), count_at_most(3)],
            {"v-purpose": "marketing", "v-count": "7"},
            ["medical-research instead of marketing", "3 instead of 7"],
        ),
        (
            [],
            {"v-classification": "core", "v-anonymization": "agreed"},
            ["It would be refused.", "This decides: the law", "general instead of core"],
        ),
        ([CORE, GENERAL], {}, ["No request of this kind is ever permitted here"]),
        ([], {"action": "infer"}, ["It would be permitted."]),
    ],
)
def test_what_if(
    shop: Contracts,
    buyer: httpx.Client,
    parts: list[dict[str, Any]],
    query: dict[str, str],
    says: list[str],
) -> None:
    made = shop.publish(*parts)
    known = {
        "ask": "1",
        "consumer": "consortium",
        "action": "train",
        "v-classification": "general",
        "v-personalInformation": "no",
        "v-crossBorder": "no",
    }
    answer = buyer.get(what_if(made.id, **(known | query)))
    for one in says:
        assert one in text_of(answer)
    tries = re.findall(r'href="([^"]+)#verdict" aria-label="Try it', answer.text)
    assert bool(tries) == any("instead of" in one for one in says)
    for way in tries:
        tried = text_of(buyer.get(html.unescape(way)))
        assert "It would be permitted." in tried, way


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, ["It would be permitted.", "Duty after the use: report the result."]),
        (
            {"v-recipient": "rival"},
            ["This decides: prohibition 1.", "the recipient is rival rival yes"],
        ),
        ({"v-recipient": ""}, ["This decides: prohibition 1.", "may apply"]),
        ({"v-inform": "pending"}, ["A duty that is not fulfilled decides: inform the owner."]),
        (
            {"v-compensate": "pending"},
            [
                "No permission is met in every condition: permission 1.",
                "fulfilled instead of not yet",
            ],
        ),
        ({"v-report": "violated"}, ["A duty that is not fulfilled decides", "not known instead"]),
        ({"action": "evaluate"}, ["No permission covers this at all.", "about something else"]),
        ({"v-classification": ""}, ["This decides: the law", "general instead of not known"]),
    ],
)
def test_which_rule_decides(
    shop: Contracts, buyer: httpx.Client, query: dict[str, str], says: list[str]
) -> None:
    rules: dict[str, Any] = {
        "permission": [{"action": "train", "duty": [{"action": "compensate"}]}],
        "prohibition": [{"action": "use", "constraint": [constraint("recipient", "eq", "rival")]}],
        "obligation": [{"action": "inform"}, {"action": "report"}],
    }
    made = offer(shop.owner, "offer-of-all-kinds", **rules)
    shop.site.governance.contracts.offers.publish(shop.owner.identity, shop.offer_envelope(made))
    known = {"ask": "1", "consumer": "consortium", "v-classification": "general"}
    known |= {"v-personalInformation": "no", "v-crossBorder": "no", "v-recipient": "consortium"}
    known |= {"v-compensate": "fulfilled", "v-inform": "fulfilled"}
    page = text_of(buyer.get(what_if(made.id, **(known | query))))
    for one in says:
        assert one in page


def test_anothers_agreement_decides_nothing(shared: Bench) -> None:
    path = what_if("agreement-alpha", "agreement", ask=1, consumer="rival")
    page = text_of(shared.visit("operator").get(path))
    assert "The policy is about another product or another consumer." in page
    assert "No request of this kind is ever permitted here" in page


def test_a_use_is_tried_as_things_stand(bench: Bench) -> None:
    site = bench.site
    site.whole_round(site.open_run(), "ask-1")
    node = site.nodes["alpha"]
    site.agree(node, count_at_most(2), **{"@id": "few"})
    run = site.open_run("run-2", agreements=["few"], purpose="drug-safety")
    for kind, expected in (("train", "permitted"), ("evaluate", "permitted")):
        path = what_if("few", "agreement", run=run, action=kind)
        page = text_of(bench.visit("consumer").get(path))
        assert f"It would be {expected}." in page and "is at most 2 1 yes" in page
    site.whole_round(run, "ask-1")
    site.whole_round(run, "ask-2")
    page = text_of(bench.visit("auditor").get(what_if("few", "agreement", run=run)))
    assert "It would be refused." in page and "is at most 2 3 no" in page


def test_what_refuses_before_any_policy_is_said(bench: Bench) -> None:
    site = bench.site
    site.withdraw(site.nodes["gamma"])
    page = text_of(bench.visit("gamma").get(what_if("agreement-gamma", "agreement")))
    assert "every round is refused: its consent was withdrawn" in page


def test_a_whole_round_is_tried_as_it_would_be_decided(bench: Bench) -> None:
    site = bench.site
    node = site.nodes["alpha"]
    right = {"@value": "2", "@type": "xsd:integer"}
    company = {"leftOperand": "minParticipants", "operator": "gteq", "rightOperand": right}
    site.agree(node, company, **{"@id": "in-company"})
    run = site.open_run(agreements=["in-company", "agreement-beta", "agreement-gamma"])
    site.withdraw(site.nodes["gamma"])
    browser, before = bench.visit("consumer"), site.log.size
    path = f"/policies/round/{run}"
    page = text_of(browser.get(path))
    assert "2 of 3 would be permitted." in page and "withdrew its consent" in page
    alone = text_of(browser.get(f"{path}?ask=1&kind=train&in-0=on"))
    assert "0 of 3 would be permitted." in alone
    assert "the number of participants would have to be at least 2" in alone
    assert "the node of beta is not online" in alone
    wrong = browser.get(f"{path}?ask=1&min_cohort=none&in-0=on")
    assert wrong.status_code == 400 and "min_cohort" in wrong.text
    assert site.log.size == before
    for query in ("", "?ask=1&purpose=marketing&min_cohort=3"):  # an enterprise changes nothing
        own = bench.visit("beta", "zh").get(path + query).text
        assert "3 家中将有 2 家获准。" in own and "<select" not in own
        assert "in-company" not in own and "alpha" not in own
    decided = {one["participant"]: one["permitted"] for one in site.authorize(run).verdicts}
    assert decided == {"alpha": True, "beta": True, "gamma": False}
    other = site.open_run("run-2", agreements=["agreement-beta"])
    assert bench.visit("alpha").get(f"/policies/round/{other}").status_code == 404


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"v-count": "many"}, "count"),
        ({"v-dateTime": "soon"}, "$.at"),
        ({"v-count": "0"}, "possible value of count"),
        ({"consumer": "two words"}, "participant's id"),
    ],
)
def test_a_value_that_cannot_be_is_told_of(
    shop: Contracts, buyer: httpx.Client, query: dict[str, str], says: str
) -> None:
    made = shop.publish(count_at_most(3))
    known = {"ask": "1", "consumer": "consortium", "v-count": "1"}
    answer = buyer.get(what_if(made.id, **(known | query)))
    assert answer.status_code == 400 and says in html.unescape(answer.text)


# -- negotiating ---------------------------------------------------------------------------------


def test_an_offer_is_asked_for_signed_elsewhere_and_followed(bench: Bench, dsp: Contracts) -> None:
    made = dsp.publish(count_at_most(3))
    browser, owner = bench.visit("consumer"), bench.visit("alpha")
    asked = browser.post(f"/policies/request/{made.id}", data={"csrf": csrf(browser)})
    assert asked.status_code == 303
    where = asked.headers["location"]
    assert "The owner answers" in text_of(browser.get(where))
    id = where.rpartition("/")[2]
    command = f"tds contract accept {id} --node ./NODE"
    assert command in text_of(owner.get(where)) and command not in browser.get(where).text
    polled = re.search(r'hx-get="([^"]+)"', browser.get(where).text)
    assert polled is not None
    assert browser.get(polled[1]).status_code == 204
    assert bench.visit("beta").get(polled[1]).status_code == 404
    assert bench.visit("auditor").get(polled[1]).status_code == 204
    row = dsp.agree(bench.site.governance.contracts.negotiations.get(bench.caller("consumer"), id))
    changed = browser.get(polled[1])
    verify = f"tds contract verify {id} --offer {made.id} --consumer ./CONSUMER"
    assert changed.status_code == 200 and verify in changed.text
    assert changed.text.lstrip().startswith('<div id="turn"')
    dsp.verify(row)
    over = browser.get(polled[1])
    assert over.status_code == 286 and "hx-get" not in over.text
    assert f"/policies/read/agreement/{row.agreement}" in over.text
    assert "is at most 3" in text_of(browser.get(read("agreement", str(row.agreement))))


def test_an_id_that_somebody_else_chose_does_nothing_in_a_shell() -> None:
    nasty = "x;$(reboot)`id`'\"?#%<b>"
    one: dict[str, Any] = {"state": "AGREED", "consumer": "consortium", "negotiation": nasty}
    one |= {"offer": nasty, "consumer_pid": "urn:tdspace:console:1", "word_for_word": True}
    commands = [one.text for one in turn_of(CONSUMER, one, auto=False).commands]
    for command in (request_command("alpha/records", nasty), *commands):
        assert nasty in shlex.split(command)


@pytest.mark.parametrize("state", sorted(NEGOTIATION.states - {"VERIFIED"}))
def test_whose_turn_it_is(shared: Bench, shop: Contracts, state: str) -> None:
    row = shop.in_state(state)
    pages = {
        who: shared.visit(who).get(f"/policies/negotiation/{row.id}").text
        for who in ("consumer", "alpha", "operator")
    }
    turn = {"REQUESTED": "alpha", "OFFERED": "consumer", "ACCEPTED": "alpha", "AGREED": "consumer"}
    commands = {who: len(re.findall("data-copy=", page)) for who, page in pages.items()}
    assert {who for who, count in commands.items() if count} == {turn.get(state)} - {None}
    for who, party in (("consumer", "consumer"), ("alpha", "provider"), ("operator", "")):
        may = bool(party) and NEGOTIATION.check(state, "TERMINATED", party) is None  # type: ignore[arg-type]
        assert ("/policies/negotiation-end/" in pages[who]) == may, who


@pytest.mark.parametrize("who", ["consumer", "alpha"])
@pytest.mark.parametrize("state", ["REQUESTED", "OFFERED"])
def test_a_negotiation_is_ended_by_its_parties(
    bench: Bench, dsp: Contracts, state: str, who: str
) -> None:
    row = dsp.in_state(state)
    browser, path = bench.visit(who), f"/policies/negotiation-end/{row.id}"
    assert browser.get(path).status_code == 200
    done = browser.post(path, data={"csrf": csrf(browser), "reason": "not like this"})
    assert done.status_code == 303
    shown = text_of(browser.get(done.headers["location"]))
    assert "It was ended:" in shown and "not like this" in shown
    assert browser.post(path, data={"csrf": csrf(browser)}).status_code == 403


def test_an_owners_own_offer_is_ended_by_who_never_answered(bench: Bench, dsp: Contracts) -> None:
    made = offer(dsp.owner, "offer-to-one")
    row = bench.site.governance.contracts.owners.open(dsp.owner.identity, dsp.opening(made))
    browser = bench.visit("consumer")
    assert "tds contract accept" in browser.get(f"/policies/negotiation/{row.id}").text
    path = f"/policies/negotiation-end/{row.id}"
    assert browser.post(path, data={"csrf": csrf(browser)}).status_code == 303


def test_nobody_else_asks_or_ends(bench: Bench, dsp: Contracts) -> None:
    made = dsp.publish()
    row = dsp.request(made)
    before = bench.site.log.size
    for who in ("operator", "auditor", "alpha", "beta"):
        browser = bench.visit(who)
        token = {"csrf": csrf(browser)}
        assert browser.post(f"/policies/request/{made.id}", data=token).status_code == 403
        if who != "alpha":
            path = f"/policies/negotiation-end/{row.id}"
            assert browser.post(path, data=token).status_code in (403, 404)
            assert browser.get(path).status_code in (403, 404)
    browser = bench.visit("consumer")
    for path in (f"/policies/request/{made.id}", f"/policies/negotiation-end/{row.id}"):
        assert browser.post(path, data={"csrf": "x" * 43}).status_code == 403
    assert bench.site.log.size == before


def test_what_was_taken_back_is_not_asked_for(bench: Bench, dsp: Contracts) -> None:
    made = dsp.publish()
    envelope = dsp.offer_envelope(None, offer=made.id)
    bench.site.governance.contracts.offers.publish(dsp.owner.identity, envelope)
    browser = bench.visit("consumer")
    assert browser.get(f"/policies/request/{made.id}").status_code == 404
    assert "taken back" in text_of(browser.get(read("offer", made.id)))
    assert "the offer was taken back" in text_of(browser.get(what_if(made.id)))
