"""`tds demo` tells its whole story: masks, budgets, a withdrawal, and a log that says the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from integration_space import of_run, read_log

from commands.children import python
from commands.demo import WITHDRAWS
from commands.demo_privacy import SPENDS_OUT

pytestmark = pytest.mark.process

ROUNDS = 6
CAREFUL = ROUNDS * 2 // 3


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    command = python("-m", "commands", "demo", "--folder", str(folder), "--json")
    command += ["--rounds", str(ROUNDS)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def codes(told: dict[str, Any], name: str) -> dict[int, str]:
    """By round why a hospital took no part in it, or had no part in its result."""
    return {
        entry["round"]: item["code"]
        for entry in told["rounds"]
        for item in entry["items"]
        if item["participant"] == name and item["outcome"] != "accepted"
    }


def test_the_run_completes_and_its_log_replays(told: dict[str, Any]) -> None:
    assert told["state"] == "COMPLETED"
    assert [entry["kind"] for entry in told["rounds"]] == ["train"] * ROUNDS + ["evaluate"]
    assert (told["log"]["verified"], told["log"]["decisions"]) == (True, ROUNDS + 1)
    assert set(told["refused"]) == {"eastgate", "harbour", "hillcrest"}


def test_every_result_was_opened_once_and_for_its_receipts_only(told: dict[str, Any]) -> None:
    entries = read_log(Path(told["log"]["folder"]))
    releases = of_run(entries, told["run"], "MasksReleased")
    closes = of_run(entries, told["run"], "RoundClosed")
    assert len(releases) == len(closes) == ROUNDS + 1
    for release, close in zip(releases, closes, strict=True):
        (group,) = release.body["groups"]  # type: ignore[misc]
        accepted = sorted(one["participant"] for one in close.body["accepted"])  # type: ignore[union-attr,index,call-overload]
        assert group == accepted


def test_one_budget_runs_out_before_the_last_round_and_is_refused_for_that(
    told: dict[str, Any],
) -> None:
    late = range(CAREFUL + 1, ROUNDS + 2)
    assert codes(told, SPENDS_OUT) == dict.fromkeys(late, "epsilon-exhausted")
    budgets = told["privacy"]["budgets"]
    assert budgets[SPENDS_OUT]["epsilon"] == budgets[SPENDS_OUT]["limit"]
    assert all(float(one["epsilon"]) <= float(one["limit"]) for one in budgets.values())
    assert budgets["hillcrest"]["epsilon"] == "0"


def test_who_withdrew_is_in_no_later_sum(told: dict[str, Any]) -> None:
    gone = told["withdrawn"]
    last = gone["last_round_used"]
    assert codes(told, WITHDRAWS) == dict.fromkeys(range(last + 1, ROUNDS + 2), "consent-withdrawn")
    # Whether it had sent by then is a matter of milliseconds; if so, of the very next round.
    assert gone["sent_and_not_summed"] in (0, last + 1)
