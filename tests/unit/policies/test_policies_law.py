"""The baseline: strict intake, and what the laws that come with the project forbid and allow."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from policies.baseline import (
    Baseline,
    barred,
    baseline_bytes,
    baseline_digest,
    parse_baseline,
    parse_baselines,
)
from policies.errors import DocumentError
from policies.evaluate import Value
from policies.odrl import CONTEXT, PROFILE

FILES = {
    file.name: file.read_bytes()
    for file in resources.files("policies.baseline").iterdir()
    if file.name.endswith(".jsonld")
}
LAWS = parse_baselines(FILES.values())
HARMLESS = {
    "classification": "general",
    "personalInformation": "no",
    "subjectConsent": "none",
    "anonymization": "none",
    "crossBorder": "no",
    "spatialPermission": "none",
    "filingNumber": "none",
}


def law(**changes: Any) -> bytes:
    document = {
        "@context": [CONTEXT],
        "@id": "urn:example:law",
        "@type": "Set",
        "profile": PROFILE,
        "conflict": "prohibit",
        "name": "example",
        "title": "An example",
        "version": "1.0",
        "source": "a made-up statute",
        "prohibition": [{"action": "use"}],
    } | changes
    return json.dumps({k: v for k, v in document.items() if v != "ABSENT"}).encode()


def codes(action: str, **changes: str) -> list[str]:
    facts = {name: Value(value, "test") for name, value in (HARMLESS | changes).items()}
    return [reason.code for reason in barred(LAWS, action, facts)]


@pytest.mark.parametrize("name", FILES)
def test_each_law_names_its_source_and_reads_back(name: str) -> None:
    found = parse_baseline(FILES[name])
    assert name == f"{found.name}.jsonld"
    assert found.source and len(found.comment) > 100
    assert parse_baseline(baseline_bytes(found)) == found


def test_there_are_three_laws_and_their_digest_does_not_depend_on_order() -> None:
    assert [one.name for one in LAWS] == ["core-data", "cross-border", "personal-information"]
    assert baseline_digest(LAWS) == baseline_digest(reversed(LAWS))
    assert baseline_digest(LAWS) != baseline_digest(LAWS[:2])


@pytest.mark.parametrize(
    ("action", "facts", "expected"),
    [
        ("list", {}, []),
        ("train", {}, []),
        ("list", {"classification": "core"}, ["law-core-data"]),
        ("train", {"classification": "core"}, ["law-core-data"]),
        ("distribute", {"classification": "core"}, ["law-core-data"]),
        ("train", {"classification": "important"}, []),
        ("list", {"personalInformation": "yes"}, ["law-personal-information"]),
        ("list", {"personalInformation": "yes", "subjectConsent": "table"}, []),
        (
            "train",
            {"personalInformation": "yes", "subjectConsent": "table"},
            ["law-personal-information"],
        ),
        (
            "train",
            {"personalInformation": "yes", "anonymization": "agreed"},
            ["law-personal-information"],
        ),
        (
            "evaluate",
            {
                "personalInformation": "yes",
                "anonymization": "agreed",
                "subjectConsent": "table",
            },
            [],
        ),
        ("train", {"crossBorder": "yes"}, ["law-cross-border"]),
        ("train", {"crossBorder": "yes", "spatialPermission": "explicit"}, ["law-cross-border"]),
        ("train", {"crossBorder": "yes", "filingNumber": "GBA-2026-17"}, ["law-cross-border"]),
        (
            "train",
            {"crossBorder": "yes", "spatialPermission": "explicit", "filingNumber": "GBA-2026-17"},
            [],
        ),
        ("list", {"crossBorder": "yes"}, []),
        (
            "train",
            {"classification": "core", "personalInformation": "yes", "crossBorder": "yes"},
            ["law-core-data", "law-cross-border", "law-personal-information"],
        ),
    ],
)
def test_what_the_laws_forbid(action: str, facts: dict[str, str], expected: list[str]) -> None:
    assert codes(action, **facts) == expected


@pytest.mark.parametrize("missing", ["classification", "personalInformation", "crossBorder"])
def test_what_is_not_known_is_forbidden(missing: str) -> None:
    facts = {name: Value(value, "test") for name, value in HARMLESS.items() if name != missing}
    if missing == "crossBorder":
        facts["filingNumber"] = Value("none", "test")
    reasons = barred(LAWS, "train", facts)
    assert len(reasons) == 1
    assert "is not known" in reasons[0].text


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"@type": "Offer"}, "$.@type"),
        ({"permission": [{"action": "use"}]}, "$.permission"),
        ({"obligation": [{"action": "inform"}]}, "$.obligation"),
        ({"prohibition": []}, "$.permission"),
        ({"name": "Upper"}, "$.name"),
        ({"name": "ABSENT"}, "$.name"),
        ({"title": ""}, "$.title"),
        ({"version": "v1"}, "$.version"),
        ({"source": "ABSENT"}, "$.source"),
        ({"comment": "x" * 4001}, "$.comment"),
        ({"conflict": "perm"}, "$.conflict"),
        ({"nextPolicy": {}}, "$.nextPolicy"),
        ({"prohibition": [{"action": "sell"}]}, "$.prohibition[0].action"),
    ],
)
def test_one_fault_in_a_law(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_baseline(law(**changes))
    assert caught.value.where == where


def test_a_name_twice_or_too_many_laws_are_refused() -> None:
    with pytest.raises(DocumentError, match="'example' twice"):
        parse_baselines([law(), law()])
    with pytest.raises(DocumentError, match="at most 64"):
        parse_baselines(law(name=f"law-{n}") for n in range(65))


def test_a_law_is_a_value() -> None:
    assert isinstance(parse_baseline(law()), Baseline)
    assert parse_baseline(law()) == parse_baseline(law(comment=""))
