"""The life of nodes with real processes: started before their space, left by it, found again."""

from __future__ import annotations

import pytest
from integration_faulty import ROWS, Faulty
from integration_space import ended, names, of_run, read_log, wait_for

from commands.children import python

pytestmark = pytest.mark.process

WAITING = "waiting for the SuperLink: SuperLink"
BACK = "the SuperLink is there again after"


def test_nodes_started_before_their_space_join_when_it_is_there(faulty: Faulty) -> None:
    for name in (*ROWS, "serve"):
        faulty.kill(name)
    start(faulty)
    for name in ROWS:
        wait_for(f"{name} to wait", lambda n=name: WAITING in output(faulty, n), timeout_s=60)
        assert "connected" not in output(faulty, name)

    faulty.start_serve()
    for name in ROWS:
        wait_for(f"{name} to join", lambda n=name: "connected" in output(faulty, n), timeout_s=60)
    serve_a_round(faulty)
    for name in ROWS:
        said = output(faulty, name)
        assert (said.count(WAITING), said.count(BACK)) == (1, 1), said
        assert said.count("waiting for governance: ") == 1, said


def test_a_superlink_that_lost_its_database_lets_the_nodes_in_again(faulty: Faulty) -> None:
    """It forgot their keys; `tds serve` tells it anew, and the nodes come back under other ids."""
    faulty.kill("serve")
    for left in faulty.database.parent.glob("flower.db*"):
        left.unlink()
    faulty.start_serve()
    wait_for("the nodes", lambda: faulty.online() == set(ROWS), timeout_s=60)
    serve_a_round(faulty)
    assert all(faulty.local.processes[name].process.poll() is None for name in ROWS)


def start(faulty: Faulty) -> None:
    """Start the nodes and wait for none of them."""
    local = faulty.local
    for name in ROWS:
        folder = local.nodes[name].folder
        command = python("-m", "commands", "node", "run", "--node", str(folder))
        env = {"PYTHONUNBUFFERED": "1"}
        local.processes[name] = local.children.start(f"node-{name}", command, env=env)


def output(faulty: Faulty, name: str) -> str:
    return faulty.local.processes[name].output()


def serve_a_round(faulty: Faulty) -> None:
    """All of them are accepted in every round of a new run."""
    run = faulty.open(faulty.consents(), rounds=1, deadline_s=30, slow_ms=0).run
    assert ended(faulty.local, run).state == "COMPLETED"
    closes = of_run(read_log(faulty.log), run, "RoundClosed")
    assert closes
    for close in closes:
        assert names(close.body["accepted"]) == set(ROWS)
