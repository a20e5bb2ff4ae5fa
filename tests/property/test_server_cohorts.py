"""Whatever refuses some of a cohort, those who are left are permitted in exactly their company.

Withdrawals, duties, laws, a voucher that is too short and a second engine that refuses, together.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.account import Voucher
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.company import Company
from policies.cover import decide_covered
from policies.evaluate import Effect, Reason, Report, Request, State, Value, evaluate
from policies.law import parse_baseline
from policies.odrl import PROFILE, Agreement, parse_agreement
from server.second_key import Decision, decide_with_two_keys

PEOPLE = ["p0", "p1", "p2", "p3", "p4"]
HEAD = {"profile": PROFILE, "conflict": "prohibit"}
SECRET = {"leftOperand": "classification", "operator": "eq", "rightOperand": "core"}
LAW = parse_baseline(
    json.dumps(
        {
            **HEAD,
            "@id": "urn:law",
            "@type": "Set",
            "name": "law",
            "title": "No core data",
            "version": "1",
            "source": "a test",
            "prohibition": [{"action": "use", "constraint": [SECRET]}],
        }
    ).encode()
)


def leaf(left: str, operator: str, right: Any, kind: str = "") -> dict[str, Any]:
    value = {"@value": right, "@type": f"xsd:{kind}"} if kind else right
    return {"leftOperand": left, "operator": operator, "rightOperand": value}


some = st.sets(st.sampled_from(PEOPLE), min_size=1, max_size=2).map(sorted)
wishes = st.one_of(
    st.builds(leaf, st.just("togetherWith"), st.sampled_from(["isAnyOf", "isAllOf"]), some),
    st.builds(leaf, st.just("notTogetherWith"), st.just("isNoneOf"), some),
    st.integers(1, 5).map(lambda n: leaf("minParticipants", "gteq", str(n), "integer")),
    st.sampled_from(["0.2", "0.4", "0.6"]).map(lambda x: leaf("rowShare", "lteq", x, "decimal")),
)
constraints = st.lists(wishes, max_size=2) | st.lists(wishes, min_size=2, max_size=2).map(
    lambda parts: [{"or": parts}]
)
duties = st.sampled_from([[], [], [{"action": "inform"}]])


@functools.cache
def parsed(text: str) -> Agreement:
    return parse_agreement(text.encode())


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    found = []
    for index in range(draw(st.integers(1, 7))):
        target = f"d{index}"
        document = {
            **HEAD,
            "@id": f"urn:{target}",
            "@type": "Agreement",
            "target": target,
            "assigner": "owner",
            "assignee": "consortium",
            "timestamp": "2026-01-01T00:00:00Z",
            "permission": [{"action": "use", "constraint": draw(constraints)}],
            "obligation": draw(duties),
        }
        state = {
            "classification": Value(draw(st.sampled_from(["general"] * 5 + ["core"])), "card"),
            "inform": Value(draw(st.sampled_from(["fulfilled", "fulfilled", "pending"])), "log"),
        }
        facts = [Reason("offline", "away")] if draw(st.integers(0, 9)) == 0 else []
        found.append(
            Candidate(
                participant=draw(st.sampled_from(PEOPLE)),
                product=target,
                agreement=parsed(json.dumps(document)),
                facts=facts,
                state=state,
                request=Request(target, "consortium", "train"),
                rows=draw(st.sampled_from([0, 10, 100, 300])),
            )
        )
    return found


@dataclass
class FakeKey:
    """Refuses some products, and would permit others, whatever ours says."""

    says: Mapping[str, Effect]
    name: str = "fake"

    def decide(self, report: Report, state: State) -> Decision:
        # It asks what the report was made with, so it can be sure of its own answer.
        assert evaluate(report.agreement, report.request, state, baseline=(LAW,)) == report
        return Decision(self.says.get(report.request.target, report.effect), "0" * 64)


keys = st.dictionaries(
    st.sampled_from([f"d{index}" for index in range(7)]),
    st.sampled_from([Effect.DENY, Effect.DENY, Effect.PERMIT]),
    max_size=3,
)


@given(
    candidates(),
    keys,
    st.integers(0, 6) | st.none(),
    st.integers(1, 3),
    st.integers(1, 4) | st.none(),
    st.randoms(),
)
@settings(max_examples=250, deadline=None)
def test_who_is_left_is_permitted_in_exactly_this_company(
    given_: list[Candidate],
    says: Mapping[str, Effect],
    units: int | None,
    least: int,
    opened: int | None,
    random: Any,
) -> None:
    voucher = Voucher("v", "consortium", Decimal(units)) if units is not None else None
    pays = Decimal(0 if units is None else 1)

    def decided(order: Sequence[Candidate]) -> RoundDecision:
        decide = functools.partial(decide_round, min_cohort=least, opened=opened, baseline=(LAW,))
        covered = functools.partial(decide_covered, decide=decide, pays=pays, voucher=voucher)
        return decide_with_two_keys(order, FakeKey(says), covered)[0]

    decision = decided(given_)
    by_product = {one.product: one for one in given_}
    taking = [by_product[verdict.product] for verdict in decision.permitted]
    counted = Counter(one.participant for one in taking)
    company = Company(counted, sum(one.rows for one in taking), frozenset(counted), opened)
    for one in taking:
        assert one.agreement is not None and not one.facts
        values = company.values(one.agreement, one.participant, one.rows)
        state = {**one.state, **values}
        report = evaluate(one.agreement, one.request, state, baseline=(LAW,))
        assert report.effect is Effect.PERMIT
        assert says.get(one.product, Effect.PERMIT) is Effect.PERMIT
    assert not taking or len(counted) >= least
    assert units is None or len(taking) <= units
    assert all(verdict.reasons for verdict in decision.verdicts)
    shuffled = list(given_)
    random.shuffle(shuffled)
    assert decided(shuffled).digest == decision.digest
