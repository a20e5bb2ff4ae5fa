"""`tds node status` beside a node that serves a run, and after that ended."""

from __future__ import annotations

import json

import pytest
from integration_governed import REFUSED, ROUNDS, ROWS, Governed, node_status
from integration_space import read_log

from policies.fields import parse_instant

pytestmark = pytest.mark.process

PERMITTED = sorted(set(ROWS) - {REFUSED})


@pytest.mark.parametrize("owner", PERMITTED)
def test_the_run_its_permits_and_what_is_left(governed: Governed, owner: str) -> None:
    status = governed.observed.status[owner]
    (run,) = status["runs"]
    assert (run["run"], run["round"], run["outcome"]) == (
        (governed.run.run, ROUNDS + 1, "receipted")
    )
    assert (run["permits"], run["receipts"]) == (ROUNDS + 1, ROUNDS + 1)
    own = read_log(governed.local.nodes[owner].folder / "log")
    assert run["permit"] == [e.body["permit_id"] for e in own if e.type == "UseStarted"][-1]
    assert parse_instant(run["expires"]) > parse_instant(run["last"])
    (budget,) = status["budgets"]
    assert (budget["uses"], budget["uses_left"]) == (ROUNDS + 1, 1000 - ROUNDS - 1)
    assert budget["metered_s"] >= ROUNDS + 1


@pytest.mark.parametrize("owner", sorted(ROWS))
def test_the_process_its_confinement_and_the_last_checkpoint(
    governed: Governed, owner: str
) -> None:
    status = governed.observed.status[owner]
    running = status["running"]
    assert running["up"]
    assert running["record"]["environment"] in {"isolated", "confined"}
    assert running["record"]["seen_size"] == status["seen_size"] > 0
    assert parse_instant(running["record"]["seen"]) >= parse_instant(running["record"]["started"])


def test_a_node_that_ended_is_not_up(governed: Governed) -> None:
    status = node_status(governed.local.nodes[PERMITTED[0]].folder)
    assert not status["running"]["up"]
    assert status["running"]["record"] is not None


def test_who_was_refused_served_nothing(governed: Governed) -> None:
    status = governed.observed.status[REFUSED]
    assert status["runs"] == []
    assert "canary" not in json.dumps(status)
