"""Evaluation: three values, the decision rule, and what the report and its reasons say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from policies.canonical import canonical_bytes, digest_of
from policies.evaluate import (
    Effect,
    LogicResult,
    Outcome,
    Report,
    Request,
    Value,
    compare,
    evaluate,
)
from policies.odrl import CONTEXT, PROFILE, parse_agreement
from policies.operands import OPERANDS, all_of, any_of, negate, one_of

S, U, X = Outcome.SATISFIED, Outcome.UNSATISFIED, Outcome.UNKNOWN
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TRAIN = Request("urn:product:1", "consortium", "train")
STATE: dict[str, Any] = {
    "purpose": "medical-research",
    "dateTime": NOW,
    "count": 3,
    "spatial": "CN-GD",
    "recipient": "consortium",
    "minParticipants": 4,
}
# Constraints with one outcome each under STATE without `recipient`.
YES = ("purpose", "eq", "medical-research")
NO = ("purpose", "eq", "marketing")
MAYBE = ("recipient", "eq", "consortium")


def part(spec: Any) -> Any:
    """(left, operator, right), or {"or": [spec, ...]}."""
    if isinstance(spec, dict):
        return {key: [part(inner) for inner in parts] for key, parts in spec.items()}
    left, operator, right = spec
    if isinstance(right, int):
        right = {"@value": str(right), "@type": "xsd:integer"}
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def rule(action: str, *specs: Any) -> dict[str, Any]:
    return {"action": action, "constraint": [part(spec) for spec in specs]}


def decide(
    permission: list[Any],
    prohibition: list[Any] | None = None,
    *,
    request: Request = TRAIN,
    without: str = "",
    **state: Any,
) -> Report:
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
        "permission": permission,
        "prohibition": prohibition or [],
    }
    values = {
        operand: Value(value, f"test:{operand}")
        for operand, value in (STATE | state).items()
        if operand != without
    }
    return evaluate(parse_agreement(json.dumps(document).encode()), request, values)


def codes(report: Report) -> list[str]:
    return [reason.code for reason in report.reasons()]


@pytest.mark.parametrize(
    ("parts", "conjunction", "disjunction", "exclusive"),
    [
        ([], S, U, U),
        ([S], S, S, S),
        ([U], U, U, U),
        ([X], X, X, X),
        ([S, S], S, S, U),
        ([S, U], U, S, S),
        ([S, X], X, S, X),
        ([U, X], U, X, X),
        ([X, X], X, X, X),
        ([S, S, X], X, S, U),
        ([X, S, U], U, S, X),
    ],
)
def test_kleene(
    parts: list[Outcome], conjunction: Outcome, disjunction: Outcome, exclusive: Outcome
) -> None:
    for order in (parts, parts[::-1]):
        assert (all_of(order), any_of(order), one_of(order)) == (
            conjunction,
            disjunction,
            exclusive,
        )
    assert [negate(outcome) for outcome in (S, U, X)] == [U, S, X]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (4, 5, "lt lteq neq"),
        (5, 5, "lteq gteq eq"),
        (6, 5, "gt gteq neq"),
        (True, 5, None),
        ("5", 5, None),
        (0, 5, None),
        (2**53, 5, None),
    ],
)
def test_integers(left: Any, right: int, expected: str | None) -> None:
    row = OPERANDS["count"]
    for operator in row.operators:
        outcome = X if expected is None else S if operator in expected.split() else U
        assert compare(row, operator, left, right) is outcome


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (NOW - timedelta(milliseconds=1), "lt lteq neq"),
        (NOW, "lteq gteq eq"),
        (NOW.astimezone(timezone(timedelta(hours=8))), "lteq gteq eq"),
        (NOW + timedelta(microseconds=999), "lteq gteq eq"),
        (NOW + timedelta(milliseconds=1), "gt gteq neq"),
        (NOW.replace(tzinfo=None), None),
        ("2026-06-01T00:00:00Z", None),
        (1780272000, None),
    ],
)
def test_instants_compare_in_utc_at_milliseconds(left: Any, expected: str | None) -> None:
    row = OPERANDS["dateTime"]
    for operator in row.operators:
        outcome = X if expected is None else S if operator in expected.split() else U
        assert compare(row, operator, left, NOW) is outcome


@pytest.mark.parametrize(
    ("operand", "left", "right", "equal", "inside"),
    [
        ("recipient", "a", "a", S, None),
        ("recipient", "a-b", "a", U, None),
        ("recipient", "", "a", X, None),
        ("recipient", 5, "a", X, None),
        ("spatial", "CN", "CN", S, S),
        ("spatial", "CN-GD", "CN", X, S),
        ("spatial", "CN-GD-SZ", "CN", X, S),
        ("spatial", "CN", "CN-GD", X, X),
        ("spatial", "CN-SH", "CN-GD", U, U),
        ("spatial", "CN-GDX", "CN-GD", U, U),
        ("spatial", "HK", "CN", U, U),
        ("spatial", "cn", "CN", X, X),
        ("purpose", "medical-research", "medical-research", S, S),
        ("purpose", "diagnosis-support", "medical-research", X, S),
        ("purpose", "medical-research", "diagnosis-support", X, X),
        ("purpose", "marketing", "medical-research", U, U),
        ("purpose", "unlisted", "marketing", U, X),
        ("purpose", "marketing", "unlisted", U, X),
        ("purpose", "unlisted", "unlisted", S, S),
        ("purpose", "two words", "marketing", X, X),
    ],
)
def test_names(operand: str, left: Any, right: str, equal: Outcome, inside: Outcome | None) -> None:
    row = OPERANDS[operand]
    assert compare(row, "eq", left, right) is equal
    assert compare(row, "neq", left, right) is negate(equal)
    assert compare(row, "isAnyOf", left, (right,)) is equal
    assert compare(row, "isNoneOf", left, (right,)) is negate(equal)
    if inside is not None:
        assert compare(row, row.operators[-1], left, right) is inside


def test_sets_of_names() -> None:
    row = OPERANDS["spatial"]
    assert compare(row, "isAnyOf", "HK", ("CN", "HK")) is S
    assert compare(row, "isNoneOf", "HK", ("CN", "HK")) is U
    assert compare(row, "isAnyOf", "HK", ("CN", "MO")) is U
    assert compare(row, "isAnyOf", "CN", ("CN-GD", "HK")) is X
    assert compare(row, "isNoneOf", "CN", ("CN-GD", "HK")) is X
    assert compare(row, "isAnyOf", "CN", ("CN-GD", "CN")) is S


def test_a_table_of_purposes_may_be_given_and_a_cycle_in_it_ends() -> None:
    row = OPERANDS["purpose"]
    table = {"a": "b", "b": "c", "c": "a", "d": None}
    assert compare(row, "isA", "a", "c", table) is S
    assert compare(row, "isA", "a", "d", table) is U
    assert compare(row, "isA", "diagnosis-support", "medical-research", table) is X


@pytest.mark.parametrize(
    ("permission", "prohibition", "effect", "reasons"),
    [
        ([rule("train")], [], "permit", ["permitted"]),
        ([rule("use")], [], "permit", ["permitted"]),
        ([rule("evaluate")], [], "deny", ["no-permission"]),
        ([], [rule("evaluate")], "deny", ["no-permission"]),
        ([rule("train", YES)], [], "permit", ["permitted"]),
        ([rule("train", NO)], [], "deny", ["purpose-not-allowed"]),
        ([rule("train", MAYBE)], [], "deny", ["unknown-value"]),
        ([rule("train", YES, MAYBE)], [], "deny", ["unknown-value"]),
        ([rule("train", NO, MAYBE)], [], "deny", ["purpose-not-allowed", "unknown-value"]),
        ([rule("train", NO), rule("use", YES)], [], "permit", ["permitted"]),
        ([rule("train")], [rule("train")], "deny", ["prohibited"]),
        ([rule("train")], [rule("use", YES)], "deny", ["prohibited"]),
        ([rule("train")], [rule("use", NO)], "permit", ["permitted"]),
        ([rule("train")], [rule("use", MAYBE)], "deny", ["unknown-value"]),
        ([rule("train")], [rule("use", MAYBE, NO)], "permit", ["permitted"]),
        ([rule("train")], [rule("evaluate")], "permit", ["permitted"]),
        ([rule("train", NO)], [rule("use")], "deny", ["prohibited", "purpose-not-allowed"]),
        ([rule("train", {"and": [YES, NO]})], [], "deny", ["purpose-not-allowed"]),
        ([rule("train", {"or": [NO, YES]})], [], "permit", ["permitted"]),
        (
            [rule("train", {"or": [NO, MAYBE]})],
            [],
            "deny",
            ["purpose-not-allowed", "unknown-value"],
        ),
        ([rule("train", {"xone": [NO, YES]})], [], "permit", ["permitted"]),
        ([rule("train", {"xone": [YES, YES]})], [], "deny", ["more-than-one-alternative"]),
        ([rule("train", {"xone": [YES, MAYBE]})], [], "deny", ["unknown-value"]),
        ([rule("train", {"xone": [NO, NO]})], [], "deny", ["purpose-not-allowed"] * 2),
        ([rule("train")], [rule("use", {"or": [YES, MAYBE]})], "deny", ["prohibited"]),
        ([rule("train")], [rule("use", {"and": [YES, MAYBE]})], "deny", ["unknown-value"]),
    ],
)
def test_the_decision_rule(
    permission: list[Any], prohibition: list[Any], effect: str, reasons: list[str]
) -> None:
    report = decide(permission, prohibition, without="recipient")
    assert (report.effect.value, codes(report)) == (effect, reasons)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Request("urn:product:2", "consortium", "train"), "wrong-target"),
        (Request("urn:product:1", "other", "train"), "wrong-assignee"),
        (Request("urn:product:1", "consortium", "use"), "no-permission"),
        (Request("urn:product:1", "consortium", "list"), "no-permission"),
        (Request("urn:product:1", "consortium", ""), "no-permission"),
    ],
)
def test_a_request_that_no_rule_is_about(request_: Request, code: str) -> None:
    report = decide([rule("use")], [rule("use")], request=request_)
    assert (report.effect, codes(report)) == (Effect.DENY, [code])
    assert [(r.matches, r.outcome, r.constraints) for r in report.rules] == [(False, None, ())] * 2


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        (("purpose", "eq", "marketing"), "purpose-not-allowed",
         "the purpose is medical-research; the agreement allows only marketing "
         "(permission 1, constraint 2)"),
        (("spatial", "isAnyOf", ["HK", "MO", "SG"]), "place-not-allowed",
         "the place of processing is CN-GD; the agreement allows only HK, MO or SG "
         "(permission 1, constraint 2)"),
        (("spatial", "isPartOf", "HK"), "place-not-allowed",
         "the place of processing is CN-GD; the agreement allows only HK and its regions "
         "(permission 1, constraint 2)"),
        (("recipient", "isNoneOf", ["consortium"]), "recipient-not-allowed",
         "the recipient is consortium; the agreement allows anything but consortium "
         "(permission 1, constraint 2)"),
        (("count", "lteq", 2), "count-exhausted",
         "the number of uses is 3; the agreement allows at most 2 (permission 1, constraint 2)"),
        (("dateTime", "lt", "2026-03-01T08:00:00+08:00"), "time-not-allowed",
         "the time is 2026-06-01T00:00:00.000Z; the agreement allows times before "
         "2026-03-01T00:00:00.000Z (permission 1, constraint 2)"),
        (("minParticipants", "gteq", 5), "too-few-participants",
         "the number of participants is 4; the agreement asks for at least 5 "
         "(permission 1, constraint 2)"),
        ({"or": [NO, {"and": [YES, ("count", "eq", 1)]}]}, "count-exhausted",
         "the number of uses is 3; the agreement allows only 1 "
         "(permission 1, constraint 2, or 2, and 2)"),
        (("purpose", "isA", "diagnosis-support"), "unknown-value",
         "the purpose is medical-research, of which it is not known how it stands to "
         "diagnosis-support; the agreement allows only diagnosis-support and what belongs to it "
         "(permission 1, constraint 2)"),
    ],
)  # fmt: skip
def test_sentences_about_permissions(spec: Any, code: str, text: str) -> None:
    reasons = decide([rule("train", YES, spec)]).reasons()
    assert (reasons[-1].code, reasons[-1].text) == (code, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "the number of uses is not known; the agreement allows at most 9 "),
        ("3", "the number of uses has no usable value (from test:count); "),
        (-1, "the number of uses has no usable value (from test:count); "),
    ],
)
def test_sentences_about_values_that_cannot_be(value: Any, text: str) -> None:
    report = decide(
        [rule("train", ("count", "lteq", 9))], without="" if value else "count", count=value
    )
    assert report.effect is Effect.DENY
    assert report.reasons()[0].code == "unknown-value"
    assert report.reasons()[0].text.startswith(text)
    leaf: Any = report.to_json()["rules"]
    assert leaf[0]["constraints"][0]["leftValue"] is None
    assert len(report.digest) == 64


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        ([], "prohibition 1 forbids use"),
        ([YES], "prohibition 1 forbids use because the purpose is medical-research"),
        (
            [{"or": [NO, ("count", "gt", 2)]}],
            "prohibition 1 forbids use because the number of uses is 3",
        ),
        (
            [MAYBE],
            "the recipient is not known; prohibition 1 may apply (prohibition 1, constraint 1)",
        ),
    ],
)
def test_sentences_about_prohibitions(specs: list[Any], text: str) -> None:
    report = decide([rule("train")], [rule("use", *specs)], without="recipient")
    assert [reason.text for reason in report.reasons()] == [text]


def test_the_report_as_json() -> None:
    report = decide(
        [rule("evaluate"), rule("train", {"or": [YES, ("recipient", "isAnyOf", ["a"])]})],
        [rule("train", ("dateTime", "gt", "2026-12-31T23:59:59.5Z"), ("count", "eq", 9))],
        without="count",
    )
    assert isinstance(report.rules[1].constraints[0], LogicResult)
    expected = {
        "agreement": "urn:uuid:1",
        "agreementDigest": report.agreement.digest,
        "target": "urn:product:1",
        "assignee": "consortium",
        "action": "train",
        "effect": "permit",
        "rules": [
            {
                "kind": "permission",
                "index": 0,
                "action": "evaluate",
                "matches": False,
                "outcome": None,
                "constraints": [],
            },
            {
                "kind": "permission",
                "index": 1,
                "action": "train",
                "matches": True,
                "outcome": "satisfied",
                "constraints": [
                    {
                        "path": "$.permission[1].constraint[0]",
                        "operator": "or",
                        "outcome": "satisfied",
                        "parts": [
                            {
                                "path": "$.permission[1].constraint[0].or[0]",
                                "leftOperand": "purpose",
                                "operator": "eq",
                                "rightOperand": "medical-research",
                                "leftValue": "medical-research",
                                "source": "test:purpose",
                                "outcome": "satisfied",
                            },
                            {
                                "path": "$.permission[1].constraint[0].or[1]",
                                "leftOperand": "recipient",
                                "operator": "isAnyOf",
                                "rightOperand": ["a"],
                                "leftValue": "consortium",
                                "source": "test:recipient",
                                "outcome": "unsatisfied",
                            },
                        ],
                    }
                ],
            },
            {
                "kind": "prohibition",
                "index": 0,
                "action": "train",
                "matches": True,
                "outcome": "unsatisfied",
                "constraints": [
                    {
                        "path": "$.prohibition[0].constraint[0]",
                        "leftOperand": "dateTime",
                        "operator": "gt",
                        "rightOperand": {
                            "@value": "2026-12-31T23:59:59.500Z",
                            "@type": "xsd:dateTime",
                        },
                        "leftValue": "2026-06-01T00:00:00.000Z",
                        "source": "test:dateTime",
                        "outcome": "unsatisfied",
                    },
                    {
                        "path": "$.prohibition[0].constraint[1]",
                        "leftOperand": "count",
                        "operator": "eq",
                        "rightOperand": {"@value": "9", "@type": "xsd:integer"},
                        "leftValue": None,
                        "source": None,
                        "outcome": "unknown",
                    },
                ],
            },
        ],
        "duties": [],
        "baseline": [],
    }
    assert report.to_json() == expected
    assert report.digest == digest_of(expected)


def test_the_deepest_report_is_canonical_with_room_for_an_entry_around_it() -> None:
    spec: Any = ("recipient", "isAnyOf", ["a"])
    for _ in range(8):
        spec = {"and": [spec]}
    report = decide([rule("train", spec)])
    entry = {"a": {"b": [{"decision": {"verdicts": [{"report": report.to_json()}]}}]}}
    assert canonical_bytes(entry)
