"""What governance decides can be decided again from its log, and what it did not apply is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from server_site import Site, constraint, count_at_most

from auditors.errors import RuleViolated
from auditors.replay import Verdict, replay_verdict
from auditors.shares import replay_log

NAMES = ("alpha", "beta", "gamma")


def replayed(site: Site, run: str, name: str, round_: int = 1) -> Verdict:
    return replay_verdict(site.space.log_folder, run=run, round_=round_, participant=name)


def test_every_verdict_follows_from_the_log(site: Site) -> None:
    people = {"@value": "2", "@type": "xsd:integer"}
    wishes = {
        "alpha": [constraint("togetherWith", "hasPart", "beta"), count_at_most(3)],
        "beta": [{"leftOperand": "minParticipants", "operator": "gteq", "rightOperand": people}],
        "gamma": [constraint("notTogetherWith", "isNoneOf", "beta")],
    }
    for name, asked in wishes.items():
        site.agree(site.nodes[name], *asked, **{"@id": f"asks-{name}"})
    run = site.open_run(agreements=[f"asks-{name}" for name in NAMES])
    site.authorize(run)
    found = {name: replayed(site, run, name) for name in NAMES}
    assert {name: one.permitted for name, one in found.items()} == {
        "alpha": True,
        "beta": True,
        "gamma": False,
    }
    assert replay_log(site.space.log_folder, jobs=1).violations == ()


@pytest.mark.parametrize(
    ("terms", "permitted"),
    [
        ({}, False),
        ({"clip_norm": "1", "secure_sum": "governance", "min_cohort": 3}, True),
        ({"clip_norm": "1", "secure_sum": "governance", "min_cohort": 2}, False),
    ],
)
def test_a_demand_for_masks_is_decided_and_replayed(
    site: Site, terms: dict[str, Any], permitted: bool
) -> None:
    people = {"@value": "3", "@type": "xsd:integer"}
    masks = {
        "leftOperand": "secureAggregation",
        "operator": "isAnyOf",
        "rightOperand": ["governance", "pairwise"],
    }
    least = {"leftOperand": "minParticipants", "operator": "gteq", "rightOperand": people}
    site.agree(site.nodes["beta"], masks, least, **{"@id": "masked"})
    agreements = ["agreement-alpha", "masked", "agreement-gamma"]
    run = site.open_run(agreements=agreements, **{"min_cohort": 2, "quorum": 1} | terms)
    site.authorize(run)
    found = replayed(site, run, "beta")
    assert found.permitted is permitted
    if not terms:
        assert "start the run with --secure-sum" in found.reasons[0].text
    assert replay_log(site.space.log_folder, jobs=1).violations == ()


def test_a_law_that_was_not_applied_is_found(site: Site) -> None:
    site.replays = False
    run = site.open_run()
    rounds = site.governance.rounds
    assert rounds._baseline.laws
    rounds._baseline = replace(rounds._baseline, laws=rounds._baseline.laws[1:])
    site.authorize(run)
    with pytest.raises(RuleViolated, match="laws adopted before the decision"):
        replayed(site, run, "alpha")
