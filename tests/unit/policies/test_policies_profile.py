"""profile.md is true: its example runs, and its tables are the tables in the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import policies
from policies.baseline import parse_baseline
from policies.cohort import Candidate, decide_round
from policies.evaluate import Effect, Report, Request, Value, evaluate
from policies.odrl import agreement_from_offer, parse_agreement, parse_offer
from policies.operands import ACTIONS, COVERS, OPERANDS, PROFILE, PURPOSES, Kind, parse_datetime
from policies.privacy_facts import fewest_opened, privacy_facts
from policies.statements import RunSpec
from policies.values import value_from_json
from policies.vocabulary import profile_jsonld

TEXT = (Path(policies.__file__).parent / "profile.md").read_text(encoding="utf-8")
FOLDER = Path(policies.__file__).parent
TYPES = {
    Kind.NAME: "name",
    Kind.NAMES: "names",
    Kind.INTEGER: "xsd:integer",
    Kind.DECIMAL: "xsd:decimal",
    Kind.DURATION: "xsd:duration",
    Kind.INSTANT: "xsd:dateTime",
}
PLAN: dict[str, Any] = {
    "version": 1,
    "app": "a" * 64,
    "purpose": "medical-research",
    "agreements": ["agreement-1"],
    "rounds": 1,
    "metrics": [],
    "config": {},
    "deadline_s": 60,
    "memory_bytes": 1 << 28,
    "quorum": 1,
}
NOW = parse_datetime("2026-06-01T00:00:00Z", "$")


def block(name: str) -> str:
    found = re.search(rf"```json {name}\n(.*?)```", TEXT, re.DOTALL)
    assert found, f"profile.md has no block {name!r}"
    return found[1]


def decide(**changes: str | int) -> Report:
    asked = json.loads(block("request"))
    state: dict[str, Value] = {}
    for operand, given in asked["state"].items():
        value: Any = changes.get(operand, given["value"])
        if operand == "dateTime":
            value = parse_datetime(value, "$")
        state[operand] = Value(value, given["source"])
    agreement = parse_agreement(block("agreement").encode())
    return evaluate(agreement, Request(**asked["request"]), state)


def test_the_worked_example_is_decided_as_written() -> None:
    report = decide()
    expected = json.loads(block("decision"))
    assert {
        "effect": report.effect.value,
        "reasons": [reason.to_json() for reason in report.reasons()],
    } == expected


def test_the_permitted_variant_is_permitted() -> None:
    report = decide(purpose="diagnosis-support", count=50, spatial="CN-GD")
    assert report.effect is Effect.PERMIT
    assert [reason.code for reason in report.reasons()] == ["permitted"]


@pytest.mark.parametrize("term", OPERANDS)
def test_every_operand_stands_in_the_table(term: str) -> None:
    row = OPERANDS[term]
    cells = (f"`{term}`", " ".join(row.operators), TYPES[row.kind], row.unit, row.source)
    assert f"| {' | '.join(cells)} |" in TEXT


@pytest.mark.parametrize("term", ACTIONS)
def test_every_action_stands_in_the_table(term: str) -> None:
    covers, due = ", ".join(sorted(COVERS[term])), ACTIONS[term].duty or ""
    assert f"| `{term}` | {covers} | {due} |" in TEXT


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_purpose_stands_in_the_table(purpose: str) -> None:
    wider = PURPOSES[purpose]
    assert f"| `{purpose}` | {f'`{wider}`' if wider else ''} |" in TEXT


def test_the_tables_have_no_other_rows() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE)
    assert sorted(rows) == sorted([*OPERANDS, *ACTIONS, *PURPOSES])
    assert PROFILE in TEXT


def test_the_vocabulary_file_is_what_the_tables_give() -> None:
    assert json.loads((FOLDER / "profile.jsonld").read_text("utf-8")) == profile_jsonld()


def example_agreement(**changes: Any) -> Any:
    document = json.loads(block("agreement"))
    for key in ("permission", "prohibition"):
        document.pop(key, None)
    return parse_agreement(json.dumps(document | changes).encode())


def test_the_duty_example_is_decided_as_written() -> None:
    offer = parse_offer(block("obligations").encode())
    agreement = agreement_from_offer(
        offer,
        id="urn:uuid:1",
        target="t",
        assigner="clinic-a",
        assignee="consortium",
        timestamp=NOW,
    )
    example = json.loads(block("owed"))
    state = {
        name: Value(
            value_from_json(OPERANDS[name], given["value"]) if name in OPERANDS else given["value"],
            given["source"],
        )
        for name, given in example["state"].items()
    }
    request = Request("t", "consortium", "train")
    report = evaluate(agreement, request, state)
    assert report.effect is Effect.DENY
    assert [reason.to_json() for reason in report.reasons()] == example["reasons"]
    paid = state | {"payAmount": Value(value_from_json(OPERANDS["payAmount"], "12"), "run")}
    assert evaluate(agreement, request, paid).effect is Effect.PERMIT
    assert agreement.post_duties == ("attribute",)
    assert agreement.next_policy is not None
    for missing in ("anonymize", "compensate", "epsilon"):
        less = {name: value for name, value in paid.items() if name != missing}
        assert evaluate(agreement, request, less).effect is Effect.DENY


def test_the_company_example_is_decided_as_written() -> None:
    example = json.loads(block("company"))
    candidates = [
        Candidate(
            participant=name,
            product=f"{name}/ecg",
            agreement=example_agreement(
                target=f"{name}/ecg",
                assigner=name,
                permission=[{"action": "use", "constraint": wishes}],
            ),
            facts=(),
            state={},
            request=Request(f"{name}/ecg", "consortium", "train"),
            rows=example["rows"][name],
        )
        for name, wishes in example["wishes"].items()
    ]
    decision = decide_round(candidates)
    assert [verdict.participant for verdict in decision.permitted] == example["permitted"]
    assert {
        verdict.participant: verdict.reasons[0].text for verdict in decision.refused
    } == example["refused"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_runs_of_masks_and_noise_are_decided_as_written(place: int) -> None:
    example = json.loads(block("masks"))
    run = example["runs"][place]
    reasons = run.pop("reasons")
    spec = RunSpec.from_json(PLAN | run)
    agreement = example_agreement(
        permission=[{"action": "train", "constraint": example["constraints"]}]
    )
    asked = [
        Candidate(
            participant=f"clinic-{number}",
            product=agreement.target,
            agreement=agreement,
            facts=(),
            state=privacy_facts(spec.secure_sum, spec.privacy, "run"),
            request=Request(agreement.target, agreement.assignee, "train"),
        )
        for number in range(5)
    ]
    opened = fewest_opened(spec.secure_sum, spec.min_cohort)
    decision = decide_round(asked, min_cohort=spec.min_cohort, opened=opened)
    for verdict in decision.verdicts:
        assert verdict.permitted is not bool(reasons)
        told = [reason.text for reason in verdict.reasons if not verdict.permitted]
        assert told == reasons


@pytest.mark.parametrize(
    ("purpose", "effect", "code"),
    [
        ("diagnosis-support", Effect.PERMIT, "permitted"),
        ("targeted-advertising", Effect.DENY, "law-no-marketing"),
        ("unlisted", Effect.DENY, "law-no-marketing"),
    ],
)
def test_the_baseline_example_denies_whatever_was_agreed(
    purpose: str, effect: Effect, code: str
) -> None:
    law = parse_baseline(block("baseline").encode())
    agreement = example_agreement(permission=[{"action": "use"}])
    report = evaluate(
        agreement,
        Request(agreement.target, agreement.assignee, "train"),
        {"purpose": Value(purpose, "run")},
        baseline=(law,),
    )
    assert report.effect is effect
    assert [reason.code for reason in report.reasons()] == [code]
