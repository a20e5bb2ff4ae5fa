"""Findings about one policy, and about an offer beside others, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from policies_rules import agreement, logic, many_places, offer, pigeons, rule

import policies
from policies.authoring import Finding, check, offer_warnings
from policies.baseline import parse_baselines
from policies.facts import product_facts
from policies.odrl import Offer

RESEARCH = rule("use", "purpose isA medical-research")
TRAIN = rule("train")
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)

# Policy, and each finding's severity, code, path and a part of its text.
CASES: dict[str, tuple[Offer, list[tuple[str, str, str, str]]]] = {
    "nothing to say": (
        offer(RESEARCH, no=[rule("use", "spatial isNoneOf CN-GD")], obligation=[rule("delete")]),
        [],
    ),
    "a constraint that no value meets": (
        offer(RESEARCH, rule("train", "recipient eq lab", "count lt 1")),
        [
            (
                *("error", "never-met", "$.permission[1]"),
                "permission 2 can never be met: constraint 2 can never hold",
            )
        ],
    ),
    "constraints that exclude each other": (
        offer(
            RESEARCH,
            rule("train", "count gt 5", "recipient eq lab", logic("or", "count lteq 5")),
        ),
        [
            (
                *("error", "never-met", "$.permission[1]"),
                "constraint 1 and constraint 3 exclude each other",
            )
        ],
    ),
    "a duty that a constraint excludes": (
        offer(
            TRAIN, rule("use", "payAmount lt 10", duty=[rule("compensate", "payAmount gteq 10")])
        ),
        [
            (
                *("error", "never-met", "$.permission[1]"),
                "constraint 1 and the duty to compensate exclude each other",
            )
        ],
    ),
    "company that excludes itself": (
        offer(TRAIN, rule("use", "togetherWith hasPart a", "notTogetherWith isNoneOf a b")),
        [
            (
                *("error", "never-met", "$.permission[1]"),
                "constraint 1 and constraint 2 exclude each other",
            )
        ],
    ),
    "no permission that can be met": (
        offer(rule("train", "count lt 1")),
        [
            ("error", "permits-nothing", "$", "can never permit anything"),
            ("error", "never-met", "$.permission[0]", "can never hold"),
        ],
    ),
    "no permission": (
        offer(no=[TRAIN]),
        [("error", "permits-nothing", "$", "can never permit anything")],
    ),
    "forbidden by one": (
        offer(TRAIN, rule("evaluate", "spatial isPartOf CN"), no=[rule("evaluate", "count gt 0")]),
        [
            (
                *("error", "forbidden", "$.permission[1]"),
                "whatever permission 2 permits is forbidden by prohibition 1",
            )
        ],
    ),
    "forbidden by two together": (
        offer(
            TRAIN,
            rule("evaluate"),
            no=[
                rule("evaluate", "count lteq 5"),
                rule("train", "count gt 9"),
                rule("evaluate", "count gt 5"),
            ],
        ),
        [("error", "forbidden", "$.permission[1]", "prohibitions 1 and 3 together")],
    ),
    "forbidden for one of its actions only": (
        offer(rule("use"), no=[rule("evaluate")]),
        [],
    ),
    "redundant": (
        offer(rule("train", "purpose eq drug-safety"), RESEARCH),
        [
            (
                *("warning", "redundant", "$.permission[0]"),
                "permission 1 permits nothing that permission 2 does not permit",
            )
        ],
    ),
    "redundant by two together": (
        offer(
            rule("train", "count lteq 5"),
            rule("use", "count gt 5"),
            rule("train", "count gteq 1"),
        ),
        [("warning", "redundant", "$.permission[2]", "permissions 1 and 2 together")],
    ),
    "the same twice": (
        offer(TRAIN, TRAIN),
        [("warning", "redundant", "$.permission[1]", "permission 1")],
    ),
    "with a duty of its own that would be lost": (
        offer(TRAIN, rule("train", "count lteq 5", duty=[{"action": "report"}])),
        [],
    ),
    "with a duty that stays": (
        offer(
            rule("train", duty=[{"action": "report"}]),
            rule("train", "count lteq 5", duty=[{"action": "report"}]),
        ),
        [("warning", "redundant", "$.permission[1]", "permission 1")],
    ),
    "a prohibition that never applies": (
        offer(TRAIN, no=[rule("train", "count gt 5", "count lt 6")]),
        [
            (
                *("warning", "never-applies", "$.prohibition[0]"),
                "constraint 1 and constraint 2 exclude each other",
            )
        ],
    ),
    "a prohibition of what is not permitted": (
        offer(rule("train", "spatial isPartOf CN"), no=[rule("use", "spatial isPartOf HK")]),
        [("note", "no-effect", "$.prohibition[0]", "prohibition 1 changes nothing")],
    ),
    "a prohibition that another takes in": (
        offer(TRAIN, no=[rule("train", "count gt 5"), rule("train", "count gt 9")]),
        [("note", "no-effect", "$.prohibition[1]", "prohibition 2 changes nothing")],
    ),
    "an alternative that cannot be": (
        offer(
            rule(
                "train",
                logic("or", "count lteq 5", logic("and", "count gt 7", "recipient eq lab")),
                "count lt 7",
            )
        ),
        [
            (
                *("warning", "idle-alternative", "$.permission[0].constraint[0].or[1]"),
                "can never hold together with the rest of the rule",
            )
        ],
    ),
    "an unlisted purpose": (
        offer(rule("train", "purpose isA genomics")),
        [
            (
                *("warning", "unlisted-purpose", "$.permission[0].constraint[0]"),
                "the table of purposes lacks genomics",
            )
        ],
    ),
    "a duty that it prohibits": (
        offer(
            rule("train", duty=[{"action": "report"}]), no=[rule("report", "spatial isPartOf HK")]
        ),
        [
            (
                *("warning", "duty-prohibited", "$.permission[0].duty[0]"),
                "the duty to report, which prohibition 1 can forbid",
            )
        ],
    ),
}


def told(findings: tuple[Finding, ...] | list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.severity, one.code, one.path) for one in findings]


@pytest.mark.parametrize("case", CASES)
def test_a_policy_is_checked(case: str) -> None:
    policy, expected = CASES[case]
    found = check(policy)
    # That a duty's action is prohibited has no effect on permissions that do not cover it.
    kept = [one for one in found if (one.code, case) != ("no-effect", "a duty that it prohibits")]
    assert told(kept) == [row[:3] for row in expected]
    for finding, (*_, text) in zip(kept, expected, strict=True):
        assert text in finding.text
        assert finding.fix


def test_rules_for_what_is_derived_are_checked_too() -> None:
    derived = {"permission": [rule("derive", "count lt 1")], "prohibition": [rule("distribute")]}
    found = check(offer(TRAIN, nextPolicy=derived))
    assert told(found) == [
        ("error", "never-met", "$.nextPolicy.permission[0]"),
        ("note", "no-effect", "$.nextPolicy.prohibition[0]"),
    ]
    assert check(offer(TRAIN, nextPolicy={"prohibition": [rule("distribute")]})) == ()


@pytest.mark.parametrize(
    ("constraints", "codes", "end"),
    [
        (["dateTime lt 2026-06-01T00:00:00Z"], ["expired"], "2026-06-01T00:00:00.000Z"),
        (["dateTime lteq 2026-06-01T00:00:00Z"], ["ends-early"], "2026-06-01T00:00:00.001Z"),
        (["dateTime eq 2026-05-01T00:00:00Z"], ["expired"], "2026-05-01T00:00:00.001Z"),
        (["dateTime lt 2026-07-01T00:00:00Z"], ["ends-early"], "2026-07-01T00:00:00.000Z"),
        (["dateTime lteq 2026-07-01T00:00:00Z"], [], ""),
        (["dateTime gt 2026-09-01T00:00:00Z"], [], ""),
        ([logic("or", "dateTime lt 2026-06-01T00:00:00Z", "count lteq 5")], [], ""),
        ([], [], ""),
    ],
)
def test_how_long_a_policy_lasts(
    constraints: list[str | dict[str, Any]], codes: list[str], end: str
) -> None:
    found = check(offer(rule("train", *constraints)), at=JUNE, until=JULY)
    assert [one.code for one in found] == codes
    assert all(f"nothing is permitted from {end} on" in one.text for one in found)


def test_a_prohibition_can_end_a_policy_and_the_last_moment_can_be_asked_for() -> None:
    policy = offer(TRAIN, no=[rule("use", "dateTime gteq 2026-06-15T00:00:00Z")])
    (found,) = check(policy, at=JUNE, until=JULY)
    assert found.code == "ends-early"
    assert "from 2026-06-15T00:00:00.000Z on; asked was for 2026-07-01" in found.text
    last = datetime.max.replace(tzinfo=UTC)
    assert [one.code for one in check(policy, until=last)] == ["ends-early"]
    assert check(offer(TRAIN), until=last) == ()


def test_errors_come_first_and_findings_have_json() -> None:
    policy = agreement(TRAIN, TRAIN, rule("train", "count lt 1"), no=[rule("list")])
    found = check(policy)
    assert [one.severity for one in found] == ["error", "warning", "note"]
    assert found[0].to_json() == {
        "severity": "error",
        "code": "never-met",
        "path": "$.permission[2]",
        "text": "permission 3 can never be met: constraint 1 can never hold",
        "fix": "loosen what excludes it, or remove the permission",
    }


def test_what_is_too_large_to_check_is_said() -> None:
    found = [one for one in check(pigeons(6)) if one.code == "undecided"]
    assert found
    assert all(one.severity == "warning" and "too many ways" in one.text for one in found)
    beside = offer_warnings(offer(TRAIN), [many_places(600)], now=JUNE, ends=JULY)
    assert told(beside) == [("note", "undecided", "$")]


BESIDE = [
    ("equal", offer(RESEARCH), [("warning", "equal-offer")]),
    ("wider", offer(rule("use", "purpose isA medical-research", "count lt 9")), ["shadows-offer"]),
    ("narrower", offer(rule("use")), ["shadowed-offer"]),
    ("another purpose", offer(rule("use", "purpose isA marketing")), []),
    ("cheaper", offer(rule("use", duty=[rule("compensate", "payAmount gteq 9")])), []),
    (
        "without a duty",
        offer(rule("use", "purpose isA medical-research", duty=[{"action": "report"}])),
        ["shadows-offer"],
    ),
]


@pytest.mark.parametrize(
    ("other", "codes"), [row[1:] for row in BESIDE], ids=[r[0] for r in BESIDE]
)
def test_an_offer_beside_another(other: Offer, codes: list[Any]) -> None:
    found = offer_warnings(offer(RESEARCH, id="urn:a"), [other], now=JUNE, ends=JULY)
    assert [one.code for one in found] == [c if isinstance(c, str) else c[1] for c in codes]
    assert all(other.id in one.text for one in found)


def test_an_offer_that_can_never_be_met_or_ends_too_early_is_warned_of() -> None:
    def codes(constraint: str) -> list[str]:
        policy = offer(rule("train", constraint))
        return [one.code for one in offer_warnings(policy, [policy], now=JUNE, ends=JULY)]

    assert codes("count lt 1") == ["permits-nothing"]
    assert codes("dateTime lt 2026-06-01T00:00:00Z") == ["expired"]
    assert codes("dateTime lt 2026-06-02T00:00:00Z") == ["ends-early", "equal-offer"]
    assert codes("dateTime lteq 2026-07-01T00:00:00Z") == ["equal-offer"]


@dataclass(frozen=True)
class Card:
    """What a product's registration says."""

    personal_information: bool = False
    subject_consent: str = "none"
    anonymization: str = ""
    classification: str = "general"
    filing_number: str = ""
    data_version: int = 1


