"""Long chains of dependence: settled exactly, with a few evaluations for each candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from policies_rules import agreement, rule

from policies import settling
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.company import least_total, row_share
from policies.contenders import Standing
from policies.evaluate import Request, Value

SIZE = 600


def name(index: int) -> str:
    return f"p{index:04}"


def candidate(index: int, *wishes: str, rows: int = 100) -> Candidate:
    asked = agreement(rule("train", *wishes), target=name(index))
    request = Request(name(index), "consortium", "train")
    return Candidate(name(index), "d", asked, (), {}, request, rows)


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    count = [0]
    evaluated = Standing._evaluated

    def counted(one: Standing, values: Mapping[str, Value]) -> bool:
        count[0] += 1
        return evaluated(one, values)

    monkeypatch.setattr(Standing, "_evaluated", counted)
    yield count


def permitted(decision: RoundDecision) -> list[str]:
    return [verdict.participant for verdict in decision.permitted]


def follow(index: int) -> Candidate:
    return candidate(index, f"togetherWith hasPart {name(index + 1)}")


def avoid(index: int) -> Candidate:
    return candidate(index, f"notTogetherWith isNoneOf {name(index + 1)}")


def number(index: int) -> Candidate:
    return candidate(index, f"minParticipants gteq {SIZE + 1 - index}")


def pair(index: int) -> Candidate:
    """Two that need each other and avoid the next two: certain only together."""
    base = index - index % 2
    other, rivals = base + 1 - index % 2, f"{name(base + 2)} {name(base + 3)}"
    wishes = [f"togetherWith hasPart {name(other)}", f"notTogetherWith isNoneOf {rivals}"]
    return candidate(index, *wishes)


EVERYBODY = [name(index) for index in range(SIZE)]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (follow, []),
        (number, []),
        (avoid, EVERYBODY[1::2]),
        (pair, [one for at, one in enumerate(EVERYBODY) if at % 4 > 1]),
    ],
    ids=["togetherWith", "minParticipants", "notTogetherWith", "pairs"],
)
def test_a_chain_is_settled_with_few_evaluations(
    make: Any, expected: list[str], evaluations: list[int]
) -> None:
    candidates = [make(index) for index in range(SIZE)]
    assert permitted(decide_round(candidates)) == expected
    assert evaluations[0] <= 8 * SIZE


def test_shares_that_fall_one_after_the_other(evaluations: list[int]) -> None:
    # Each is just content beside all that are smaller and the next larger one.
    candidates = [
        candidate(size, f"rowShare lteq {row_share(size, (size + 1) * (size + 2) // 2)}", rows=size)
        for size in range(1, SIZE + 1)
    ]
    assert permitted(decide_round(candidates)) == []
    assert evaluations[0] <= 8 * SIZE


def test_a_ring_of_rivals_is_refused_whole(evaluations: list[int]) -> None:
    ring = [
        candidate(index, f"notTogetherWith isNoneOf {name((index + 1) % SIZE)}")
        for index in range(SIZE)
    ]
    assert permitted(decide_round(ring)) == []
    assert evaluations[0] <= 8 * SIZE


def test_a_cohort_that_takes_too_long_to_find_is_smaller_and_holds_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidates = [pair(index) for index in range(40)]
    whole = permitted(decide_round(candidates))
    monkeypatch.setattr(settling, "LOOKS", 0)
    found = permitted(decide_round(candidates))
    # Nothing is searched for: the last pair, which avoids nobody, is certain all the same.
    assert found == [name(38), name(39)]
    assert set(found) < set(whole)
    alone = [one for one in candidates if one.participant in found]
    assert permitted(decide_round(alone)) == found


@pytest.mark.parametrize("operator", ["lt", "lteq"])
@pytest.mark.parametrize("limit", ["0", "0.25", "0.3333333", "0.333334", "0.5", "1", "2.5"])
@pytest.mark.parametrize("rows", [0, 1, 7, 100])
def test_the_least_total_is_where_a_share_begins_to_fit(
    rows: int, limit: str, operator: str
) -> None:
    def fits(total: int) -> bool:
        share = row_share(rows, total)
        return share < Decimal(limit) if operator == "lt" else share <= Decimal(limit)

    found = least_total(rows, operator, Decimal(limit))
    if rows == 0 or not fits(10**9):
        assert found is None
        return
    assert found is not None
    assert fits(found)
    assert found == 1 or not fits(found - 1)


def test_a_limit_with_many_digits_is_exact() -> None:
    limit = Decimal("0.999999999999999999")
    assert least_total(10**12, "lteq", limit) == -(-(10**18) // 999_999)
