"""What is owed after a use: in the permit, declared at the close, logged; and nextPolicy."""

from __future__ import annotations

from typing import Any

import pytest
from server_site import CONSUMER, MODEL, Site

from policies.canonical import digest_of, parse_json, sha256_hex
from policies.derived import NOTHING_DERIVED, derived_from
from policies.odrl import parse_agreement
from policies.post_duties import POST_DUTIES
from server.duties import declare
from server.errors import BadInput, RuleBroken
from server.rounds import RoundAnswer

METRICS = {"loss": "0.25"}
AFTER = sha256_hex(b"model 1")
ALL = ("attribute", "delete", "report", "watermark")


def owing(site: Site, *actions: str, node: str = "alpha", **changes: Any) -> str:
    """A run in which one enterprise's agreement obliges to these."""
    duties = [{"action": action} for action in actions]
    site.agree(site.nodes[node], **({"@id": "owing", "obligation": duties} | changes))
    agreements = [one.agreement for one in site.nodes.values() if one.name != node]
    return site.open_run(agreements=["owing", *agreements], rounds=1)


def evidence(*actions: str, model: str = AFTER, metrics: Any = METRICS) -> dict[str, str]:
    return declare(actions, dropped=["0" * 64], metrics=metrics, model=model)


def close_body(site: Site) -> Any:
    return [one for one in site.entries() if one.type == "RoundClosed"][-1].body


def owed_to(answer: RoundAnswer) -> dict[str, list[str]]:
    return {one["participant"]: one["duties"] for one in answer.verdicts}


def test_the_profile_and_the_loop_know_the_same_duties() -> None:
    assert set(evidence(*POST_DUTIES)) == POST_DUTIES == set(ALL)


def test_a_permit_carries_what_is_owed_to_each_member(site: Site) -> None:
    run = owing(site, "report", "delete")
    answer = site.authorize(run)
    members = {one.participant: one.duties for one in site.permit(answer).body.cohort}
    assert members == {"alpha": ["delete", "report"], "beta": [], "gamma": []}
    assert owed_to(answer) == members
    assert owed_to(site.authorize(run)) == members


def test_a_duty_of_a_permission_is_owed_as_well(site: Site) -> None:
    rule = {"action": "use", "duty": [{"action": "watermark"}]}
    answer = site.authorize(owing(site, permission=[rule]))
    assert owed_to(answer)["alpha"] == ["watermark"]


def test_a_close_logs_what_was_declared(site: Site) -> None:
    answer = site.authorize(owing(site, *ALL))
    site.submit(answer, *site.nodes.values())
    duties = evidence(*ALL)
    site.close_round(answer, duties=duties)
    assert close_body(site)["duties"] == duties
    site.close_round(answer, duties=duties)
    with pytest.raises(RuleBroken, match="closed otherwise"):
        site.close_round(answer, duties={})


@pytest.mark.parametrize(
    ("duties", "says"),
    [
        ({}, ["attribute is owed to alpha", "delete is owed to alpha", "report is owed to alpha"]),
        (evidence("delete", "report", "attribute"), ["watermark is owed to alpha"]),
        (evidence(*ALL) | {"report": digest_of({})}, [f"expected {digest_of(METRICS)}"]),
        (evidence(*ALL, model=MODEL), [f"attribute: expected evidence about the model {AFTER}"]),
    ],
)
def test_a_close_with_a_result_names_what_is_missing(
    site: Site, duties: dict[str, str], says: list[str]
) -> None:
    answer = site.authorize(owing(site, *ALL))
    site.submit(answer, *site.nodes.values())
    with pytest.raises(RuleBroken) as caught:
        site.close_round(answer, duties=duties)
    assert [text for text in says if text not in str(caught.value)] == []
    assert "RoundClosed" not in site.kinds()
    site.close_round(answer, duties=evidence(*ALL))


def test_nothing_is_owed_to_who_was_left_out_or_without_a_result(site: Site) -> None:
    run = owing(site, *ALL)
    answer = site.authorize(run)
    site.submit(answer, site.nodes["beta"])
    site.close_round(answer)
    answer = site.authorize(run, "ask-2")
    site.submit(answer, *site.nodes.values())
    site.close_round(answer, quorum_met=False)


@pytest.mark.parametrize(
    "duties",
    [
        {"anonymize": "done"},
        {"dance": "done"},
        {"delete": ""},
        {"delete": "x" * 1001},
        {"delete": "two\nlines"},
    ],
)
def test_what_is_no_declaration_is_refused(site: Site, duties: dict[str, str]) -> None:
    answer = site.authorize(site.open_run())
    site.submit(answer, *site.nodes.values())
    with pytest.raises(BadInput, match="duties"):
        site.close_round(answer, duties=duties)


# -- nextPolicy ----------------------------------------------------------------------------------


def test_a_model_inherits_the_strictest_of_all_rounds_before_it(site: Site) -> None:
    node = site.enrol("delta")
    site.add_product(node, classification="important")
    next_policy = {"permission": [{"action": "infer"}]}
    site.agree(node, nextPolicy=next_policy)
    document = {"nextPolicy": next_policy}
    run = site.open_run(rounds=2, quorum=1)
    answer = site.authorize(run, "ask-1")
    site.submit(answer, site.nodes["alpha"])
    site.close_round(answer)
    assert close_body(site)["derived"] == NOTHING_DERIVED
    answer = site.authorize(run, "ask-2")
    site.submit(answer, site.nodes["alpha"], node)
    site.close_round(answer)
    signed = next(one for one in site.entries() if one.body.get("agreement") == node.agreement)
    policy = parse_agreement(str(signed.body["document"]).encode()).next_policy
    assert policy is not None
    assert policy.to_json() == document["nextPolicy"]
    bound = {"classification": "important", "next_policies": [policy.digest]}
    assert close_body(site)["derived"] == bound
    site.reopen()
    answer = site.authorize(run, "ask-3")
    site.submit(answer, site.nodes["beta"])
    site.close_round(answer)
    assert (close_body(site)["kind"], close_body(site)["derived"]) == ("evaluate", bound)


def test_a_round_without_a_quorum_derives_nothing(site: Site) -> None:
    site.agree(
        site.nodes["alpha"], **{"@id": "next", "nextPolicy": {"permission": [{"action": "infer"}]}}
    )
    run = site.open_run(agreements=["next"], rounds=1)
    answer = site.authorize(run)
    site.submit(answer, site.nodes["alpha"])
    site.close_round(answer, quorum_met=False, model=MODEL)
    assert close_body(site)["derived"] == NOTHING_DERIVED


def test_what_is_derived_only_grows_stricter() -> None:
    first = derived_from(NOTHING_DERIVED, [("important", "b"), ("general", None)])
    assert first == {"classification": "important", "next_policies": ["b"]}
    second = derived_from(first, [("general", "a"), ("general", "b")])
    assert second == {"classification": "important", "next_policies": ["a", "b"]}
    assert derived_from(second, [("core", None)])["classification"] == "core"


def test_a_rounds_document_shows_what_was_declared_and_derived(site: Site) -> None:
    answer = site.authorize(owing(site, "delete"))
    site.submit(answer, *site.nodes.values())
    site.close_round(answer, duties=evidence("delete"))
    (document,) = site.governance.runs.get(CONSUMER, site.permit(answer).body.run).rounds
    shown: Any = parse_json(document, max_bytes=1 << 20)
    assert shown["duties"] == evidence("delete")
    assert shown["derived"] == NOTHING_DERIVED
