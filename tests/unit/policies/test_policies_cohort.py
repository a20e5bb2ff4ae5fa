"""The decision over a cohort: who falls, in which order, and what each is told."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from policies.canonical import canonical_bytes, digest_of
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.errors import PolicyError
from policies.evaluate import Reason, Request, Value
from policies.odrl import CONTEXT, PROFILE, Agreement, parse_agreement

WITHDRAWN = Reason("consent-withdrawn", "the owner withdrew its consent")


def people(least: int) -> Any:
    right = {"@value": str(least), "@type": "xsd:integer"}
    return {"leftOperand": "minParticipants", "operator": "gteq", "rightOperand": right}


def purpose(name: str) -> Any:
    return {"leftOperand": "purpose", "operator": "eq", "rightOperand": name}


def agreement(target: str, *constraints: Any) -> Agreement:
    document = {
        "@context": [CONTEXT],
        "@id": f"urn:agreement:{target}",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": target,
        "assigner": "owner",
        "assignee": "consortium",
        "timestamp": "2026-01-31T08:00:00Z",
        "permission": [{"action": "train", "constraint": list(constraints)}],
    }
    return parse_agreement(json.dumps(document).encode())


def candidate(name: str, *constraints: Any, **changes: Any) -> Candidate:
    """`name` is participant, or participant/product."""
    participant, _, product = name.partition("/")
    product = product or "p"
    target = f"{participant}-{product}"
    arguments: dict[str, Any] = {
        "agreement": agreement(target, *constraints),
        "facts": (),
        "state": {"purpose": Value("marketing", "run")},
        "request": Request(target, "consortium", "train"),
    }
    return Candidate(participant, product, **(arguments | changes))


def outcome(decision: RoundDecision) -> dict[str, str]:
    return {
        f"{verdict.participant}/{verdict.product}": verdict.reasons[0].code
        for verdict in decision.verdicts
    }


def asked(least: int) -> tuple[Any, ...]:
    return (people(least),) if least else ()


@pytest.mark.parametrize(
    ("least", "permitted"),
    [
        ([], ""),
        ([0], "a"),
        ([1], "a"),
        ([2], ""),
        ([0, 2], "ab"),
        ([0, 3], "a"),
        ([3, 3, 3], "abc"),
        ([3, 3, 4], ""),
        ([0, 2, 4], "ab"),
        ([1, 2, 3, 5], "abc"),
        ([2, 3, 4, 5], ""),
        ([1, 1, 5, 5, 6], "ab"),
    ],
)
def test_the_largest_cohort_whose_members_are_all_content(least: list[int], permitted: str) -> None:
    candidates = [candidate(name, *asked(n)) for name, n in zip("abcde", least, strict=False)]
    orders = list(itertools.permutations(candidates))[:24]
    decisions = [decide_round(order) for order in orders]
    assert "".join(one.participant for one in decisions[0].permitted) == permitted
    assert len({decision.digest for decision in decisions}) == 1


def test_products_of_one_participant_count_once() -> None:
    two = [candidate("a/1", people(2)), candidate("a/2", people(2))]
    assert decide_round(two).permitted == ()
    assert len(decide_round([*two, candidate("b")]).permitted) == 3
    # a/2 leaves, and a stays by a/1: b still has two.
    leaving = [candidate("a/1"), candidate("a/2", people(3)), candidate("b", people(2))]
    assert outcome(decide_round(leaving)) == {
        "a/1": "permitted",
        "a/2": "too-few-participants",
        "b/p": "permitted",
    }


def test_every_verdict_says_why_with_the_number_that_it_fell_at() -> None:
    decision = decide_round(
        [
            candidate("a", people(2)),
            candidate("b", people(3)),
            candidate("c", people(4)),
            candidate("d", purpose("medical-research"), people(1)),
            candidate("e", facts=[WITHDRAWN]),
            candidate("f", agreement=None),
            candidate("g", agreement=None, facts=[WITHDRAWN]),
        ]
    )
    assert outcome(decision) == {
        "a/p": "too-few-participants",
        "b/p": "too-few-participants",
        "c/p": "too-few-participants",
        "d/p": "purpose-not-allowed",
        "e/p": "consent-withdrawn",
        "f/p": "no-agreement",
        "g/p": "consent-withdrawn",
    }
    left: list[Any] = [v.report and v.report.to_json() for v in decision.verdicts]
    numbers = [r and r["rules"][0]["constraints"][-1]["leftValue"] for r in left]
    # a, b, c, d stand at first; d leaves for its purpose in that turn; with three left c leaves,
    # with two b, and a is alone.
    assert numbers == [1, 2, 3, 4, None, None, None]


def test_a_state_cannot_bring_its_own_number_of_participants() -> None:
    forged = {"minParticipants": Value(99, "candidate")}
    decision = decide_round([candidate("a", people(2), state=forged)])
    assert outcome(decision) == {"a/p": "too-few-participants"}


@pytest.mark.parametrize(
    ("constraints", "others", "code"),
    [
        # Both alternatives are tried: few participants for research, many for anything.
        (({"or": [people(3), purpose("marketing")]},), 0, "permitted"),
        (({"or": [people(3), purpose("x")]},), 1, "too-few-participants"),
        (({"or": [people(3), purpose("x")]},), 2, "permitted"),
        (({"or": [people(5), {"and": [people(2), purpose("marketing")]}]},), 1, "permitted"),
        ((people(2), people(3)), 1, "too-few-participants"),
        ((people(2), people(3)), 2, "permitted"),
        ((people(0),), 0, "permitted"),
    ],
)
def test_numbers_inside_logic(constraints: tuple[Any, ...], others: int, code: str) -> None:
    candidates = [candidate(f"z{index}") for index in range(others)]
    decision = decide_round([candidate("a", *constraints), *candidates])
    assert outcome(decision)["a/p"] == code


@pytest.mark.parametrize(
    ("opened", "code"),
    [
        (None, "permitted"),
        (4, "permitted"),  # no more than take part
        (3, "permitted"),
        (2, "too-few-participants"),
    ],
)
def test_among_how_many_one_hides_is_what_may_be_opened_at_least(
    opened: int | None, code: str
) -> None:
    candidates = [candidate("a", people(3)), candidate("b"), candidate("c")]
    decision = decide_round(candidates, opened=opened)
    assert outcome(decision)["a/p"] == code
    assert [verdict.permitted for verdict in decision.verdicts[1:]] == [True, True]


@pytest.mark.parametrize(("least", "permitted"), [(1, 2), (2, 2), (3, 0)])
def test_a_cohort_below_the_minimum_is_refused_whole(least: int, permitted: int) -> None:
    candidates = [
        candidate("a/1"), candidate("b/1", people(2)), candidate("c/1", facts=[WITHDRAWN])
    ]  # fmt: skip
    decision = decide_round(candidates, min_cohort=least)
    assert len(decision.permitted) == permitted
    assert len(decision.refused) == 3 - permitted
    assert outcome(decision)["c/1"] == "consent-withdrawn"
    if not permitted:
        reason = decision.verdicts[0].reasons[0]
        assert reason.code == "cohort-too-small"
        assert reason.text == "participants left in the round: 2; it needs at least 3"


def test_two_products_of_one_participant_are_no_cohort_of_two() -> None:
    decision = decide_round([candidate("a/1"), candidate("a/2")], min_cohort=2)
    assert outcome(decision) == {"a/1": "cohort-too-small", "a/2": "cohort-too-small"}


def test_a_product_may_stand_once() -> None:
    with pytest.raises(PolicyError, match="got p of a twice"):
        decide_round([candidate("a"), candidate("b"), candidate("a", agreement=None)])


def test_a_cohort_of_none_is_no_minimum() -> None:
    with pytest.raises(PolicyError, match="at least 1"):
        decide_round([], min_cohort=0)


def test_the_decision_as_json() -> None:
    decision = decide_round([candidate("b", facts=[WITHDRAWN]), candidate("a")])
    report = decision.verdicts[0].report
    assert report is not None
    expected = {
        "minCohort": 1,
        "verdicts": [
            {
                "participant": "a",
                "product": "p",
                "permitted": True,
                "reasons": [
                    {"code": "permitted", "text": "permission 1 is met in every constraint"}
                ],
                "report": report.digest,
            },
            {
                "participant": "b",
                "product": "p",
                "permitted": False,
                "reasons": [
                    {"code": "consent-withdrawn", "text": "the owner withdrew its consent"}
                ],
                "report": None,
            },
        ],
    }
    assert decision.to_json() == expected
    assert decision.digest == digest_of(expected)
    assert decision.verdicts[0].document == canonical_bytes(report.to_json())


def test_a_long_chain_of_dependence_settles_to_nobody() -> None:
    candidates = [candidate(f"p{index:03}", people(index + 2)) for index in range(200)]
    decision = decide_round(candidates)
    assert decision.permitted == ()
    assert {verdict.reasons[0].code for verdict in decision.verdicts} == {"too-few-participants"}


def names(number: int) -> list[str]:
    return [f"participant-{index:04}" for index in range(number)]


def together(name: str) -> Any:
    return {"leftOperand": "togetherWith", "operator": "hasPart", "rightOperand": name}


def test_a_report_grows_with_its_agreement_and_not_with_the_cohort() -> None:
    """Each of many constraints would else repeat every partner that the others name."""
    crowd = [candidate(name) for name in names(400)]
    wishes = [
        {"or": [together(name) for name in names(400)[at : at + 63]]} for at in range(0, 378, 63)
    ]
    document = agreement("z-p").to_json() | {
        "permission": [{"action": "train", "constraint": [wish]} for wish in wishes]
    }
    asked = parse_agreement(canonical_bytes(document))
    decision = decide_round([*crowd, candidate("z", agreement=asked)])
    last = decision.verdicts[-1]
    assert last.permitted and last.document is not None
    assert len(last.document) < 300 * 400


def test_a_report_that_no_entry_holds_refuses_its_candidate_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("policies.cohort.MAX_REPORT_BYTES", 2000)
    long = [purpose("marketing")] * 10
    decision = decide_round([candidate("a"), candidate("b", *long), candidate("c", together("b"))])
    assert outcome(decision) == {
        "a/p": "permitted",
        "b/p": "report-too-large",
        "c/p": "partner-missing",
    }


def test_the_reasons_of_a_verdict_are_bounded() -> None:
    many = [{"leftOperand": "recipient", "operator": "eq", "rightOperand": "r" * 1024}] * 40
    (verdict,) = decide_round([candidate("a", *many, purpose("medical-research"))]).verdicts
    assert len(verdict.reasons) == 17
    assert verdict.reasons[-1].text == "and 25 more reasons, as the report shows"
    assert max(len(reason.text) for reason in verdict.reasons) == 1000
    assert verdict.report is not None and len(verdict.report.reasons()) == 41
