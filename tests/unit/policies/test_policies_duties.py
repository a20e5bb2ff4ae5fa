"""Duties that are due after the use: they stand in its way only once they are known as violated."""

from __future__ import annotations

import pytest

from policies.evaluate import Effect, Outcome, Report, Request, Value, evaluate
from policies.odrl import Agreement, parse_datetime
from policies.rules import Duty, Rule

PATHS = {"rule": "$.permission[0].duty[0]", "policy": "$.obligation[0]"}


def decide(place: str, *, action: str, state: dict[str, Value]) -> Report:
    """An agreement that permits everything, with one duty beside the permission or in it."""
    duties = (Duty(PATHS[place], action),)
    agreement = Agreement(
        id="urn:uuid:1",
        target="t",
        assigner="owner",
        assignee="consortium",
        timestamp=parse_datetime("2026-01-01T00:00:00Z", "$"),
        permissions=(Rule("permission", 0, "use", (), duties if place == "rule" else ()),),
        prohibitions=(),
        obligations=duties if place == "policy" else (),
    )
    return evaluate(agreement, Request("t", "consortium", "train"), state)


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize("said", [None, "fulfilled", "pending", "unheard-of"])
def test_a_post_duty_that_is_not_violated_permits(place: str, said: str | None) -> None:
    state = {} if said is None else {"report": Value(said, "a test")}
    report = decide(place, action="report", state=state)
    assert report.effect is Effect.PERMIT
    [duty] = report.duties or report.rules[0].duties
    assert (duty.outcome, duty.to_json()["state"]) == (None, None)


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize("action", ["report", "inform"])
def test_a_violated_duty_denies_and_says_so(place: str, action: str) -> None:
    source = "log entry 7"
    report = decide(place, action=action, state={action: Value("violated", source)})
    assert report.effect is Effect.DENY
    [duty] = report.duties or report.rules[0].duties
    assert duty.outcome is Outcome.UNSATISFIED
    assert (duty.to_json()["state"], duty.to_json()["source"]) == ("violated", source)
    [reason] = report.reasons()
    assert reason.code == f"duty-{action}"
    assert reason.text.endswith(f"was violated: {source}")
