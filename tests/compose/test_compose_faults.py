"""Each container killed, and frozen for 20 s, in the middle of a training: it is finished all the
same, or says why not and is finished once it is resumed; and the log replays.

Trainings go on from one fault to the next. While a part of the operator's side is frozen an
enterprise is killed as well, so that each fault is there twice: alone or together with another.
"""

from __future__ import annotations

import json
import time

import pytest
from compose_project import STAYING, Project
from compose_runs import Runs
from integration_space import names

FROZEN_S = 20.0
BACK_S = 120.0
RELIES_ON = ("riverside", "northgate", "lakeview", "westpark")  # whose offer allows the purpose


@pytest.fixture(scope="module")
def runs(space: Project, trained: str) -> Runs:
    assert "COMPLETED" in trained  # agreements stand
    return Runs(space, rounds=20)


def freeze(runs: Runs, *services: str, kill: tuple[str, ...]) -> None:
    """Freeze the services for 20 s in the middle of a round, and kill others meanwhile."""
    runs.in_a_round()
    with runs.project.paused(*services):
        began = time.monotonic()
        runs.project.crash(*kill)
        time.sleep(FROZEN_S - (time.monotonic() - began))


def test_an_enterprise_killed_in_a_round_is_left_out_and_takes_part_again(runs: Runs) -> None:
    id = json.loads(runs.project.tds("northgate", "node", "status", "--json"))["participant"]
    runs.in_a_round()
    before = len(runs.of("RoundClosed"))
    runs.project.crash("northgate")
    runs.wait("its round to close", lambda: len(runs.of("RoundClosed")) > before)
    closed = runs.of("RoundClosed")[before]
    assert {one["code"] for one in closed.body["left_out"]} <= {"no-reply"}

    def again() -> bool:
        closes = runs.of("RoundClosed")[before + 1 :]
        return runs.over or any(id in names(one.body["accepted"]) for one in closes)

    runs.wait("it to take part again", again)
    assert runs.project.restarts("northgate") == 1


@pytest.mark.parametrize("part", ["proxy", "governance", "superlink", "console"])
def test_a_killed_part_of_the_operators_costs_a_round_at_most(runs: Runs, part: str) -> None:
    runs.in_a_round()
    closed = len(runs.of("RoundClosed"))
    runs.project.crash(part)
    runs.goes_on()
    assert runs.project.restarts(part) == 1
    lost = [one for one in runs.of("RoundClosed")[closed:] if not one.body["quorum_met"]]
    assert len(lost) <= 1
    assert not [one for one in runs.of("RunEnded") if one.body["state"] != "COMPLETED"]


def test_a_killed_executor_takes_its_training_along_until_it_is_resumed(runs: Runs) -> None:
    runs.in_a_round()
    runs.project.crash("executor")
    runs.project.wait_healthy(["executor"], timeout_s=BACK_S)
    if not runs.over:
        runs.resume()
    runs.goes_on()
    assert runs.project.restarts("executor") == 1


@pytest.mark.parametrize(
    ("part", "killed"),
    [
        (("superlink",), "riverside"),
        (("governance",), "lakeview"),
        (("proxy", "executor", "console"), "hillcrest"),
        # Two are left in each case, as many as a sum needs.
        (("riverside", "northgate", "hillcrest"), ""),
        (("lakeview", "westpark"), ""),
    ],
)
def test_a_frozen_part_is_waited_for_or_left_out(
    runs: Runs, part: tuple[str, ...], killed: str
) -> None:
    freeze(runs, *part, kill=(killed,) if killed else ())
    runs.goes_on()


def test_all_are_back_and_every_training_is_finished(runs: Runs) -> None:
    assert runs.end().body["state"] == "COMPLETED"
    runs.project.wait_healthy(STAYING, timeout_s=BACK_S)
    runs.rounds = 2
    runs.start()
    assert runs.end().body["state"] == "COMPLETED"
    [first, *_] = runs.of("RoundClosed", round=1)
    assert len(first.body["accepted"]) >= len(RELIES_ON)


def test_an_outsider_replays_what_was_logged_meanwhile(runs: Runs) -> None:
    found = json.loads(runs.project.audit("replay", "--json"))
    assert found["violations"] == []
    assert found["permits"] > 20
