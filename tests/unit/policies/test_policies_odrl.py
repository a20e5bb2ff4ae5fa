"""Intake: what is accepted, in which normal form, and each single fault with its place."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from policies.canonical import canonical_bytes
from policies.errors import DocumentError
from policies.odrl import (
    CONTEXT,
    PROFILE,
    Agreement,
    Constraint,
    Logic,
    agreement_from_offer,
    parse_agreement,
    parse_offer,
)

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
HINT = '{"@value": "50", "@type": "xsd:integer"}'


def integer(value: int) -> dict[str, str]:
    return {"@value": str(value), "@type": "xsd:integer"}


def decimal(value: str) -> dict[str, str]:
    return {"@value": value, "@type": "xsd:decimal"}


def duration(value: str) -> dict[str, str]:
    return {"@value": value, "@type": "xsd:duration"}


def constraint(left: str = "purpose", operator: str = "eq", right: Any = "marketing") -> Any:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def agreement(*constraints: Any, **changes: Any) -> dict[str, Any]:
    document = {
        "@context": [CONTEXT],
        "@id": "urn:uuid:1",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": "urn:product:1",
        "assigner": "clinic-a",
        "assignee": "consortium",
        "timestamp": "2026-01-31T08:00:00Z",
        "permission": [{"action": "train", "constraint": list(constraints)}],
    }
    document |= {key.replace("AT", "@"): value for key, value in changes.items()}
    return {key: value for key, value in document.items() if value != "ABSENT"}


def offer(**changes: Any) -> dict[str, Any]:
    absent = dict.fromkeys(("target", "assigner", "assignee", "timestamp"), "ABSENT")
    return agreement(**({"ATtype": "Offer"} | absent | changes))


def parse(document: Any) -> Agreement:
    return parse_agreement(json.dumps(document).encode())


def only(document: Any) -> Constraint:
    found = parse(document).permissions[0].constraints[0]
    assert isinstance(found, Constraint)
    return found


def deep(levels: int) -> Any:
    part = constraint()
    for _ in range(levels):
        part = {"or": [part]}
    return part


def refuse(document: Any) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(document)
    return caught.value


@pytest.mark.parametrize(
    ("part", "right"),
    [
        (constraint(right="a"), "a"),
        (constraint(right={"@id": "urn:a"}), "urn:a"),
        (constraint(right={"@value": "a", "@type": "xsd:string"}), "a"),
        (constraint(operator="isAnyOf", right=["a", {"@id": "urn:b"}]), ("a", "urn:b")),
        (constraint(operator="isNoneOf", right="a"), ("a",)),
        (constraint("count", "lteq", integer(50)), 50),
        (
            constraint(
                "count",
                "lteq",
                {"@value": "0", "@type": "http://www.w3.org/2001/XMLSchema#integer"},
            ),
            0,
        ),
        (constraint("minParticipants", "gteq", integer(3)), 3),
        (constraint("spatial", "isPartOf", "CN-GD"), "CN-GD"),
        (constraint("dateTime", "lt", "2026-01-31T16:00:00+08:00"), NOW),
        (
            constraint(
                "dateTime", "lt", {"@value": "2026-01-31T08:00:00.5Z", "@type": "xsd:dateTime"}
            ),
            NOW + timedelta(milliseconds=500),
        ),
    ],
)
def test_right_operands_and_their_normal_form(part: Any, right: Any) -> None:
    parsed = parse(agreement(part))
    assert only(agreement(part)).right == right
    assert parse_agreement(canonical_bytes(parsed.to_json())) == parsed


@pytest.mark.parametrize(
    "changes",
    [
        {"permission": [{"action": "odrl:use"}]},
        {"permission": [{"action": "http://www.w3.org/ns/odrl/2/use", "constraint": []}]},
        {"permission": [{"action": "use", "duty": []}], "prohibition": [], "obligation": []},
        {"permission": [{"action": "use"}], "profile": [PROFILE]},
        {"permission": [{"action": "use"}], "ATcontext": "ABSENT"},
        {"permission": [{"action": "use"}], "timestamp": "2026-01-31T16:00:00.000+08:00"},
    ],
)
def test_spellings_of_one_agreement_have_one_digest(changes: dict[str, Any]) -> None:
    plain = parse(agreement(permission=[{"action": "use"}]))
    assert parse(agreement(**changes)) == plain
    assert parse(agreement(**changes)).digest == plain.digest


def test_terms_may_be_full_iris() -> None:
    short = parse(agreement(constraint("minParticipants", "gteq", integer(2))))
    document = agreement(constraint(f"{PROFILE}#minParticipants", "gteq", integer(2)))
    document["permission"][0]["action"] = f"{PROFILE}#train"
    assert parse(document) == short
    assert only(agreement(constraint("odrl:purpose"))).operand == "purpose"


def test_logic_nests_with_paths_and_thresholds_are_collected() -> None:
    people = constraint("minParticipants", "gteq", integer(5))
    fewer = constraint("minParticipants", "gteq", integer(2))
    parsed = parse(agreement({"or": [constraint(), {"and": [people, fewer]}]}, people))
    outer = parsed.permissions[0].constraints[0]
    assert isinstance(outer, Logic) and isinstance(outer.parts[1], Logic)
    assert outer.parts[1].parts[0].path == "$.permission[0].constraint[0].or[1].and[0]"
    assert parsed.thresholds == (2, 5)
    assert parse_agreement(canonical_bytes(parsed.to_json())) == parsed


def test_bounds_are_inclusive() -> None:
    parsed = parse(agreement(deep(8), *[constraint()] * 55))
    assert len(parsed.permissions[0].constraints) == 56
    assert len(parse(agreement(permission=[{"action": "use"}] * 64)).permissions) == 64


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"conflict": "ABSENT"}, "$.conflict", "void"),
        ({"conflict": "perm"}, "$.conflict", "prohibit"),
        ({"conflict": None}, "$.conflict", "string"),
        ({"profile": "ABSENT"}, "$.profile", "a value"),
        ({"profile": "https://test.com/profile"}, "$.profile", PROFILE),
        ({"profile": [PROFILE, "other"]}, "$.profile", PROFILE),
        ({"ATcontext": [{"odrl": "x"}]}, "$.@context[0]", "string"),
        ({"ATcontext": [CONTEXT, "https://other"]}, "$.@context", CONTEXT),
        ({"ATcontext": CONTEXT}, "$.@context", "list"),
        ({"ATtype": "Offer"}, "$.@type", "Agreement"),
        ({"ATtype": "ABSENT"}, "$.@type", "a value"),
        ({"ATid": "ABSENT"}, "$.@id", "a value"),
        ({"ATid": ""}, "$.@id", "visible"),
        ({"ATid": "x" * 1025}, "$.@id", "1024"),
        ({"target": "two words"}, "$.target", "without spaces"),
        ({"target": "ABSENT"}, "$.target", "a value"),
        ({"assigner": "ABSENT"}, "$.assigner", "a value"),
        ({"assignee": "a\u202eb"}, "$.assignee", "visible"),
        ({"assignee": ["a"]}, "$.assignee", "string"),
        ({"timestamp": "ABSENT"}, "$.timestamp", "a value"),
        ({"timestamp": "2026-01-31T08:00:00"}, "$.timestamp", "offset"),
        ({"timestamp": "2026-01-31T06:00Z"}, "$.timestamp", "xsd:dateTime"),
        ({"timestamp": "2026-02-30T08:00:00Z"}, "$.timestamp", "calendar"),
        ({"timestamp": "2026-01-31T24:00:00Z"}, "$.timestamp", "calendar"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "$.timestamp", "calendar"),
        ({"timestamp": "2026-01-31T08:00:00.0001Z"}, "$.timestamp", "xsd:dateTime"),
        ({"timestamp": "２026-01-31T08:00:00Z"}, "$.timestamp", "xsd:dateTime"),
        ({"permission": "ABSENT"}, "$.permission", "1 to 64"),
        ({"permission": []}, "$.permission", "1 to 64"),
        ({"permission": [{"action": "use"}] * 65}, "$.permission", "1 to 64"),
        ({"permission": {"action": "use"}}, "$.permission", "list"),
        ({"permission": ["use"]}, "$.permission[0]", "an object"),
        ({"permission": [{}]}, "$.permission[0].action", "a value"),
        ({"permission": [{"action": "sell"}]}, "$.permission[0].action", "use, train, evaluate"),
        ({"permission": [{"action": {"@id": "use"}}]}, "$.permission[0].action", "string"),
        ({"permission": [{"action": "use", "target": "x"}]}, "$.permission[0].target", "only keys"),
        (
            {"permission": [{"action": "use", "duty": [{}]}]},
            "$.permission[0].duty[0].action",
            "a value",
        ),
        (
            {"permission": [{"action": "use", "constraint": {}}]},
            "$.permission[0].constraint",
            "list",
        ),
        ({"prohibition": [{"action": "x"}]}, "$.prohibition[0].action", "one of"),
        ({"obligation": [{"action": "use"}]}, "$.obligation[0].action", "anonymize, compensate"),
        ({"obligation": [{"action": "list"}]}, "$.obligation[0].action", "one of"),
        ({"obligation": {}}, "$.obligation", "list"),
        ({"obligation": [{"action": "inform"}] * 65}, "$.obligation", "at most 64"),
        (
            {"obligation": [{"action": "inform", "constraint": [constraint("colour")]}]},
            "$.obligation[0].constraint[0].leftOperand",
            "one of",
        ),
        (
            {"obligation": [{"action": "delete", "constraint": [constraint()]}]},
            "$.obligation[0].constraint",
            "no constraint on delete",
        ),
        (
            {
                "obligation": [
                    {
                        "action": "inform",
                        "constraint": [constraint("minParticipants", "gteq", integer(2))],
                    }
                ]
            },
            "$.obligation[0].constraint[0].leftOperand",
            "only in a permission",
        ),
        (
            {"prohibition": [{"action": "use", "duty": [{"action": "inform"}]}]},
            "$.prohibition[0].duty",
            "in permissions only",
        ),
        (
            {"permission": [{"action": "use", "duty": [{"action": "inform"}] * 65}]},
            "$.permission[0].duty",
            "at most 64",
        ),
        ({"nextPolicy": {}}, "$.nextPolicy", "1 to 64"),
        ({"nextPolicy": []}, "$.nextPolicy", "an object"),
        ({"nextPolicy": {"obligation": []}}, "$.nextPolicy.obligation", "only keys"),
        (
            {"nextPolicy": {"permission": [{"action": "x"}]}},
            "$.nextPolicy.permission[0].action",
            "one of",
        ),
        ({"assigner": "clinic-а"}, "$.assigner", "ASCII"),  # Cyrillic
        ({"target": "产品"}, "$.target", "ASCII"),
        ({"permissions": []}, "$.permissions", "only keys"),
        ({"uid": "x"}, "$.uid", "only keys"),
    ],
)
def test_one_fault_in_the_document(changes: dict[str, Any], where: str, expected: str) -> None:
    error = refuse(agreement(**changes))
    assert (error.where, expected in error.expected) == (where, True), str(error)


@pytest.mark.parametrize(
    ("part", "where", "expected"),
    [
        ({}, ".leftOperand", "a value"),
        ({"leftOperand": "purpose", "operator": "eq"}, ".rightOperand", "a value"),
        ({"leftOperand": "purpose", "rightOperand": "a"}, ".operator", "a value"),
        (constraint() | {"unit": "x"}, ".unit", "only keys"),
        (constraint("colour"), ".leftOperand", "purpose, dateTime"),
        (constraint("unitOfCount"), ".leftOperand", "one of"),
        (constraint(7), ".leftOperand", "string"),  # type: ignore[arg-type]
        (constraint(operator="matches"), ".operator", "eq, neq"),
        (constraint(operator="odrl:eq"), ".operator", "eq, neq"),
        (constraint(operator="lt"), ".operator", "with purpose"),
        (constraint("count", "neq", integer(1)), ".operator", "with count"),
        (constraint("recipient", "isA", "a"), ".operator", "with recipient"),
        (constraint("minParticipants", "eq", integer(1)), ".operator", "gteq with"),
        (constraint("minParticipants", "lteq", integer(1)), ".operator", "gteq with"),
        (constraint("count", "lteq", 50), ".rightOperand", HINT),
        (constraint("count", "lteq", True), ".rightOperand", HINT),
        (constraint("count", "lteq", "50"), ".rightOperand", HINT),
        (constraint("count", "lteq", {"@id": "50"}), ".rightOperand", HINT),
        (constraint("count", "lteq", integer(50) | {"@value": 50}), ".rightOperand", HINT),
        (constraint("count", "lteq", integer(50) | {"@type": "xsd:int"}), ".rightOperand", HINT),
        (constraint("count", "lteq", integer(50) | {"x": 1}), ".rightOperand", HINT),
        (constraint("count", "lteq", {"@value": "50"}), ".rightOperand", HINT),
        (constraint("count", "lteq", [integer(50)]), ".rightOperand", HINT),
        (constraint("count", "lteq", integer(-1)), ".rightOperand", "digits"),
        (constraint("count", "lteq", integer(2**53)), ".rightOperand", "digits"),
        (constraint("count", "lteq", integer(5) | {"@value": "05"}), ".rightOperand", "digits"),
        (constraint("dateTime", "lt", "tomorrow"), ".rightOperand", "xsd:dateTime"),
        (constraint("dateTime", "lt", "2026-13-01T00:00:00Z"), ".rightOperand", "calendar"),
        (constraint("dateTime", "lt", {"@id": "x"}), ".rightOperand", "xsd:dateTime"),
        (constraint(right=None), ".rightOperand", "a string or an IRI"),
        (constraint(right=5), ".rightOperand", "a string or an IRI"),
        (constraint(right=["a"]), ".rightOperand", "a string or an IRI"),
        (constraint(right={"@id": 5}), ".rightOperand", "a string or an IRI"),
        (constraint(right={"@id": "a", "x": "b"}), ".rightOperand", "a string or an IRI"),
        (constraint(right="two words"), ".rightOperand", "without spaces"),
        (constraint(operator="isAnyOf", right=[]), ".rightOperand", "1 to 256"),
        (constraint(operator="isAnyOf", right=["a"] * 257), ".rightOperand", "1 to 256"),
        (constraint(operator="isAnyOf", right=["a", 5]), ".rightOperand[1]", "a string"),
        (constraint(operator="isAnyOf", right=[["a"]]), ".rightOperand[0]", "a string"),
        (constraint("spatial", "eq", "cn"), ".rightOperand", "ISO 3166"),
        (constraint("spatial", "eq", "CN-"), ".rightOperand", "ISO 3166"),
        (constraint("spatial", "eq", "EU"), ".rightOperand", "ISO 3166"),
        (constraint("spatial", "eq", "CN-HK"), ".rightOperand", "ISO 3166"),
        (constraint("spatial", "eq", "_:EU"), ".rightOperand", "ISO 3166"),
        ({"and": []}, ".and", "at least one"),
        ({"and": constraint()}, ".and", "list"),
        ({"and": None}, ".and", "list"),
        ({"and": [constraint()], "or": [constraint()]}, "", "only 'and'"),
        ({"and": [constraint()]} | constraint(), "", "only 'and'"),
        ({"andSequence": []}, ".andSequence", "at least one"),
        (constraint("рurpose"), ".leftOperand", "one of"),  # Cyrillic
        (constraint(right="mаrketing"), ".rightOperand", "a name"),  # Cyrillic
        (constraint(right="ｍarketing"), ".rightOperand", "a name"),  # full width
        (constraint(operator="isAnyOf", right=["a", "a"]), ".rightOperand", "each value once"),
        (constraint("epsilon", "lteq", "3"), ".rightOperand", "xsd:decimal"),
        (constraint("epsilon", "lteq", decimal("-1")), ".rightOperand", "not negative"),
        (constraint("epsilon", "lteq", decimal("1e3")), ".rightOperand", "exponent"),
        (constraint("epsilon", "lteq", decimal("NaN")), ".rightOperand", "decimal like"),
        (constraint("epsilon", "lteq", decimal("01")), ".rightOperand", "decimal like"),
        (constraint("epsilon", "lteq", decimal("1" * 19)), ".rightOperand", "18 digits"),
        (constraint("epsilon", "lteq", integer(1)), ".rightOperand", "xsd:decimal"),
        (constraint("epsilon", "lteq", decimal("0")), ".rightOperand", "above 0"),
        (constraint("epsilon", "lteq", decimal("1000000000")), ".rightOperand", "at most 1000000"),
        (
            constraint("epsilon", "lteq", {"@value": "1", "@type": "xsd:float"}),
            ".rightOperand",
            "de",
        ),
        (constraint("epsilon") | {"unit": "nats"}, ".unit", "only keys"),
        (constraint("delta", "lteq", decimal("0")), ".rightOperand", "above 0"),
        (constraint("delta", "lteq", decimal("1.1")), ".rightOperand", "at most 1 for delta"),
        (constraint("meteredTime", "lteq", duration("P1Y")), ".rightOperand", "xsd:duration"),
        (constraint("meteredTime", "lteq", duration("P1M")), ".rightOperand", "xsd:duration"),
        (constraint("meteredTime", "lteq", duration("P")), ".rightOperand", "xsd:duration"),
        (constraint("meteredTime", "lteq", duration("PT")), ".rightOperand", "xsd:duration"),
        (constraint("meteredTime", "lteq", duration("P1DT")), ".rightOperand", "xsd:duration"),
        (constraint("meteredTime", "lteq", duration("-PT1H")), ".rightOperand", "xsd:duration"),
        (constraint("meteredTime", "lteq", duration("PT1.5S")), ".rightOperand", "xsd:duration"),
        (constraint("event", "eq", "policyUsage"), ".rightOperand", "training-round"),
        (constraint("classification", "eq", "secret"), ".rightOperand", "general"),
        (constraint("algorithm", "eq", "abc"), ".rightOperand", "SHA-256"),
        (constraint("executionEnvironment", "isA", "tee"), ".rightOperand", "confined"),
        (constraint("togetherWith", "isNoneOf", ["a"]), ".operator", "with togetherWith"),
        (constraint("notTogetherWith", "hasPart", "a"), ".operator", "with notTogetherWith"),
        (constraint("rowShare", "gteq", decimal("0.5")), ".operator", "with rowShare"),
        ({"not": [constraint()]}, ".not", "only keys"),
        ({"or": [constraint(), constraint("colour")]}, ".or[1].leftOperand", "one of"),
        (deep(9), ".or[0]" * 8, "8 levels"),
        (
            {"and": [{"xone": [{"or": [constraint("minParticipants", "gteq", integer(2))]}]}]},
            ".and[0].xone[0].or[0].leftOperand",
            "not under xone",
        ),
    ],
)
def test_one_fault_in_a_constraint(part: Any, where: str, expected: str) -> None:
    error = refuse(agreement(constraint(), part))
    assert error.where == "$.permission[0].constraint[1]" + where
    assert expected in error.expected


def test_too_many_constraints_are_counted_with_nested_ones() -> None:
    error = refuse(agreement({"or": [constraint()] * 64}))
    assert (error.where, error.got) == ("$.permission[0].constraint", "65")


def test_min_participants_is_refused_in_a_prohibition() -> None:
    part = constraint("minParticipants", "gteq", integer(2))
    error = refuse(agreement(prohibition=[{"action": "use", "constraint": [part]}]))
    assert error.where == "$.prohibition[0].constraint[0].leftOperand"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[]", "an object"),
        (b"{", "JSON"),
        (b" " * (64 * 1024 + 1), "at most 65536 bytes"),
        (b'{"conflict":"prohibit","conflict":"perm"}', "each key once"),
        (b'{"conflict":1.5}', "integers only"),
    ],
)
def test_bytes_that_are_no_document(data: bytes, expected: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_agreement(data)
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"target": "urn:product:1"}, "$.target"),
        ({"assignee": "consortium"}, "$.assignee"),
        ({"timestamp": "2026-01-31T08:00:00Z"}, "$.timestamp"),
        ({"ATtype": "Agreement"}, "$.@type"),
        ({"assigner": ""}, "$.assigner"),
        ({"conflict": "ABSENT"}, "$.conflict"),
        ({"permission": [{"action": "x"}]}, "$.permission[0].action"),
    ],
)
def test_one_fault_in_an_offer(changes: dict[str, Any], where: str) -> None:
    document = offer(**changes)
    with pytest.raises(DocumentError) as caught:
        parse_offer(json.dumps(document).encode())
    assert caught.value.where == where


@pytest.mark.parametrize("changes", [{}, {"assigner": "clinic-a"}])
def test_an_offer_becomes_the_agreement_that_says_the_same(changes: dict[str, Any]) -> None:
    parsed = parse_offer(json.dumps(offer(**changes)).encode())
    assert parse_offer(canonical_bytes(parsed.to_json())) == parsed
    made = agreement_from_offer(
        parsed,
        id="urn:uuid:1",
        target="urn:product:1",
        assigner="clinic-a",
        assignee="consortium",
        timestamp=NOW.astimezone(timezone(timedelta(hours=8))),
    )
    assert made == parse(agreement())


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"assigner": "clinic-b"}, "$.assigner"),
        ({"assignee": "two words"}, "$.assignee"),
        ({"id": ""}, "$.@id"),
        ({"timestamp": datetime(2026, 1, 31)}, "$.timestamp"),
    ],
)
def test_an_offer_is_not_accepted_with(changes: dict[str, Any], where: str) -> None:
    arguments = {
        "id": "urn:uuid:1",
        "target": "urn:product:1",
        "assigner": "clinic-a",
        "assignee": "consortium",
        "timestamp": NOW,
    }
    parsed = parse_offer(json.dumps(offer(assigner="clinic-a")).encode())
    with pytest.raises(DocumentError) as caught:
        agreement_from_offer(parsed, **(arguments | changes))
    assert caught.value.where == where


def test_the_digest_changes_with_every_part() -> None:
    base = agreement(constraint(), prohibition=[{"action": "evaluate"}])
    digests = {parse(base).digest}
    for path, value in (
        (("@id",), "urn:uuid:2"),
        (("target",), "urn:product:2"),
        (("assigner",), "clinic-b"),
        (("assignee",), "other"),
        (("timestamp",), "2026-01-31T08:00:01Z"),
        (("prohibition", 0, "action"), "train"),
        (("permission", 0, "constraint", 0, "rightOperand"), "other"),
        (("permission", 0, "constraint", 0, "operator"), "neq"),
    ):
        changed: Any = copy.deepcopy(base)
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        digests.add(parse(changed).digest)
    assert len(digests) == 9
