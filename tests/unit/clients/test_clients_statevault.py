"""What apps keep between rounds: when it is kept, who gets it back, and how it lies on the disk."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from test_clients_gate import APP, NOW, agreement
from test_clients_work import CANARY, UPDATE, Crash, FakeMaterials, Node

from clients import endedruns, statevault
from clients.appstate import pack_state
from clients.errors import (
    AppFailed,
    FileRefused,
    GovernanceRefused,
    GovernanceUnavailable,
    IdentityError,
)
from clients.jobs import JobResult
from clients.product import AppStateRule
from clients.selection import Selection
from clients.statevault import state_key
from clients.tasks import Done, Reply
from policies.fields import instant
from policies.wire import Refusal

KEPT = pack_state(RecordDict({"personal": ConfigRecord({"layer": CANARY})}))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement())
    leaves(node, KEPT)
    yield node
    node.close()


def leaves(node: Node, state: bytes) -> None:
    """What the app keeps from now on."""
    node.runner.result = JobResult(dict(UPDATE), {"loss": 0.5}, "", state=state)


def chosen(rule: AppStateRule, states: list[int]) -> Callable[[str, datetime], Selection]:
    """Rows of a product with this rule."""
    rows = FakeMaterials().select("", purpose="", now=NOW)
    found = replace(rows, app_state=rule, states=np.array(states, dtype=np.uint8))
    return lambda purpose, now: found


def given(node: Node) -> list[bytes | None]:
    """The states that the app found, round by round."""
    return [job.state for job in node.runner.jobs]


def uses(node: Node, *runs: str) -> list[Reply]:
    """One use after another in these runs."""
    start = len(node.runner.jobs) + 1
    return [node.worker.handle(node.task(n, run=run)) for n, run in enumerate(runs, start)]


def code(reply: Reply) -> str:
    return reply.code if isinstance(reply, Refusal) else "done"


def test_a_state_comes_back_in_the_next_round_of_its_run_and_in_no_other(node: Node) -> None:
    uses(node, "run-1")
    node.restart()
    uses(node, "run-1", "run-2", "run-1")
    assert given(node) == [b"", KEPT, b"", KEPT]
    leaves(node, b"")
    uses(node, "run-1", "run-1")
    assert given(node)[-1] == b""
    assert [kept.run for kept in node.state.app_states()] == ["run-2"]


def test_nothing_of_it_leaves_or_is_logged_or_lies_open_on_the_disk(node: Node) -> None:
    (done,) = uses(node, "run-1")
    assert isinstance(done, Done)
    logged = b"".join(node.log.entries(0, node.log.size))
    node.close()
    files = [path for path in node.folder.rglob("*") if path.is_file()]
    for content in (done.receipt, done.update, logged, *(path.read_bytes() for path in files)):
        assert CANARY.encode() not in content
    node.restart()


@pytest.mark.parametrize("crash", ["ran", "checked", "receipted"])
def test_a_use_that_did_not_end_well_leaves_what_was_kept(node: Node, crash: str) -> None:
    uses(node, "run-1")
    leaves(node, pack_state(RecordDict({"later": ConfigRecord({"n": 2})})))
    node.crash_at = crash
    with pytest.raises(Crash):
        uses(node, "run-1")
    node.restart()
    node.runner.result = AppFailed("no")
    assert code(uses(node, "run-1")[0]) == "app-failed"
    assert given(node) == [b"", KEPT, KEPT]


def test_withdrawing_and_revoking_drop_what_was_kept(node: Node) -> None:
    uses(node, "run-1", "run-2")
    node.state.revoke_app(APP, time=instant(NOW))
    assert node.state.app_states() == []
    node.state.approve_app(APP, time=instant(NOW))
    uses(node, "run-1")
    assert given(node) == [b"", b"", b""]
    node.withdraw()
    assert node.state.app_states() == []


def test_forgetting_a_run_drops_what_was_kept_in_it(node: Node) -> None:
    uses(node, "run-1", "run-2")
    assert node.state.forget_app_states("run-1") == 1
    assert node.state.forget_app_states("run-1") == 0
    assert [kept.run for kept in node.state.app_states()] == ["run-2"]


class Runs:
    """Governance as far as it tells of runs."""

    def __init__(self, **states: str) -> None:
        self.states = states

    def run_state(self, run: str) -> str:
        state = self.states[run.replace("-", "_")]
        if state == "away":
            raise GovernanceUnavailable("away")
        if state == "unknown":
            raise GovernanceRefused("no such run", code="not_found")
        return state


@pytest.mark.parametrize(
    ("state", "days", "stays"),
    [
        ("OPEN", 0, True),
        ("RUNNING", 29, True),
        ("COMPLETED", 0, False),
        ("FAILED", 0, False),
        ("STOPPED", 0, False),
        ("unknown", 0, True),
        ("unknown", 31, False),
        ("away", 31, False),
    ],
)
def test_what_was_kept_goes_when_its_run_is_over_or_left_alone(
    node: Node, state: str, days: int, stays: bool
) -> None:
    uses(node, "run-1")
    runs = Runs(run_1=state)
    dropped = endedruns.forget_ended(node.state, runs, now=NOW + timedelta(days=days))
    assert (dropped, bool(node.state.app_states())) == (0 if stays else 1, stays)


def test_governance_away_is_asked_again(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    uses(node, "run-1")
    runs, stop = Runs(run_1="away"), threading.Event()
    caplog.set_level("INFO")
    args, kwargs = (node.state, runs), {"clock": lambda: NOW, "stop": stop, "every_s": 0.01}
    thread = threading.Thread(target=endedruns.keep_forgetting, args=args, kwargs=kwargs)
    thread.start()
    while "cannot be asked" not in caplog.text:
        time.sleep(0.01)
    runs.states["run_1"] = "COMPLETED"
    while node.state.app_states():
        time.sleep(0.01)
    stop.set()
    thread.join(5)


ROWS = [1, 1, 2, 1, 1]
FEWER = [1, 0, 2, 1, 1]


@pytest.mark.parametrize(
    ("rule", "then", "found"),
    [
        ("same-rows", ROWS, KEPT),
        ("same-rows", FEWER, b""),
        ("run", FEWER, KEPT),
        ("none", ROWS, None),
    ],
)
def test_the_products_owner_says_how_long_it_is_kept(
    node: Node, rule: AppStateRule, then: list[int], found: bytes | None
) -> None:
    node.materials.chosen = chosen(rule, ROWS)
    uses(node, "run-1")
    node.materials.chosen = chosen(rule, then)
    uses(node, "run-1")
    assert given(node)[1] == found
    assert len(node.state.app_states()) == (found is not None)


def test_a_product_that_now_forbids_it_drops_what_was_kept(node: Node) -> None:
    uses(node, "run-1")
    node.materials.chosen = chosen("none", ROWS)
    uses(node, "run-1")
    assert node.state.app_states() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE app_states SET sealed = CAST(x'00' || substr(sealed, 2) AS BLOB)",
        "UPDATE app_states SET sealed = substr(sealed, 1, length(sealed) - 1)",
        "UPDATE app_states SET sealed = x''",
        "UPDATE app_states SET round = round + 1",
        "UPDATE app_states SET size = size + 1",
        "UPDATE app_states SET kept = '2020-01-01T00:00:00Z'",
        "UPDATE app_states SET run = CASE run WHEN 'run-1' THEN 'x' WHEN 'run-2' THEN 'run-1' END",
    ],
)
def test_what_was_changed_on_the_disk_is_refused_until_the_owner_drops_it(
    node: Node, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    uses(node, "run-1", "run-2")
    with sqlite3.connect(node.folder / "state.db") as connection:
        connection.execute(change)
    connection.close()
    ran = len(node.runner.jobs)
    refused = node.worker.handle(node.task(7, run="run-1"))
    assert (code(refused), len(node.runner.jobs)) == ("node-unavailable", ran)
    assert CANARY not in str(refused)
    assert "tds app forget run-1" in caplog.text
    node.state.forget_app_states("run-1")
    assert code(node.worker.handle(node.task(8, run="run-1"))) == "done"
    assert given(node)[-1] == b""


def test_apps_together_keep_no_more_than_the_node_allows(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statevault, "MAX_KEPT_BYTES", 2 * len(KEPT))
    replies = uses(node, "run-1", "run-2", "run-3", "run-2")
    assert [code(reply) for reply in replies] == ["done", "done", "node-unavailable", "done"]
    assert [kept.run for kept in node.state.app_states()] == ["run-1", "run-2"]


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state.key"
    key = state_key(path)
    assert (state_key(path), path.stat().st_mode & 0o777) == (key, 0o600)
    path.chmod(0o644)
    with pytest.raises(FileRefused, match="chmod"):
        state_key(path)


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(IdentityError, match="32 bytes"):
        state_key(path)


def test_another_key_opens_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    uses(node, "run-1")
    monkeypatch.setattr(node.worker._states, "_key", b"K" * 32)
    refused: Any = node.worker.handle(node.task(7, run="run-1"))
    assert refused.code == "node-unavailable"
