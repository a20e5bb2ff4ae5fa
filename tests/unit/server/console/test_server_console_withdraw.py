"""Withdrawing at a click: what is taken in advance, what is filed, and what the page shows then."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from console_site import Bench, csrf
from server_site import Node, withdrawal_envelope

from policies.canonical import canonical_bytes
from server.console.advance import MAX_IN_ADVANCE, checked, envelopes_of
from server.errors import BadInput, NotAllowed

PATH = "/consent/withdraw"


def signed(bench: Bench, name: str = "alpha", **changes: Any) -> bytes:
    node: Node = bench.site.nodes[name]
    return withdrawal_envelope(node, bench.site.now, **({"reason": ""} | changes))


def taken(bench: Bench, name: str, envelopes: Sequence[bytes]) -> dict[str, bytes]:
    with bench.site.governance.reading() as connection:
        return dict(checked(connection, bench.caller(name), envelopes))


def body(*envelopes: bytes, **changes: Any) -> bytes:
    encoded = [base64.b64encode(one).decode() for one in envelopes]
    return canonical_bytes({"version": 1, "withdrawals": encoded} | changes)


def test_a_click_files_what_the_node_signed(bench: Bench) -> None:
    site, envelope = bench.site, signed(bench)
    run = site.open_run()
    answer = site.authorize(run, "ask-1")
    owner = bench.visit("alpha", withdrawals=taken(bench, "alpha", [envelope]))
    assert f"{PATH}?agreement=agreement-alpha" in owner.get("/consent").text
    asked = owner.get(PATH, params={"agreement": "agreement-alpha"})
    assert "for good" in asked.text and "tds node withdraw" not in asked.text
    assert "ConsentWithdrawn" not in site.kinds()

    form = {"csrf": csrf(owner), "agreement": "agreement-alpha"}
    assert owner.post(PATH, data=form | {"csrf": "x"}).status_code == 403
    done = owner.post(PATH, data=form)
    index = site.kinds().index("ConsentWithdrawn")
    assert done.headers["location"] == f"/consent?withdrawn={index}"
    assert site.entries()[index].body["envelope"] == base64.b64encode(envelope).decode()
    page = owner.get(done.headers["location"]).text
    assert f"in entry {index}" in page and f'hx-get="/consent/effect?entry={index}"' in page
    assert "the use that was under way is being ended" in page and "waiting for its next" in page

    seen = {"entry": index, "seen": page.rpartition('name="seen" value="')[2][:16]}
    assert owner.get("/consent/effect", params=seen).status_code == 204
    assert owner.get("/consent/effect", params={"entry": index}).status_code == 200

    site.submit(answer, site.nodes["beta"], site.nodes["gamma"])
    site.tick(9)
    site.close_round(answer)
    site.authorize(run, "ask-2")
    told = owner.get("/consent/effect", params={"entry": index})
    assert told.status_code == 286  # htmx asks no more
    assert "was left out" in told.text and "round 2 was decided without" in told.text
    assert "its consent was withdrawn" in told.text
    again = owner.post(PATH, data=form)  # a form that was sent twice
    assert again.headers["location"] == f"/consent?withdrawn={index}"
    assert owner.get(PATH, params={"agreement": "agreement-alpha"}).status_code == 303
    assert f"in entry {index}" in owner.get("/consent").text


def test_without_a_signature_of_the_nodes_nothing_is_filed(bench: Bench) -> None:
    owner = bench.visit("alpha")
    asked = owner.get(PATH, params={"agreement": "agreement-alpha"}).text
    assert "tds node withdraw agreement-alpha" in asked and '<button class="danger"' not in asked
    form = {"csrf": csrf(owner), "agreement": "agreement-alpha"}
    assert owner.post(PATH, data=form).status_code == 409
    assert "ConsentWithdrawn" not in bench.site.kinds()


def test_a_key_that_was_changed_since_is_said(bench: Bench) -> None:
    forged = signed(bench, key=bench.site.nodes["beta"].receipt)
    owner = bench.visit("alpha", withdrawals={"agreement-alpha": forged})
    answer = owner.post(PATH, data={"csrf": csrf(owner), "agreement": "agreement-alpha"})
    assert answer.status_code == 409 and "no longer fits" in answer.text


@pytest.mark.parametrize("who", ["beta", "operator", "consumer", "auditor"])
def test_nobody_withdraws_or_watches_for_another(bench: Bench, who: str) -> None:
    site = bench.site
    other = bench.visit(who, withdrawals={"agreement-alpha": signed(bench)})
    assert other.get(PATH, params={"agreement": "agreement-alpha"}).status_code == 404
    form = {"csrf": csrf(other), "agreement": "agreement-alpha"}
    assert other.post(PATH, data=form).status_code in (403, 404)
    index, _ = site.withdraw(site.nodes["alpha"])
    assert other.get("/consent/effect", params={"entry": index}).status_code == 404
    assert 'id="effect"' not in other.get("/consent", params={"withdrawn": index}).text
    assert PATH not in other.get("/consent").text or who == "beta"


def test_what_is_taken_in_advance_is_the_callers_own_and_stands(bench: Bench) -> None:
    site = bench.site
    site.withdraw(site.nodes["gamma"])
    envelope = signed(bench)
    assert taken(bench, "alpha", [envelope]) == {"agreement-alpha": envelope}
    assert taken(bench, "gamma", [signed(bench, "gamma")]) == {}
    assert taken(bench, "alpha", [signed(bench, agreement="agreement-9")]) == {}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"participant": "beta"}, NotAllowed),
        ({"agreement": "agreement-beta"}, NotAllowed),
        ({"reason": "a" * 64}, BadInput),
        ({"id": "withdrawal-1"}, BadInput),
        ({"more": 1}, BadInput),
    ],
)
def test_what_is_not_taken_in_advance(bench: Bench, changes: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        taken(bench, "alpha", [signed(bench, **changes)])


def test_two_of_one_agreement_and_anothers_signature_are_not_taken(bench: Bench) -> None:
    with pytest.raises(BadInput, match="got two"):
        taken(bench, "alpha", [signed(bench), signed(bench)])
    with pytest.raises(BadInput):
        taken(bench, "alpha", [signed(bench, key=bench.site.nodes["beta"].receipt)])


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        body(b"x", version=2),
        body(b"x", more=1),
        body(*[b"x"] * (MAX_IN_ADVANCE + 1)),
        canonical_bytes({"version": 1, "withdrawals": ["?"]}),
        canonical_bytes({"version": 1, "withdrawals": ["A" * 2052]}),
    ],
)
def test_a_body_is_strict_and_bounded(data: bytes) -> None:
    with pytest.raises(BadInput):
        envelopes_of(data)


def test_a_body_of_nothing_asks_for_a_link_alone() -> None:
    assert envelopes_of(b"") == []
    assert envelopes_of(json.dumps({"version": 1, "withdrawals": []}).encode()) == []
