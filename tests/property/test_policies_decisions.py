"""Laws of evaluation and of the cohort, over generated agreements and states."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.canonical import canonical_bytes
from policies.cohort import Candidate, decide_round
from policies.evaluate import Effect, Outcome, Reason, Request, State, Value, evaluate
from policies.odrl import CONTEXT, PROFILE, Agreement, parse_agreement
from policies.operands import ACTIONS, OPERANDS, PURPOSES, Kind, Operand

NAMES = {
    "purpose": [*PURPOSES, "unlisted"],
    "spatial": ["CN", "CN-GD", "CN-GD-SZ", "HK"],
    "recipient": ["a", "b"],
}
TIMES = ["2026-01-01T00:00:00Z", "2026-06-01T08:00:00+08:00"]
MAX_EXAMPLES = 60


def right(row: Operand, operator: str) -> st.SearchStrategy[Any]:
    if row.kind is Kind.INTEGER:
        return st.integers(0, 5).map(lambda n: {"@value": str(n), "@type": "xsd:integer"})
    if row.kind is Kind.INSTANT:
        return st.sampled_from(TIMES)
    names = st.sampled_from(NAMES[row.term])
    many = operator in ("isAnyOf", "isNoneOf")
    return st.lists(names, min_size=1, max_size=3) if many else names


def comparisons(rows: list[Operand]) -> st.SearchStrategy[Any]:
    def build(pair: tuple[Operand, str]) -> st.SearchStrategy[Any]:
        row, operator = pair
        return right(row, operator).map(
            lambda value: {
                "leftOperand": row.term,
                "operator": operator,
                "rightOperand": value,
            }
        )

    pairs = [(row, operator) for row in rows for operator in row.operators]
    return st.sampled_from(pairs).flatmap(build)


def constraints(*, cohort: bool) -> st.SearchStrategy[list[Any]]:
    rows = [row for row in OPERANDS.values() if cohort or not row.cohort]
    keys = ["and", "or"] if cohort else ["and", "or", "xone"]
    one = st.recursive(
        comparisons(rows),
        lambda inner: st.builds(
            lambda key, parts: {key: parts},
            st.sampled_from(keys),
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=4,
    )
    return st.lists(one, max_size=3)


def rules(*, cohort: bool) -> st.SearchStrategy[Any]:
    bodies = st.one_of(constraints(cohort=cohort), constraints(cohort=False))
    return st.builds(
        lambda action, parts: {"action": action, "constraint": parts},
        st.sampled_from(sorted(ACTIONS)),
        bodies,
    )


def document(permission: list[Any], prohibition: list[Any]) -> bytes:
    return json.dumps(
        {
            "@context": [CONTEXT],
            "@id": "urn:uuid:1",
            "@type": "Agreement",
            "profile": PROFILE,
            "conflict": "prohibit",
            "target": "t",
            "assigner": "owner",
            "assignee": "consortium",
            "timestamp": TIMES[0],
            "permission": permission,
            "prohibition": prohibition,
        }
    ).encode()


agreements = st.builds(
    document,
    st.lists(rules(cohort=True), min_size=1, max_size=3),
    st.lists(rules(cohort=False), max_size=2),
).map(parse_agreement)

requests = st.builds(
    Request,
    st.sampled_from(["t", "t", "t", "other"]),
    st.sampled_from(["consortium", "consortium", "consortium", "other"]),
    st.sampled_from(["train", "train", "evaluate", "use"]),
)

LEFT: dict[str, st.SearchStrategy[Any]] = {
    "purpose": st.sampled_from(NAMES["purpose"]),
    "dateTime": st.sampled_from(
        [datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
    ),
    "count": st.integers(1, 6),
    "spatial": st.sampled_from(NAMES["spatial"]),
    "recipient": st.sampled_from(NAMES["recipient"]),
    "minParticipants": st.integers(0, 6),
}
states: st.SearchStrategy[State] = st.fixed_dictionaries(
    {}, optional={key: value.map(lambda v: Value(v, "test")) for key, value in LEFT.items()}
)


def permits(agreement: Agreement, request: Request, state: State) -> bool:
    return evaluate(agreement, request, state).effect is Effect.PERMIT


@given(agreements)
@settings(max_examples=MAX_EXAMPLES)
def test_the_normal_form_reads_back_as_the_same_agreement(agreement: Agreement) -> None:
    assert parse_agreement(canonical_bytes(agreement.to_json())) == agreement


@given(agreements, requests, states, st.data())
@settings(max_examples=MAX_EXAMPLES)
def test_removing_a_permission_never_permits_more(
    agreement: Agreement, request: Request, state: State, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(agreement.permissions))
    kept = tuple(rule for rule in agreement.permissions if rule is not gone)
    fewer = replace(agreement, permissions=kept)
    assert permits(agreement, request, state) or not permits(fewer, request, state)


@given(agreements, agreements, requests, states)
@settings(max_examples=MAX_EXAMPLES)
def test_adding_prohibitions_never_permits_more(
    agreement: Agreement, other: Agreement, request: Request, state: State
) -> None:
    more = replace(agreement, prohibitions=agreement.prohibitions + other.prohibitions)
    assert permits(agreement, request, state) or not permits(more, request, state)


@given(agreements, requests, states, st.data())
@settings(max_examples=MAX_EXAMPLES)
def test_knowing_less_never_permits_more(
    agreement: Agreement, request: Request, state: State, data: st.DataObject
) -> None:
    known = data.draw(st.sets(st.sampled_from(sorted(state)))) if state else set()
    less = {operand: state[operand] for operand in known}
    assert permits(agreement, request, state) or not permits(agreement, request, less)


@given(agreements, requests, states)
@settings(max_examples=MAX_EXAMPLES)
def test_a_report_carries_its_effect_and_its_reasons(
    agreement: Agreement, request: Request, state: State
) -> None:
    report = evaluate(agreement, request, state)
    matching = [result for result in report.rules if result.matches]
    granted = any(r.outcome is Outcome.SATISFIED for r in matching if r.rule.kind == "permission")
    barred = any(
        r.outcome is not Outcome.UNSATISFIED for r in matching if r.rule.kind == "prohibition"
    )
    assert (report.effect is Effect.PERMIT) == (granted and not barred)
    codes = [reason.code for reason in report.reasons()]
    assert (codes == ["permitted"]) == (report.effect is Effect.PERMIT)
    assert codes and ("permitted" in codes) == (report.effect is Effect.PERMIT)
    assert evaluate(agreement, request, dict(reversed(state.items()))).digest == report.digest


@given(agreements, requests, states, st.integers(0, 5))
@settings(max_examples=MAX_EXAMPLES)
def test_more_participants_never_permit_less(
    agreement: Agreement, request: Request, state: State, number: int
) -> None:
    few = {**state, "minParticipants": Value(number, "test")}
    many = {**state, "minParticipants": Value(number + 1, "test")}
    assert permits(agreement, request, many) or not permits(agreement, request, few)


def candidate(index: int, agreement: Agreement | None, withdrawn: bool, state: State) -> Candidate:
    # Six candidates of four participants: some bring two products.
    facts = [Reason("consent-withdrawn", "withdrawn")] if withdrawn else []
    request = Request("t", "consortium", "train")
    return Candidate(f"p{index % 4}", f"d{index}", agreement, facts, state, request)


candidates_of = st.lists(
    st.tuples(
        st.one_of(
            # Mostly cohort conditions alone, so that the chains of dependence grow long.
            st.integers(0, 5).map(
                lambda n: parse_agreement(
                    document(
                        [
                            {
                                "action": "use",
                                "constraint": [
                                    {
                                        "leftOperand": "minParticipants",
                                        "operator": "gteq",
                                        "rightOperand": {"@value": str(n), "@type": "xsd:integer"},
                                    }
                                ],
                            }
                        ],
                        [],
                    )
                )
            ),
            agreements,
            st.none(),
        ),
        st.sampled_from([False, False, False, True]),
        states,
    ),
    max_size=6,
).map(lambda drawn: [candidate(index, *one) for index, one in enumerate(drawn)])


def stable(cohort: tuple[Candidate, ...]) -> bool:
    number = Value(len({one.participant for one in cohort}), "brute force")
    return all(
        one.agreement is not None
        and not one.facts
        and permits(one.agreement, one.request, {**one.state, "minParticipants": number})
        for one in cohort
    )


@given(candidates_of, st.integers(1, 4), st.randoms(use_true_random=False))
@settings(max_examples=MAX_EXAMPLES)
def test_the_cohort_is_the_greatest_stable_one_in_any_order(
    candidates: list[Candidate], least: int, random: Any
) -> None:
    subsets = [
        subset
        for size in range(len(candidates) + 1)
        for subset in itertools.combinations(candidates, size)
        if stable(subset)
    ]
    greatest = {one.product for subset in subsets for one in subset}
    # The union of all stable cohorts is itself stable: that is why there is a greatest one.
    assert greatest == {one.product for one in max(subsets, key=len)}
    participants = {one.participant for one in candidates if one.product in greatest}
    expected = greatest if len(participants) >= least else set()

    decision = decide_round(candidates, min_cohort=least)
    assert {verdict.product for verdict in decision.permitted} == expected
    assert all(verdict.reasons for verdict in decision.verdicts)
    random.shuffle(candidates)
    assert decide_round(candidates, min_cohort=least).digest == decision.digest
