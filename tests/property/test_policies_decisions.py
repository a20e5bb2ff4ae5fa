"""Laws of evaluation and of the cohort, over generated agreements and states."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.canonical import canonical_bytes
from policies.cohort import Candidate, decide_round
from policies.company import Company
from policies.evaluate import Effect, Outcome, Reason, Request, State, Value, evaluate
from policies.odrl import CONTEXT, PROFILE, Agreement, parse_agreement
from policies.operands import ACTIONS, FULFILLED, OPERANDS, PENDING, PURPOSES, Kind, Operand

PARTICIPANTS = ["p0", "p1", "p2", "p3", "absent"]
NAMES = {
    "purpose": [*PURPOSES, "unlisted"],
    "spatial": ["CN", "CN-GD", "CN-GD-SZ", "HK"],
    "togetherWith": PARTICIPANTS,
    "notTogetherWith": PARTICIPANTS,
    "algorithm": ["a" * 64, "b" * 64],
}
TIMES = ["2026-01-01T00:00:00Z", "2026-06-01T08:00:00+08:00"]
MAX_EXAMPLES = 60


def names_of(row: Operand) -> list[str]:
    """Some names of an operand: listed above, the words of its pattern, or two letters."""
    if row.term in NAMES:
        return NAMES[row.term]
    return row.pattern.pattern.split("|") if row.pattern else ["a", "b", "none"]


def right(row: Operand, operator: str) -> st.SearchStrategy[Any]:
    number = st.integers(0, 5)
    if row.kind is Kind.INTEGER:
        return number.map(lambda n: {"@value": str(n), "@type": "xsd:integer"})
    if row.kind is Kind.DECIMAL:
        if row.most is not None:  # such as ε, for which 0 stands for nothing
            number = st.integers(1, 5)
        return number.map(lambda n: {"@value": f"{n / 5}", "@type": "xsd:decimal"})
    if row.kind is Kind.DURATION:
        return number.map(lambda n: {"@value": f"PT{n}M", "@type": "xsd:duration"})
    if row.kind is Kind.INSTANT:
        return st.sampled_from(TIMES)
    names = st.sampled_from(names_of(row))
    many = operator in ("isAnyOf", "isNoneOf", "isAllOf")
    return st.lists(names, min_size=1, max_size=3, unique=True) if many else names


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
    """Constraints with or without those of the cohort; a larger cohort breaks none of them."""
    rows = [
        row
        for row in OPERANDS.values()
        if (cohort or not row.cohort) and row.term != "notTogetherWith"
    ]
    keys = ["and", "or", "andSequence"] if cohort else ["and", "or", "xone"]
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
        st.sampled_from(["use", "use", "train", "train", *sorted(ACTIONS)]),
        bodies,
    )


duties = st.one_of(
    st.builds(
        lambda action, parts: {"action": action, "constraint": parts},
        st.sampled_from([term for term, row in ACTIONS.items() if row.duty == "pre"]),
        constraints(cohort=False),
    ),
    st.sampled_from([{"action": t} for t, row in ACTIONS.items() if row.duty == "post"]),
)
permissions = st.builds(
    lambda rule, owed: rule | {"duty": owed}, rules(cohort=True), st.lists(duties, max_size=1)
)


def document(
    permission: list[Any], prohibition: list[Any], obligation: list[Any] | None = None
) -> bytes:
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
            "obligation": obligation or [],
        }
    ).encode()


agreements = st.builds(
    document,
    st.lists(permissions, min_size=1, max_size=3),
    st.lists(rules(cohort=False), max_size=2),
    st.one_of(st.just([]), st.just([]), st.lists(duties, max_size=1)),
).map(parse_agreement)

requests = st.builds(
    Request,
    st.sampled_from(["t", "t", "t", "other"]),
    st.sampled_from(["consortium", "consortium", "consortium", "other"]),
    st.sampled_from(["train", "train", "evaluate", "use"]),
)


def left(row: Operand) -> st.SearchStrategy[Any]:
    if row.kind in (Kind.INTEGER, Kind.DURATION):
        unit = 60 if row.kind is Kind.DURATION else 1
        return st.integers(row.least, 6).map(lambda n: n * unit)
    if row.kind is Kind.DECIMAL:
        return st.integers(0, 6).map(lambda n: Decimal(n) / 5)
    if row.kind is Kind.INSTANT:
        return st.sampled_from([datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)])
    if row.kind is Kind.NAMES:
        return st.sets(st.sampled_from(PARTICIPANTS)).map(lambda names: tuple(sorted(names)))
    return st.sampled_from(names_of(row))


STATES = {term: left(row) for term, row in OPERANDS.items()} | {
    term: st.sampled_from([FULFILLED, FULFILLED, PENDING])
    for term, row in ACTIONS.items()
    if row.duty == "pre"
}
states: st.SearchStrategy[State] = st.fixed_dictionaries(
    {}, optional={key: value.map(lambda v: Value(v, "test")) for key, value in STATES.items()}
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
    owed = any(d.outcome not in (None, Outcome.SATISFIED) for d in report.duties)
    assert (report.effect is Effect.PERMIT) == (granted and not barred and not owed)
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
    return Candidate(
        participant=f"p{index % 4}",
        product=f"d{index}",
        agreement=agreement,
        facts=facts,
        state={name: value for name, value in state.items() if not is_cohort(name)},
        request=request,
        rows=index * 10,
    )


def is_cohort(name: str) -> bool:
    return name in OPERANDS and OPERANDS[name].cohort


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


def company(cohort: tuple[Candidate, ...], possible: frozenset[str] | None) -> Company:
    counted = Counter(one.participant for one in cohort)
    rows = sum(one.rows for one in cohort)
    return Company(counted, rows, frozenset(counted) if possible is None else possible)


def stable(cohort: tuple[Candidate, ...], possible: frozenset[str] | None = None) -> bool:
    here = company(cohort, possible)
    return all(
        one.agreement is not None
        and not one.facts
        and permits(
            one.agreement,
            one.request,
            {**one.state, **here.values(one.agreement, one.participant, one.rows)},
        )
        for one in cohort
    )


def greatest(candidates: list[Candidate], possible: frozenset[str] | None = None) -> set[str]:
    """By brute force: the products of the largest stable set."""
    subsets = [
        subset
        for size in range(len(candidates) + 1)
        for subset in itertools.combinations(candidates, size)
        if stable(subset, possible)
    ]
    union = {one.product for subset in subsets for one in subset}
    # The union of all stable cohorts is itself stable: that is why there is a greatest one.
    assert union == {one.product for one in max(subsets, key=len)}
    return union


@given(candidates_of, st.integers(1, 4), st.randoms(use_true_random=False))
@settings(max_examples=MAX_EXAMPLES)
def test_the_cohort_is_the_greatest_stable_one_in_any_order(
    candidates: list[Candidate], least: int, random: Any
) -> None:
    largest = greatest(candidates)
    participants = {one.participant for one in candidates if one.product in largest}
    expected = largest if len(participants) >= least else set()

    decision = decide_round(candidates, min_cohort=least)
    assert {verdict.product for verdict in decision.permitted} == expected
    assert all(verdict.reasons for verdict in decision.verdicts)
    random.shuffle(candidates)
    assert decide_round(candidates, min_cohort=least).digest == decision.digest


def wishes(together: set[str], apart: set[str], least: int) -> Agreement:
    """An agreement that asks for nothing but its company."""
    parts = [
        {
            "leftOperand": "minParticipants",
            "operator": "gteq",
            "rightOperand": {"@value": str(least), "@type": "xsd:integer"},
        }
    ]
    for operand, operator, names in (
        ("togetherWith", "isAllOf", together),
        ("notTogetherWith", "isNoneOf", apart),
    ):
        if names:
            parts.append(
                {"leftOperand": operand, "operator": operator, "rightOperand": sorted(names)}
            )
    return parse_agreement(document([{"action": "use", "constraint": parts}], []))


some = st.sets(st.sampled_from(PARTICIPANTS), max_size=1)
competitors_of = st.lists(
    st.builds(wishes, some, st.sets(st.sampled_from(PARTICIPANTS), max_size=2), st.integers(0, 3)),
    max_size=6,
).map(lambda drawn: [candidate(index, one, False, {}) for index, one in enumerate(drawn)])


@given(competitors_of, st.randoms(use_true_random=False))
@settings(max_examples=4 * MAX_EXAMPLES)
def test_competitors_are_settled_by_the_alternating_fixed_point(
    candidates: list[Candidate], random: Any
) -> None:
    def largest(possible: frozenset[str]) -> frozenset[str]:
        chosen = greatest(candidates, possible)
        return frozenset(one.participant for one in candidates if one.product in chosen)

    possible = frozenset(one.participant for one in candidates)
    while (smaller := largest(largest(possible))) != possible:
        possible = smaller
    expected = greatest(candidates, possible)

    decision = decide_round(candidates)
    permitted = {verdict.product for verdict in decision.permitted}
    assert permitted == expected
    # Whoever takes part is permitted when exactly these take part.
    assert stable(tuple(one for one in candidates if one.product in permitted))
    assert all(verdict.reasons for verdict in decision.verdicts)
    random.shuffle(candidates)
    assert decide_round(candidates).digest == decision.digest
