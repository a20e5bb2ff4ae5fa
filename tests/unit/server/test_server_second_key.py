"""Two keys: nobody takes part whom either engine refuses, and a disagreement raises an alarm."""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from server_site import CONSUMER, Site, constraint

from auditors.shares import replay_log
from policies.cedar import cedar_policies
from policies.cohort import Candidate, decide_round
from policies.errors import PolicyError
from policies.evaluate import Effect, Reason, Report, Request, State, Value, evaluate
from policies.law import parse_baseline
from policies.odrl import CONTEXT, PROFILE, Agreement, parse_datetime
from policies.operands import OPERANDS
from policies.rules import Constraint, Rule
from server.edge import Edge
from server.errors import SpaceError
from server.governance import open_governance
from server.rounds import RoundAnswer
from server.second_key import CedarKey, Decision, SecondKey, decide_with_two_keys

PERMIT, DENY = Effect.PERMIT, Effect.DENY


@dataclass
class FakeKey:
    """An engine that says what it is told to, by product; else what our evaluator says."""

    says: Mapping[str, Effect]
    name: str = "fake"
    states: list[State] = field(default_factory=list)

    def decide(self, report: Report, state: State) -> Decision:
        self.states.append(state)
        effect = self.says.get(report.request.target, report.effect)
        return Decision(effect, digest="0" * 64)


def with_key(site: Site, key: SecondKey | None) -> None:
    site.second_key = key
    site.reopen()


def permitted(answer: RoundAnswer) -> list[str]:
    return [verdict["participant"] for verdict in answer.verdicts if verdict["permitted"]]


def codes(answer: RoundAnswer, participant: str) -> list[str]:
    [verdict] = [one for one in answer.verdicts if one["participant"] == participant]
    return [reason["code"] for reason in verdict["reasons"]]


# -- in governance -------------------------------------------------------------------------------


def test_without_a_second_key_ours_decides_alone(site: Site) -> None:
    assert site.second_key is None
    assert permitted(site.authorize(site.open_run())) == ["alpha", "beta", "gamma"]


def test_who_opens_governance_may_hand_it_a_second_key(site: Site) -> None:
    run = site.open_run()
    asked = site.ask(run)
    site.close()
    edge = Edge(clock=lambda: site.now, random_bytes=site.random_bytes)
    key = FakeKey({"alpha/records": DENY})
    with closing(
        open_governance(site.space, superlink=site.superlink, edge=edge, second_key=key)
    ) as opened:
        answer = opened.governance.rounds.authorize(CONSUMER, asked)
    assert permitted(answer) == ["beta", "gamma"]


def test_cedar_permits_and_refuses_as_ours_does(site: Site) -> None:
    with_key(site, CedarKey())
    site.agree(site.nodes["beta"], constraint("purpose", "eq", "marketing"), **{"@id": "strict"})
    agreements = ["agreement-alpha", "strict", "agreement-gamma"]
    answer = site.authorize(site.open_run(agreements=agreements))
    assert permitted(answer) == ["alpha", "gamma"]
    assert codes(answer, "beta") == ["purpose-not-allowed"]
    assert "EnginesDisagreed" not in site.kinds()


def test_a_refusal_by_the_second_engine_denies_and_is_in_the_log(site: Site) -> None:
    with_key(site, FakeKey({"beta/records": DENY}))
    run = site.open_run()
    answer = site.authorize(run)
    assert permitted(answer) == ["alpha", "gamma"]
    assert codes(answer, "beta") == ["engines-disagree"]
    assert [member.participant for member in site.permit(answer).body.cohort] == ["alpha", "gamma"]

    assert site.kinds()[-3:] == ["EnginesDisagreed", "RoundDecided", "PermitIssued"]
    alarm = site.entries()[-3].body
    decisions = alarm.pop("decisions")
    assert isinstance(decisions, dict)
    assert alarm == {
        "run": run,
        "round": 1,
        "kind": "train",
        "request_id": "ask-1",
        "participant": "beta",
        "product": "beta/records",
        "agreement": "agreement-beta",
        "agreement_digest": alarm["agreement_digest"],
    }
    assert decisions["fake"] == {"effect": "deny", "digest": "0" * 64}
    assert decisions["tdspace"]["effect"] == "permit"
    assert len(decisions["tdspace"]["digest"]) == 64
    assert site.uses()["agreement-beta"] == 0


