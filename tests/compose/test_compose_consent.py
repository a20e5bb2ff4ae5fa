"""An enterprise withdraws in the console, in the middle of a training."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from compose_project import Project
from compose_runs import Runs
from integration_space import names

OWNER = "westpark"


@pytest.fixture
def owner(space: Project, trained: str) -> Iterator[httpx.Client]:
    """A browser on this machine in which the owner is signed in, by a link of its own node."""
    link = json.loads(space.tds(OWNER, "node", "console-link", "--json"))
    base, _, code = link["url"].partition("/enter/")
    with httpx.Client(base_url=base, trust_env=False, timeout=20) as browser:
        assert browser.post("/enter", data={"code": code}).status_code == 303
        yield browser


def test_a_withdrawal_in_the_console_holds_from_the_next_round_on(
    space: Project, owner: httpx.Client
) -> None:
    id = json.loads(space.tds(OWNER, "node", "status", "--json"))["participant"]
    [agreement] = re.findall(
        r"/consent/withdraw\?agreement=([A-Za-z0-9:%-]+)", owner.get("/consent").text
    )
    runs = Runs(space, rounds=8)
    runs.in_a_round()
    page = owner.get(f"/consent/withdraw?agreement={agreement}").text
    form = dict(re.findall(r'name="(csrf|agreement)" value="([^"]+)"', page))
    filed = owner.post("/consent/withdraw", data=form)
    assert filed.status_code == 303, filed.text
    entry = filed.headers["location"].rpartition("=")[2]

    effects: list[httpx.Response] = []

    def settled() -> bool:
        effects.append(owner.get("/consent/effect", params={"entry": entry}))
        return effects[-1].status_code == 286

    runs.wait("the page to show the refusal", settled)
    assert "was decided without your product" in effects[-1].text
    assert runs.end().body["state"] == "COMPLETED"
    told = runs.told()
    refusals = [
        [reason["code"] for reason in verdict["reasons"]]
        for one in told
        if one.type == "RoundDecided"
        for verdict in one.body["decision"]["verdicts"]
        if verdict["participant"] == id and not verdict["permitted"]
    ]
    assert refusals and all(codes == ["consent-withdrawn"] for codes in refusals)
    closes = [one for one in told if one.type == "RoundClosed"]
    assert id not in names(closes[-1].body["accepted"])
    assert all(one.body["quorum_met"] for one in closes)

    found = json.loads(space.audit("find", "--type", "ConsentWithdrawn", "--json"))
    assert found["verified"] is True
    assert [one["entry"] for one in found["entries"]] == [int(entry)]
