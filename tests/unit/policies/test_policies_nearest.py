"""What would have to be otherwise: each way is decided anew, and permits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from policies_rules import agreement, logic, rule

from policies import nearest
from policies.baseline import parse_baseline
from policies.evaluate import Effect, Request, Value, evaluate
from policies.fields import parse_instant
from policies.nearest import Ways, nearest_permits
from policies.odrl import PROFILE, Agreement
from policies.operands import FULFILLED, PENDING, VIOLATED, Right

NOON = parse_instant("2026-06-01T12:00:00.000Z")


def found(
    policy: Agreement, known: Mapping[str, Right], *, action: str = "train", laws: Any = ()
) -> list[dict[str, Right | None]]:
    """The ways as term -> value; each is decided again here."""
    state = {term: Value(value, "test") for term, value in known.items()}
    request = Request(policy.target, policy.assignee, action)
    ways = nearest_permits(policy, request, state, baseline=laws)
    for way in ways.ways:
        tried = dict(state)
        for change in way:
            assert change.before == known.get(change.term)
            tried.pop(change.term, None)
            if change.after is not None:
                tried[change.term] = Value(change.after, "test")
        assert evaluate(policy, request, tried, baseline=laws).effect is Effect.PERMIT
    return [{change.term: change.after for change in way} for way in ways.ways]


@pytest.mark.parametrize(
    ("constraint", "known", "after"),
    [
        ("count lteq 5", {"count": 9}, 5),
        ("count lt 5", {"count": 9}, 4),
        ("count gteq 5", {"count": 2}, 5),
        ("count gt 5", {}, 6),
        ("noise gteq 2", {"noise": Decimal(0)}, Decimal(2)),
        ("epsilon lt 1", {"epsilon": Decimal(3)}, Decimal("0.99")),
        ("meteredTime lteq PT1H", {"meteredTime": 7200}, 3600),
        (
            "dateTime lt 2026-06-01T12:00:00Z",
            {"dateTime": NOON},
            parse_instant("2026-06-01T11:59:59.000Z"),
        ),
        ("purpose isA medical-research", {"purpose": "marketing"}, "medical-research"),
        ("purpose isNoneOf marketing", {"purpose": "marketing"}, "medical-research"),
        ("secureAggregation isNoneOf none", {"secureAggregation": "none"}, "governance"),
        ("minParticipants gteq 4", {"minParticipants": 2}, 4),
        ("togetherWith isAllOf a b", {"togetherWith": ("a",)}, ("a", "b")),
        ("notTogetherWith isNoneOf r", {"notTogetherWith": ("r",)}, ()),
    ],
)
def test_the_nearest_value(constraint: str, known: dict[str, Right], after: Right) -> None:
    term = constraint.split(maxsplit=1)[0]
    assert found(agreement(rule("train", constraint)), known) == [{term: after}]


def test_each_value_that_is_enough_by_itself_is_a_way() -> None:
    policy = agreement(
        rule("train", "purpose eq diagnosis-support", "count lteq 5"),
        rule("train", "payAmount gteq 2"),
    )
    known = {"purpose": "diagnosis-support", "count": 9, "payAmount": Decimal(1)}
    assert found(policy, known) == [{"payAmount": Decimal(2)}, {"count": 5}]


def test_several_changes_are_as_few_as_possible() -> None:
    policy = agreement(
        rule("train", "purpose eq drug-safety", "noise gteq 2", "count lteq 5", "delta lteq 0.01"),
    )
    known = {"purpose": "marketing", "noise": Decimal(1), "count": 4}
    assert found(policy, known) == [
        {"purpose": "drug-safety", "noise": Decimal(2), "delta": Decimal("0.01")}
    ]


def test_a_way_for_each_permission() -> None:
    policy = agreement(
        rule("train", "purpose eq drug-safety", "noise gteq 2"),
        rule("train", "payAmount gteq 3", "event eq inference"),
    )
    assert found(policy, {}) == [
        {"noise": Decimal(2), "purpose": "drug-safety"},
        {"event": "inference", "payAmount": Decimal(3)},
    ]


@pytest.mark.parametrize(("state", "way"), [(PENDING, FULFILLED), (VIOLATED, FULFILLED)])
def test_a_duty_before_the_use(state: str, way: str) -> None:
    policy = agreement(rule("train", duty=[rule("compensate")]))
    assert found(policy, {"compensate": state}) == [{"compensate": way}]


def test_a_violated_duty_after_the_use() -> None:
    policy = agreement(rule("train"), obligation=[rule("delete")])
    assert found(policy, {"delete": VIOLATED}) == [{"delete": None}]


def test_a_prohibition_and_a_law_are_kept_to() -> None:
    law = parse_baseline(
        b'{"@context":["https://w3id.org/dspace/2025/1/context.jsonld"],"@id":"urn:l",'
        b'"@type":"Set","profile":"' + PROFILE.encode() + b'","conflict":"prohibit","name":"l",'
        b'"title":"no core data","version":"1","source":"s","prohibition":[{"action":"use",'
        b'"constraint":[{"leftOperand":"classification","operator":"eq","rightOperand":"core"}]}]}'
    )
    policy = agreement(rule("train"), no=[rule("train", "recipient eq rival")])
    one = found(policy, {"classification": "core", "recipient": "us"}, laws=(law,))
    assert one == [{"classification": "general"}]
    both = found(policy, {"classification": "core", "recipient": "rival"}, laws=(law,))
    assert len(both) == 1 and set(both[0]) == {"classification", "recipient"}


def test_what_only_grows_is_said_to() -> None:
    policy = agreement(rule("train", "count lteq 5"))
    state = {"count": Value(9, "t")}
    (way,) = nearest_permits(policy, Request("t", policy.assignee, "train"), state).ways
    assert way[0].grows_only and not replace(way[0], before=None).grows_only


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (agreement(rule("evaluate")), "train"),
        (agreement(rule("train"), no=[rule("use")]), "train"),
        (agreement(rule("train", "count lt 2", "count gt 5")), "train"),
    ],
)
def test_where_nothing_helps(policy: Agreement, action: str) -> None:
    request = Request(policy.target, policy.assignee, action)
    assert nearest_permits(policy, request, {}) == Ways((), never=True)


def test_a_permitted_and_anothers_request_have_no_way() -> None:
    policy = agreement(rule("train"))
    assert nearest_permits(policy, Request(policy.target, policy.assignee, "train"), {}) == Ways(())
    assert nearest_permits(policy, Request("x", policy.assignee, "train"), {}).never


def test_it_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "MAX_TRIES", 2)
    policy = agreement(rule("train", logic("or", "count lt 3", "count gt 9"), "epsilon lt 1"))
    request = Request(policy.target, policy.assignee, "train")
    assert nearest_permits(policy, request, {}).undecided
