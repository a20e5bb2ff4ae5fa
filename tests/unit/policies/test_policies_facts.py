"""Facts for laws: from registrations, from agreements, from places; and what is not known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from policies.facts import agreement_facts, crossing_facts, product_facts
from policies.odrl import CONTEXT, PROFILE, Agreement, parse_agreement
from policies.results import Value

ANONYMIZE = {"action": "anonymize"}
IN_HK = {"leftOperand": "spatial", "operator": "isPartOf", "rightOperand": "HK"}
IN_GD = {"leftOperand": "spatial", "operator": "eq", "rightOperand": "CN-GD"}
EITHER = {"leftOperand": "spatial", "operator": "isAnyOf", "rightOperand": ["CN", "HK"]}
NOT_HK = {"leftOperand": "spatial", "operator": "isNoneOf", "rightOperand": ["HK"]}
PURPOSE = {"leftOperand": "purpose", "operator": "eq", "rightOperand": "x"}


@dataclass(frozen=True)
class Described:
    classification: str = "general"
    personal_information: bool = True
    subject_consent: str = "table"
    anonymization: str = "k-anonymity"
    filing_number: str = "F-1"
    data_version: int = 3


def agreement(*permissions: dict[str, Any], **changes: Any) -> Agreement:
    document = {
        "@context": [CONTEXT],
        "@id": "a-1",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": "clinic/p",
        "assigner": "clinic",
        "assignee": "consortium",
        "timestamp": "2026-01-01T00:00:00Z",
        "permission": list(permissions),
    }
    return parse_agreement(json.dumps(document | changes).encode())


def test_what_a_registration_says() -> None:
    facts = product_facts(Described(), "log entry 7")
    assert {name: value.value for name, value in facts.items()} == {
        "classification": "general",
        "personalInformation": "yes",
        "subjectConsent": "table",
        "filingNumber": "F-1",
        "version": 3,
        "anonymize": "fulfilled",
        "obtainConsent": "fulfilled",
    }
    assert {value.source for value in facts.values()} == {"log entry 7"}


def test_what_a_registration_that_says_nothing_leaves_open() -> None:
    bare = Described(
        personal_information=False, subject_consent="none", anonymization="", filing_number=""
    )
    facts = {name: value.value for name, value in product_facts(bare, "x").items()}
    assert facts["personalInformation"] == "no"
    assert (facts["subjectConsent"], facts["filingNumber"]) == ("none", "none")
    assert (facts["anonymize"], facts["obtainConsent"]) == ("pending", "pending")


@pytest.mark.parametrize(
    ("permissions", "changes", "action", "expected"),
    [
        ([{"action": "use"}], {}, "train", "none"),
        ([{"action": "use"}], {"obligation": [ANONYMIZE]}, "train", "agreed"),
        ([{"action": "use"}], {"obligation": [{"action": "report"}]}, "train", "none"),
        ([{"action": "use", "duty": [ANONYMIZE]}], {}, "train", "agreed"),
        ([{"action": "use", "duty": [ANONYMIZE]}, {"action": "train"}], {}, "train", "none"),
        ([{"action": "train", "duty": [ANONYMIZE]}, {"action": "evaluate"}], {}, "train", "agreed"),
        ([{"action": "train", "duty": [ANONYMIZE]}], {}, "evaluate", "none"),
    ],
)
def test_anonymisation_is_agreed_only_where_no_permission_goes_without_it(
    permissions: list[dict[str, Any]], changes: dict[str, Any], action: str, expected: str
) -> None:
    facts = agreement_facts(agreement(*permissions, **changes), action, "CN", "log entry 9")
    assert facts["anonymization"] == Value(expected, "log entry 9")


@pytest.mark.parametrize(
    ("constraints", "recipient", "expected"),
    [
        ([], "HK", "none"),
        ([PURPOSE], "HK", "none"),
        ([IN_HK], "HK", "explicit"),
        ([IN_HK], "CN-HK", "explicit"),
        ([IN_HK], "CN-GD", "none"),
        ([IN_GD], "CN-SH", "explicit"),
        ([EITHER], "HK", "explicit"),
        ([NOT_HK], "HK", "none"),
        ([{"or": [IN_GD, IN_HK]}], "HK", "explicit"),
        ([PURPOSE, IN_HK], "HK", "explicit"),
        ([IN_HK], "DE", "none"),
    ],
)
def test_a_permission_is_spatial_where_it_names_the_recipients_jurisdiction(
    constraints: list[dict[str, Any]], recipient: str, expected: str
) -> None:
    rule: dict[str, Any] = {"action": "use"}
    if constraints:
        rule["constraint"] = constraints
    facts = agreement_facts(agreement(rule), "train", recipient, "x")
    assert facts["spatialPermission"].value == expected


def test_every_permission_that_covers_the_action_must_name_it() -> None:
    named = {"action": "use", "constraint": [IN_HK]}
    other = {"action": "train"}
    for action, expected in (("train", "none"), ("evaluate", "explicit")):
        facts = agreement_facts(agreement(named, other), action, "HK", "x")
        assert facts["spatialPermission"].value == expected


def test_without_the_recipients_place_nothing_is_said_of_it() -> None:
    facts = agreement_facts(agreement({"action": "use", "constraint": [IN_HK]}), "train", "", "x")
    assert set(facts) == {"anonymization"}
    assert crossing_facts("mainland", "CN", "", "x") == {}
    assert crossing_facts("", "", "CN", "x") == {}


@pytest.mark.parametrize(("recipient", "expected"), [("CN-SH", "no"), ("HK", "yes")])
def test_a_crossing(recipient: str, expected: str) -> None:
    facts = crossing_facts("mainland", "CN-GD", recipient, "log entries 1, 2 and 3")
    assert facts == {"crossBorder": Value(expected, "log entries 1, 2 and 3")}