def test_the_alarm_survives_a_restart_and_an_audit(site: Site) -> None:
    with_key(site, FakeKey({"beta/records": DENY}))
    run = site.open_run()
    first = site.authorize(run)
    before = site.state()
    site.reopen()
    assert site.state() == before
    assert site.authorize(run) == first
    assert replay_log(site.space.log_folder, jobs=1).violations == ()


def test_a_permit_by_the_second_engine_alone_is_an_alarm_and_stays_a_refusal(site: Site) -> None:
    with_key(site, FakeKey({"beta/records": PERMIT}))
    site.agree(site.nodes["beta"], constraint("purpose", "eq", "marketing"), **{"@id": "strict"})
    answer = site.authorize(site.open_run(agreements=["agreement-alpha", "strict"]))
    assert permitted(answer) == ["alpha"]
    assert codes(answer, "beta") == ["purpose-not-allowed"]
    assert site.kinds()[-3:] == ["EnginesDisagreed", "RoundDecided", "PermitIssued"]


def test_nobody_is_permitted_where_the_second_engine_refuses_all(site: Site) -> None:
    with_key(site, FakeKey(dict.fromkeys(["alpha/records", "beta/records", "gamma/records"], DENY)))
    answer = site.authorize(site.open_run())
    assert (permitted(answer), answer.permit) == ([], b"")
    assert site.kinds()[-4:] == [*["EnginesDisagreed"] * 3, "RoundDecided"]


# -- the cohort ----------------------------------------------------------------------------------


def agreement(product: str, *parts: Constraint) -> Agreement:
    return Agreement(
        id=f"agreement-{product}",
        target=product,
        assigner="owner",
        assignee="consortium",
        timestamp=parse_datetime("2026-01-01T00:00:00Z", "$"),
        permissions=(Rule("permission", 0, "use", parts),),
        prohibitions=(),
    )


def candidate(name: str, least: int, *facts: Reason) -> Candidate:
    need = Constraint("$.permission[0].constraint[0]", "minParticipants", "gteq", least)
    request = Request(f"{name}/d", "consortium", "train")
    return Candidate(name, f"{name}/d", agreement(f"{name}/d", need), facts, {}, request)


CANDIDATES = [candidate("a", 3), candidate("b", 1), candidate("c", 2), candidate("d", 4)]


def settled(key: SecondKey | None) -> tuple[list[str], list[str]]:
    decision, found = decide_with_two_keys(CANDIDATES, key, partial(decide_round, min_cohort=1))
    taking = [verdict.participant for verdict in decision.permitted]
    return taking, [one.participant for one in found]


def test_the_cohort_is_settled_again_without_whom_the_second_engine_refuses() -> None:
    assert settled(None) == (["a", "b", "c", "d"], [])
    assert settled(FakeKey({})) == (["a", "b", "c", "d"], [])
    assert settled(FakeKey({"d/d": DENY})) == (["a", "b", "c"], ["d"])
    # Without c, d lacks one participant, and without both a does.
    assert settled(FakeKey({"c/d": DENY})) == (["b"], ["c"])
    assert settled(FakeKey({"b/d": DENY})) == ([], ["b"])


def test_whom_the_engines_disagree_about_stays_out_when_its_rival_leaves() -> None:
    """b is refused for c's sake in the first turn, in which the other engine permits it. When the
    second engine has refused c, ours would permit b; nobody may take it for agreed by then."""
    avoids = Constraint("$.permission[0].constraint[0]", "notTogetherWith", "isNoneOf", ("c",))
    b = replace(candidate("b", 1), agreement=agreement("b/d", avoids))
    key = FakeKey({"b/d": PERMIT, "c/d": DENY})
    decision, found = decide_with_two_keys(
        [candidate("a", 1), b, candidate("c", 1)], key, decide_round
    )
    assert [verdict.participant for verdict in decision.permitted] == ["a"]
    assert [one.participant for one in found] == ["b", "c"]
    assert [reason.code for reason in decision.verdicts[1].reasons] == ["engines-disagree"]


def test_the_second_engine_sees_the_cohort_that_the_report_was_made_with() -> None:
    key = FakeKey({"d/d": DENY})
    settled(key)
    numbers = [state["minParticipants"].value for state in key.states]
    assert numbers == [4, 4, 4, 4, 3, 3, 3]


