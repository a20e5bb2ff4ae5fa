"""profile.md is true: its example runs, and its tables are the tables in the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import policies
from policies.evaluate import Effect, Report, Request, Value, evaluate
from policies.odrl import parse_agreement
from policies.operands import ACTIONS, COVERS, OPERANDS, PROFILE, PURPOSES, Kind, parse_datetime

TEXT = (Path(policies.__file__).parent / "profile.md").read_text(encoding="utf-8")
TYPES = {Kind.NAME: "name", Kind.INTEGER: "xsd:integer", Kind.INSTANT: "xsd:dateTime"}


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
    assert f"| `{term}` | {', '.join(sorted(COVERS[term]))} |" in TEXT


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_purpose_stands_in_the_table(purpose: str) -> None:
    wider = PURPOSES[purpose]
    assert f"| `{purpose}` | {f'`{wider}`' if wider else ''} |" in TEXT


def test_the_tables_have_no_other_rows() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE)
    assert sorted(rows) == sorted([*OPERANDS, *ACTIONS, *PURPOSES])
    assert PROFILE in TEXT
