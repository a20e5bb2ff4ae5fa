"""Which part of a cohort a voucher pays for, where leaving one out lets another in."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from policies.account import Voucher
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.cover import decide_covered
from policies.evaluate import Request
from policies.odrl import Agreement, parse_datetime
from policies.rules import Constraint, Rule

SIZE = 60


def avoiding(index: int) -> Candidate:
    """A candidate that does not come together with the next one."""
    name, rival = f"p{index:03}", f"p{index + 1:03}"
    path = "$.permission[0].constraint[0]"
    asked = Constraint(path, "notTogetherWith", "isNoneOf", (rival,))
    agreement = Agreement(
        id=f"agreement-{name}",
        target=name,
        assigner="owner",
        assignee="consortium",
        timestamp=parse_datetime("2026-01-01T00:00:00Z", "$"),
        permissions=(Rule("permission", 0, "use", (asked,)),),
        prohibitions=(),
    )
    return Candidate(name, name, agreement, (), {}, Request(name, "consortium", "train"))


@pytest.mark.parametrize("units", ["0", "1", "2.5", "7", "29", "30", "1000"])
def test_a_chain_of_rivals_is_covered_in_a_few_decisions(units: str) -> None:
    decisions = [0]

    def decide(candidates: Sequence[Candidate]) -> RoundDecision:
        decisions[0] += 1
        return decide_round(candidates)

    voucher = Voucher("v", "consortium", Decimal(units))
    chain = [avoiding(index) for index in range(SIZE)]
    decision = decide_covered(chain, decide, pays=Decimal(1), voucher=voucher)
    taking = [verdict.participant for verdict in decision.permitted]
    assert len(taking) <= min(int(Decimal(units)), SIZE // 2)
    assert decisions[0] <= 1 + 4 * 2 * 7 + 1
    # Who takes part does so when exactly these do.
    alone = decide_round([one for one in chain if one.participant in taking])
    assert [verdict.participant for verdict in alone.permitted] == taking


def test_without_a_voucher_nobody_is_paid() -> None:
    chain = [avoiding(index) for index in range(SIZE)]
    decision = decide_covered(chain, decide_round, pays=Decimal(1), voucher=None)
    assert decision.permitted == ()
    assert {one.reasons[0].code for one in decision.verdicts} == {"voucher-exhausted"}


def test_after_so_many_turns_nobody_else_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.cover.MAX_TURNS", 0)
    chain = [avoiding(index) for index in range(SIZE)]
    voucher = Voucher("v", "consortium", Decimal(2))
    decision = decide_covered(chain, decide_round, pays=Decimal(1), voucher=voucher)
    assert [one.participant for one in decision.permitted] == ["p001", "p003"]