LAWS = parse_baselines(
    path.read_bytes() for path in (Path(policies.__file__).parent / "baseline").glob("*.jsonld")
)
ANONYMIZED = rule("use", duty=[{"action": "anonymize"}])
CORE = "Core data of the state is never listed and never used"
PERSONAL = "Personal information needs its subjects' consent and a duty to anonymise"


@pytest.mark.parametrize(
    ("permission", "card", "laws"),
    [
        (TRAIN, Card(), []),
        (TRAIN, Card(classification="core"), [CORE]),
        (TRAIN, Card(personal_information=True), [PERSONAL]),
        (TRAIN, Card(personal_information=True, subject_consent="table"), [PERSONAL]),
        (ANONYMIZED, Card(True, "none", "k-anonymity"), [PERSONAL]),
        (ANONYMIZED, Card(True, "table", "k-anonymity"), []),
        (rule("list"), Card(personal_information=True, subject_consent="table"), []),
        (rule("train", "spatial isPartOf HK"), Card(filing_number="GBA-2026-17"), []),
    ],
)
def test_an_offer_that_the_laws_leave_nothing_of_is_warned_of(
    permission: dict[str, Any], card: Card, laws: list[str]
) -> None:
    found = offer_warnings(
        offer(permission),
        [],
        now=JUNE,
        ends=JULY,
        baseline=LAWS,
        facts=product_facts(card, "registration"),
    )
    assert [one.code for one in found] == ["unlawful"] * len(laws)
    assert all(one.text.endswith(f": {'; '.join(laws)}") for one in found)


@pytest.mark.parametrize(
    "permission",
    [
        ANONYMIZED,
        rule("train", "version gt 1"),
        rule("train", "classification eq important"),
        rule("train", duty=[{"action": "obtainConsent"}, {"action": "report"}]),
    ],
)
def test_an_offer_that_its_product_never_meets_is_warned_of(permission: dict[str, Any]) -> None:
    facts = product_facts(Card(), "registration")
    found = offer_warnings(offer(permission), [], now=JUNE, ends=JULY, facts=facts)
    assert told(found) == [("error", "product-excluded", "$")]
    assert offer_warnings(offer(permission), [], now=JUNE, ends=JULY) == []