def test_cedar_settles_a_cohort_as_ours_does() -> None:
    assert settled(CedarKey()) == (["a", "b", "c", "d"], [])


def test_a_candidate_with_a_hard_refusal_is_not_asked_about() -> None:
    key = FakeKey({"e/d": PERMIT})
    gone = candidate("e", 1, Reason("offline", "away"))
    decision, found = decide_with_two_keys([gone], key, decide_round)
    assert (decision.permitted, found, key.states) == ((), (), [])


# -- Cedar ---------------------------------------------------------------------------------------

PURPOSE = Constraint("$.permission[0].constraint[0]", "purpose", "eq", "marketing")
REQUEST = Request("p", "consortium", "train")


def report(state: State, *parts: Constraint) -> Report:
    return evaluate(agreement("p", *parts), REQUEST, state)


def test_a_missing_value_neither_errs_nor_permits() -> None:
    said = CedarKey().decide(report({}, PURPOSE), {})
    assert (said.effect, said.errors) == (DENY, ())


def test_a_digest_is_over_policies_request_and_answer() -> None:
    key = CedarKey()
    state = {"purpose": Value("marketing", "test")}
    first = key.decide(report(state, PURPOSE), state)
    assert first == CedarKey().decide(report(state, PURPOSE), state)
    others = [
        key.decide(report(state), state),
        key.decide(report({}, PURPOSE), {}),
        key.decide(evaluate(agreement("p", PURPOSE), Request("p", "other", "train"), state), state),
    ]
    assert len({first.digest, *(one.digest for one in others)}) == 4


def test_a_law_of_the_baseline_is_compiled_as_well() -> None:
    law = parse_baseline(
        json.dumps(
            {
                "@context": [CONTEXT],
                "@id": "urn:law",
                "@type": "Set",
                "profile": PROFILE,
                "conflict": "prohibit",
                "name": "no-marketing",
                "title": "No marketing",
                "version": "1",
                "source": "a test",
                "prohibition": [
                    {
                        "action": "use",
                        "constraint": [
                            {
                                "leftOperand": "purpose",
                                "operator": "isA",
                                "rightOperand": "marketing",
                            }
                        ],
                    }
                ],
            }
        ).encode()
    )
    key = CedarKey()
    for purpose, effect in (("marketing", DENY), ("diagnosis-support", PERMIT), (None, DENY)):
        state = {"purpose": Value(purpose, "test")} if purpose else {}
        ours = evaluate(agreement("p"), REQUEST, state, baseline=(law,))
        assert (ours.effect, key.decide(ours, state).effect) == (effect, effect)
        assert key.decide(evaluate(agreement("p"), REQUEST, state), state).effect is PERMIT


def test_an_engine_that_fails_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    key = CedarKey()
    made = report({})
    assert key.decide(made, {}).effect is PERMIT

    def fails(*_: object) -> None:
        raise RuntimeError("no engine")

    monkeypatch.setattr(key._cedar, "is_authorized", fails)
    said = key.decide(made, {})
    assert (said.effect, said.errors) == (DENY, ("RuntimeError: no engine",))


def test_a_policy_that_errs_denies_although_cedar_skips_it(monkeypatch: pytest.MonkeyPatch) -> None:
    erring = """
        permit (principal, action, resource);
        forbid (principal, action, resource) when { context.x == "y" };
    """
    monkeypatch.setattr("server.second_key.cedar_policies", lambda *_: erring)
    said = CedarKey().decide(report({}), {})
    assert said.effect is DENY
    assert "while evaluating policy" in said.errors[0]


def test_the_cache_of_compiled_policies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.second_key.MAX_CACHED", 2)
    key = CedarKey()
    for name in "abcde":
        key.decide(evaluate(agreement(name), Request(name, "consortium", "train"), {}), {})
        assert len(key._compiled) <= 2


def test_a_cyclic_taxonomy_and_a_missing_package_are_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SpaceError, match="taxonomy without cycles"):
        CedarKey(purposes={"a": "b", "b": "a"})
    real = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name == "cedarpy":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(SpaceError, match="extra `cedar`"):
        CedarKey()


def test_what_has_no_compilation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.cedar.TABLES", {})
    leaf = Constraint("$", "purpose", "isA", "marketing")
    assert OPERANDS["purpose"].relate is not None
    with pytest.raises(PolicyError, match="purpose: expected a relation"):
        cedar_policies(agreement("p", leaf))
