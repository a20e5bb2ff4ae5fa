"""Two policies side by side: verdicts by hand, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from policies_rules import agreement, logic, many_places, offer, pigeons, rule

from policies.asking import agreement_for, parse_asking
from policies.authoring import Comparison, compare
from policies.conflicts import within
from policies.errors import PolicyError
from policies.evaluate import Effect, evaluate
from policies.odrl import Offer
from policies.operands import COVERS, FULFILLED
from policies.sides import Side

RESEARCH = rule("use", "purpose isA medical-research")
MARKETING = rule("use", "purpose isA marketing")
ABROAD = rule("use", "spatial isNoneOf CN-GD CN-SH")
REPORT = {"action": "report"}
PAY = rule("compensate", "payAmount gteq 10")

# A, B, verdict, kind, A within B, B within A.
CASES: dict[str, tuple[Offer, Offer, str, str, bool, bool]] = {
    "equal": (offer(RESEARCH), offer(RESEARCH), "compatible", "common-request", True, True),
    "narrower purpose": (
        offer(RESEARCH),
        offer(rule("use", "purpose eq drug-safety")),
        *("compatible", "common-request", False, True),
    ),
    "narrower action": (
        offer(RESEARCH),
        offer(rule("train", "purpose isA medical-research")),
        *("compatible", "common-request", False, True),
    ),
    "fewer uses": (
        offer(rule("train", "count lteq 5")),
        offer(rule("train", "count lt 5")),
        *("compatible", "common-request", False, True),
    ),
    "spelled otherwise": (
        offer(rule("train", "count lteq 5", "epsilon lteq 1.5")),
        offer(rule("train", logic("and", "epsilon lteq 1.50", "count lt 6"))),
        *("compatible", "common-request", True, True),
    ),
    "other purposes": (
        offer(RESEARCH),
        offer(MARKETING),
        *("conflict", "nothing-in-common", False, False),
    ),
    "other times": (
        offer(rule("train", "dateTime lt 2026-02-01T00:00:00Z")),
        offer(rule("train", "dateTime gteq 2026-02-01T00:00:00Z")),
        *("conflict", "nothing-in-common", False, False),
    ),
    "one moment in common": (
        offer(rule("train", "dateTime lteq 2026-02-01T00:00:00Z")),
        offer(rule("train", "dateTime gteq 2026-02-01T08:00:00+08:00")),
        *("compatible", "common-request", False, False),
    ),
    "no amount between": (
        offer(rule("train", "epsilon gt 1.000000000000000001")),
        offer(rule("train", "epsilon lt 1.000000000000000002")),
        *("conflict", "nothing-in-common", False, False),
    ),
    "an amount between": (
        offer(rule("train", "epsilon gt 1.000000000000000001")),
        offer(rule("train", "epsilon lt 1.000000000000000003")),
        *("compatible", "common-request", False, False),
    ),
    "other actions": (
        offer(rule("train")),
        offer(rule("evaluate")),
        *("compatible", "no-common-action", False, False),
    ),
    "prohibited abroad": (
        offer(RESEARCH),
        offer(RESEARCH, no=[ABROAD]),
        *("conflict", "permitted-and-prohibited", False, True),
    ),
    "prohibited where it is not permitted": (
        offer(rule("use", "spatial isPartOf CN-GD")),
        offer(rule("use", "spatial isPartOf CN-GD"), no=[rule("use", "spatial isPartOf HK")]),
        *("compatible", "common-request", True, True),
    ),
    "prohibited for another action": (
        offer(rule("train")),
        offer(rule("use"), no=[rule("evaluate")]),
        *("compatible", "common-request", True, False),
    ),
    "one permits nothing": (
        offer(rule("train", "count lt 5", "count gt 5")),
        offer(rule("train")),
        *("conflict", "permits-nothing", True, False),
    ),
    "one forbids all that it permits": (
        offer(rule("train"), no=[rule("train", "count gteq 1"), rule("evaluate")]),
        offer(rule("evaluate"), rule("train", "count lt 1")),
        *("conflict", "permitted-and-prohibited", True, False),
    ),
    "a prohibited duty": (
        offer(rule("train", duty=[REPORT])),
        offer(rule("train"), no=[rule("report", "spatial isPartOf HK")]),
        *("conflict", "duty-prohibited", True, False),
    ),
    "a prohibited duty beside all permissions": (
        offer(rule("train"), no=[rule("delete")]),
        offer(rule("train"), obligation=[{"action": "delete"}]),
        *("conflict", "duty-prohibited", False, True),
    ),
    "a duty prohibited elsewhere": (
        offer(rule("train", "spatial isPartOf CN", duty=[REPORT])),
        offer(rule("train"), no=[rule("report", "spatial isPartOf HK")]),
        *("compatible", "common-request", True, False),
    ),
    "only one asks for pay": (
        offer(rule("train", duty=[PAY])),
        offer(rule("train")),
        *("compatible", "common-request", True, False),
    ),
    "pay that excludes": (
        offer(rule("train", duty=[PAY])),
        offer(rule("train", "payAmount lt 10")),
        *("conflict", "nothing-in-common", False, False),
    ),
    "a competitor who must and must not be there": (
        offer(rule("train", "togetherWith hasPart rival")),
        offer(rule("train", "notTogetherWith isNoneOf rival other")),
        *("conflict", "nothing-in-common", False, False),
    ),
    "company that both like": (
        offer(rule("train", "togetherWith isAnyOf friend rival")),
        offer(rule("train", "notTogetherWith isNoneOf rival", "togetherWith isAllOf friend")),
        *("compatible", "common-request", False, True),
    ),
    "exactly one of two": (
        offer(rule("train", logic("xone", "recipient eq a", "industry eq health"))),
        offer(rule("train", "recipient eq a", "industry eq health")),
        *("conflict", "nothing-in-common", False, False),
    ),
    "an unlisted purpose with itself": (
        offer(rule("train", "purpose isA genomics")),
        offer(rule("train", "purpose eq genomics")),
        *("compatible", "common-request", True, True),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_two_policies(case: str) -> None:
    a, b, verdict, kind, a_within_b, b_within_a = CASES[case]
    found = compare(a, b)
    assert (found.verdict, found.kind) == (verdict, kind), found.reason
    assert (found.a_within_b, found.b_within_a) == (a_within_b, b_within_a)
    assert within(a, b) == (a_within_b, b_within_a)
    other = compare(b, a)
    assert (other.verdict, other.kind) == (verdict, kind)
    assert (other.b_within_a, other.a_within_b) == (a_within_b, b_within_a)
    check_witness(a, b, found)


def check_witness(a: Offer, b: Offer, found: Comparison) -> None:
    """The request, read as `tds policy decide` reads it, is decided as the kind says."""
    shown = found.to_json()["witness"]
    proves = found.kind in ("permitted-and-prohibited", "common-request", "duty-prohibited")
    assert (shown is not None) == proves
    if shown is None:
        return
    asking = parse_asking(json.dumps(shown).encode())
    permitted = [
        evaluate(agreement_for(policy, asking), asking.request, asking.state).effect
        is Effect.PERMIT
        for policy in (a, b)
    ]
    if found.kind == "permitted-and-prohibited":
        assert sorted(permitted) == [False, True]
    elif found.kind == "common-request":
        assert permitted == [True, True]
    else:
        assert any(permitted)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (offer(RESEARCH), offer(MARKETING), "because of what is asked of the purpose"),
        (
            offer(rule("train", "purpose isA marketing", "count lteq 5")),
            offer(rule("use", "purpose isA medical-research", "count gt 5")),
            "the purpose and of the number of uses",
        ),
        (
            offer(rule("train", "count lt 5", "count gt 5", "recipient eq a")),
            offer(rule("train")),
            "A permits no request to train, because of what is asked of the number of uses",
        ),
        (
            offer(rule("train")),
            offer(rule("train"), rule("derive"), no=[rule("train")]),
            "in B, prohibition 1 forbids train",
        ),
        (
            offer(rule("train", "count lt 1")),
            offer(rule("train", "count lt 1"), no=[rule("use")]),
            "A permits no request to train",
        ),
        (
            offer(rule("train", "count lteq 3"), no=[rule("train", "count lteq 3"), rule("use")]),
            offer(rule("train", "count lt 1")),
            "A permits no request to train: a prohibition without constraints forbids it",
        ),
        (
            offer(rule("train", duty=[PAY])),
            offer(rule("train", "payAmount lt 10")),
            "because of what is asked of the pay for the use",
        ),
        (
            offer(rule("train", duty=[REPORT])),
            offer(rule("train"), no=[rule("report")]),
            "obliges to report ($.permission[0].duty[0]); in B, prohibition 1 forbids report",
        ),
    ],
)
def test_the_reason_names_what_stands_in_the_way(a: Offer, b: Offer, says: str) -> None:
    assert says in compare(a, b).reason


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (offer(RESEARCH), offer(rule("use", "purpose isA genomics"))),
        (offer(rule("use"), no=[rule("use", "purpose isA genomics")]), offer(RESEARCH)),
        (
            offer(RESEARCH),
            offer(rule("use"), no=[rule("evaluate", "purpose isA genomics")]),
        ),
    ],
    ids=["never together", "permits next to nothing", "may be prohibited"],
)
def test_what_hangs_on_an_unlisted_purpose_is_unknown(a: Offer, b: Offer) -> None:
    found = compare(a, b)
    assert (found.verdict, found.kind, found.witness) == ("unknown", "unlisted-purpose", None)
    assert "genomics" in found.reason
    table = {"medical-research": None, "genomics": "medical-research"}
    assert compare(a, b, purposes=table).verdict != "unknown"


def test_an_unlisted_purpose_that_decides_nothing_is_no_matter() -> None:
    genomics = rule("train", "purpose isA genomics", "count lteq 5")
    found = compare(offer(genomics), offer(rule("train", "count gt 5")))
    assert (found.verdict, found.kind) == ("conflict", "nothing-in-common")


def test_agreements_between_others_are_about_no_common_request() -> None:
    other = agreement(MARKETING, target="another")
    assert compare(agreement(RESEARCH), other).kind == "other-target"
    other = agreement(MARKETING, assignee="another")
    found = compare(agreement(RESEARCH), other)
    assert (found.verdict, found.kind, found.witness) == ("compatible", "other-assignee", None)


def test_an_offer_is_compared_for_the_parties_of_the_agreement() -> None:
    found = compare(offer(RESEARCH), agreement(RESEARCH, target="clinic/ecg", assignee="lab"))
    assert found.to_json() == {
        "verdict": "compatible",
        "kind": "common-request",
        "reason": "both permit the request that is shown, and neither prohibits what the other "
        "permits",
        "witness": {
            "target": "clinic/ecg",
            "assignee": "lab",
            "action": "train",
            "at": "2026-01-01T00:00:00.000Z",
            "context": {"purpose": "medical-research"},
        },
        "a_within_b": True,
        "b_within_a": True,
    }


def test_a_witness_has_every_value_that_the_rules_ask_about() -> None:
    everything = rule(
        "train",
        *("count gteq 2", "meteredTime lteq PT1H", "epsilon lteq 0.5", "spatial isPartOf CN"),
        *("togetherWith isAllOf b a", "notTogetherWith isNoneOf z"),
        duty=[PAY],
    )
    shown = compare(offer(everything), offer(everything)).to_json()["witness"]
    assert isinstance(shown, dict)
    assert shown["context"] == {
        "count": 2,
        "meteredTime": "PT3599S",
        "epsilon": "0.25",
        "spatial": "CN",
        "payAmount": "10",
        "compensate": FULFILLED,
        "togetherWith": ["a", "b"],
        "notTogetherWith": ["a", "b"],
    }


def test_what_is_too_large_to_decide_is_unknown() -> None:
    found = compare(pigeons(6), pigeons(6))
    assert (found.verdict, found.kind) == ("unknown", "too-complex")
    assert "too many ways" in found.reason
    assert found.witness is None


def test_too_many_names_are_unknown_before_much_is_done() -> None:
    found = compare(many_places(800), offer(RESEARCH))
    assert (found.verdict, found.kind) == ("unknown", "too-complex")
    assert within(many_places(800), offer(RESEARCH)) == (None, None)
    assert compare(many_places(200), offer(RESEARCH)).verdict == "compatible"


def test_what_is_large_and_can_be_decided_is() -> None:
    found = compare(pigeons(7), pigeons(7))
    assert (found.kind, found.a_within_b, found.b_within_a) == ("common-request", True, True)


def test_a_witness_that_evaluation_does_not_confirm_is_a_defect() -> None:
    policy = offer(RESEARCH)
    side = Side.of("A", policy, policy, {})
    with pytest.raises(PolicyError, match="a request that A permits"):
        side.confirm_permitted("train", {"purpose": "marketing"})
    with pytest.raises(PolicyError, match="a request that A prohibits"):
        side.confirm_prohibited("train", {})


def test_every_action_that_can_be_asked_for_is_compared() -> None:
    for action in sorted(frozenset().union(*COVERS.values())):
        found: Any = compare(offer(rule(action)), offer(rule(action))).to_json()["witness"]
        assert found["action"] == action
