"""`tds app states` and `tds app forget`, on the folder of a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_site import Tds

from clients.identity import load_identity
from clients.keptstates import replace_state
from clients.records import KeptState, Use
from clients.state import NodeState

TIME = "2026-01-31T00:00:00.000Z"
KEPT = KeptState("run-1", "product", "agreement", "a" * 64, 3, "r", 17, TIME, b"canary")
USE = Use("p", "d", KEPT.agreement, KEPT.product, KEPT.app, KEPT.run, KEPT.round, TIME, TIME)


@pytest.fixture
def node(desk: Path) -> str:
    """A node with something kept."""
    folder = desk / "clinic"
    state = NodeState.open(load_identity(folder).paths.state)
    with state._transaction() as connection:
        replace_state(connection, USE, KEPT)
    state.close()
    return str(folder)


def test_states_are_listed_without_what_they_hold(tds: Tds, node: str) -> None:
    ran = tds("app", "states", "--node", node)
    assert (ran.code, ran.err) == (0, "")
    assert "run-1" in ran.out
    assert "canary" not in ran.out
    (found,) = tds("app", "states", "--node", node, "--json").json()
    assert (found["run"], found["round"], found["size"], "sealed" in found) == (
        "run-1",
        3,
        17,
        False,
    )


def test_a_run_is_forgotten_once(tds: Tds, node: str) -> None:
    assert "dropped 1 of run run-1" in tds("app", "forget", "run-1", "--node", node).out
    again = tds("app", "forget", "run-1", "--node", node)
    assert again.code == 1
    assert "tds app states" in again.err
    assert tds("app", "states", "--node", node, "--json").json() == []
