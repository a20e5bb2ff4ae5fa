"""What an observer of tasks is told, and what becomes of an app's own words."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hostile_node import LEAKS, SECRET, HostileNode, hostile_node
from test_clients_gate import APP, NOW, agreement
from test_clients_work import Node

from clients.errors import AppFailed
from clients.failures import KEPT, MAX_CHARS, Failures
from clients.observing import Observers, TaskEnd, TaskFacts
from clients.tasklog import TaskLog
from policies.fields import instant


@dataclass
class Heard:
    """Keeps what it is told."""

    told: list[object] = field(default_factory=list)

    def begun(self, flower_run: str, trace: str = "") -> None:
        self.told.append(flower_run)

    def admitted(self, facts: TaskFacts) -> None:
        self.told.append(facts)

    def step(self, name: str) -> None:
        self.told.append(name)

    def ended(self, end: TaskEnd) -> None:
        self.told.append(end)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def node(tmp_path: Path, heard: Heard) -> Iterator[Node]:
    node = Node(tmp_path)
    node.observer = Observers([heard])
    node.restart()
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement())
    yield node
    node.close()


STEPS = ["admitted", "recorded", "started", "opened", "ran", "checked", "receipted", "finished"]


def test_a_task_is_told_in_order_with_its_counts(node: Node, heard: Heard) -> None:
    node.worker.handle(node.task())
    flower_run, facts, *steps, end = heard.told
    assert flower_run == "77"
    assert isinstance(facts, TaskFacts)
    assert (facts.round, facts.kind, facts.app) == (3, "train", APP)
    assert steps == STEPS
    assert end == TaskEnd(rows_training=4, rows_evaluation=1, rows_without_consent=0, uses=1)


def test_a_refusal_at_the_gate_has_no_facts_and_no_rows(node: Node, heard: Heard) -> None:
    reply = node.worker.handle(node.task(space="space.example/other"))
    assert heard.told[0] == "77"
    (end,) = heard.told[1:]
    assert end == TaskEnd(code="permit-wrong-space", text=getattr(reply, "text", ""))


def test_a_use_that_fails_tells_its_code_and_the_rows_it_had(node: Node, heard: Heard) -> None:
    node.runner.result = AppFailed("the app raised ValueError", detail="canary")
    node.worker.handle(node.task())
    end = heard.told[-1]
    assert isinstance(end, TaskEnd)
    assert (end.code, end.rows_training, end.uses) == ("app-failed", 4, 1)
    assert "canary" not in str(heard.told)


def test_words_are_kept_privately_the_newest_only_and_cut(tmp_path: Path) -> None:
    now = iter(NOW + timedelta(seconds=number) for number in range(KEPT + 5))
    failures = Failures(folder=tmp_path / "failures", clock=lambda: next(now))
    for number in range(KEPT + 5):
        failures.keep(f"{number}: " + "x" * (2 * MAX_CHARS if number == KEPT + 4 else 1))
    kept = sorted((tmp_path / "failures").iterdir())
    assert len(kept) == KEPT
    assert kept[0].read_text() == "5: x"
    assert len(kept[-1].read_text()) == MAX_CHARS
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert stat.S_IMODE((tmp_path / "failures").stat().st_mode) == 0o700


def test_words_that_cannot_be_kept_end_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "failures").write_text("no folder")
    Failures(folder=tmp_path / "failures", clock=lambda: NOW).keep("canary")
    assert "could not be kept" in caplog.text
    assert "canary" not in caplog.text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileNode]:
    with hostile_node(tmp_path_factory.mktemp("words")) as found:
        yield found


@pytest.mark.parametrize("do", ["noise", "own-exception"])
def test_an_app_that_shouts_rows_is_heard_in_the_owners_folder_only(
    hostile: HostileNode, do: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = hostile.node
    node.observer = TaskLog()
    node.keep_detail = Failures(folder=tmp_path / "failures", clock=lambda: NOW).keep
    node.restart()
    caplog.set_level("DEBUG")
    hostile.attack(do)
    logged = "\n".join(record.getMessage() for record in caplog.records).encode()
    assert not any(leak in logged for leak in LEAKS)
    assert "what it said is in" in logged.decode()
    (words,) = (tmp_path / "failures").iterdir()
    assert str(SECRET).encode() in words.read_bytes()
