"""What an owner is told of budgets, runs served, and the node's process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from test_clients_gate import NOW, agreement, body, record
from test_clients_work import Node

from clients.budgets import budget_of
from clients.errors import AppFailed
from clients.records import SeenCheckpoint
from clients.running import RunningFile, RunningRecord, held_up, read_running
from policies.fields import instant

TYPES = {"count": "integer", "meteredTime": "duration", "epsilon": "decimal"}


def limit(operand: str, right: str, operator: str = "lteq") -> dict[str, object]:
    kind = TYPES.get(operand, "dateTime")
    typed = {"@value": right, "@type": f"xsd:{kind}"}
    named = operand == "purpose"
    return {
        "leftOperand": operand,
        "operator": operator,
        "rightOperand": right if named else typed,
    }


COUNT = limit("count", "10")


# -- budgets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraints", "spent", "limit_", "left"),
    [
        ([COUNT], 3, 10, 7),
        ([COUNT], 10, 10, 0),
        ([COUNT], 12, 10, 0),
        ([limit("count", "10", "lt")], 3, 9, 6),
        ([limit("count", "10"), limit("count", "4")], 3, 4, 1),
        ([limit("count", "2", "gteq")], 3, None, None),
        ([], 3, None, None),
        ([{"or": [COUNT, limit("purpose", "medical-research", "isA")]}], 3, None, None),
    ],
    ids=["some", "none left", "over", "below", "two", "lower bound", "no limit", "logic"],
)
def test_uses_left(
    constraints: list[dict[str, Any]], spent: int, limit_: int | None, left: int | None
) -> None:
    budget = budget_of(record(agreement(*constraints), uses=spent))
    assert (budget.uses, budget.uses_limit, budget.uses_left) == (spent, limit_, left)


def test_all_limits() -> None:
    document = agreement(
        limit("meteredTime", "PT20M"),
        limit("epsilon", "2.5"),
        limit("dateTime", "2027-01-01T00:00:00Z", "lt"),
    )
    budget = budget_of(record(document, metered_s=300, losses='{"4":2}', delta="0.00001"))
    assert (budget.metered_limit_s, budget.metered_left_s) == (1200, 900)
    assert (budget.epsilon_limit, budget.epsilon_left) == ("2.5", "1.143532")
    assert (budget.epsilon, budget.delta) == ("1.356468", "0.00001")
    assert budget.until == "2027-01-01T00:00:00.000Z"


def test_without_privacy_nothing_bounds_epsilon_and_nothing_is_left() -> None:
    document = agreement(limit("epsilon", "2.5"))
    budget = budget_of(record(document, uses=1, losses='{"unbounded":1}'))
    assert (budget.epsilon, budget.epsilon_left, budget.delta) == (None, "0", None)


def test_the_widest_permission_counts_and_one_without_limit_is_none() -> None:
    rules = [{"action": action, "constraint": [COUNT]} for action in ("train", "evaluate")]
    rules[1] = {"action": "evaluate", "constraint": [limit("count", "25")]}
    assert budget_of(record(agreement(permission=rules))).uses_limit == 25
    rules[1] = {"action": "evaluate", "constraint": [limit("count", "2", "gteq")]}
    assert budget_of(record(agreement(permission=rules))).uses_limit is None


def test_a_copy_that_cannot_be_read_has_no_limits() -> None:
    budget = budget_of(replace(record(agreement(COUNT), uses=3), document=b"{"))
    assert (budget.uses, budget.uses_limit, budget.until) == (3, None, None)


# -- runs ------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.state.approve_app(body().app, time=instant(NOW))
    node.consent(agreement())
    yield node
    node.close()


def test_runs_are_told_newest_first_with_their_last_permit(node: Node) -> None:
    assert node.state.runs(limit=9) == []
    expected = []
    for number, run in enumerate(["run-a", "run-b", "run-a"], start=1):
        node.now = NOW + timedelta(seconds=number)
        if number == 3:
            node.runner.result = AppFailed("the app raised ValueError")
        node.worker.handle(node.task(number, run=run, round=number))
        expected.append((run, number))
    first, second = node.state.runs(limit=9)
    assert (first.run, first.round, first.permits, first.receipts) == ("run-a", 3, 2, 1)
    assert (first.permit, first.outcome) == (f"permit-{3:032x}", "failed")
    assert first.expires == body().expires
    assert (second.run, second.round, second.permits, second.outcome) == (
        ("run-b", 2, 1, "receipted")
    )
    assert [one.run for one in node.state.runs(limit=1)] == ["run-a"]


# -- the process -----------------------------------------------------------------------------------

RECORD = RunningRecord(
    version=1,
    pid=os.getpid(),
    started=instant(NOW),
    environment="isolated",
    confinement="no network, user nobody",
    tasks=2,
    memory_bytes=1 << 32,
    health="",
    seen_size=0,
    seen=None,
)


class Seen:
    """A memory of the space's log."""

    def __init__(self, size: int) -> None:
        self.size = size

    def last_seen(self) -> SeenCheckpoint | None:
        return SeenCheckpoint(self.size, b"r" * 32, "note") if self.size else None


def test_a_process_is_up_while_it_lives_however_it_ends(tmp_path: Path) -> None:
    lock, path = tmp_path / "running.lock", tmp_path / "running.json"
    assert not read_running(record=path, lock=lock).up
    with held_up(lock):
        assert read_running(record=path, lock=lock).up
        assert read_running(record=path, lock=lock).up
    assert not read_running(record=path, lock=lock).up
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom clients.running import held_up\n"
        "with held_up(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert read_running(record=path, lock=lock).up
        process.kill()
        process.wait()
    assert not read_running(record=path, lock=lock).up


def test_the_record_tells_when_the_last_checkpoint_was_accepted(tmp_path: Path) -> None:
    path, state = tmp_path / "running.json", Seen(0)
    now = [NOW]
    file = RunningFile(path, RECORD, state=state, clock=lambda: now[0])

    def told() -> tuple[int, str | None]:
        found = read_running(record=path, lock=tmp_path / "running.lock").record
        assert found is not None
        return found.seen_size, found.seen

    assert told() == (0, None)
    state.size, now[0] = 5, NOW + timedelta(seconds=7)
    file.look()
    now[0] += timedelta(seconds=90)
    file.look()
    assert told() == (5, instant(NOW + timedelta(seconds=7)))
    RunningFile(path, RECORD, state=state, clock=lambda: now[0])  # started again
    assert told() == (5, instant(NOW + timedelta(seconds=7)))
    state.size = 6  # accepted by a version that told nothing
    RunningFile(path, RECORD, state=state, clock=lambda: now[0])
    assert told() == (6, None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":2}', b"x" * 99_999])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "running.json"
    path.write_bytes(content)
    assert read_running(record=path, lock=tmp_path / "no.lock").record is None
