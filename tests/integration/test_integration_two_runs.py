"""Two runs at once over the same nodes: both finish, and every log says the same of both."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from integration_space import (
    ALLOWED,
    descendants,
    ended,
    has,
    of_run,
    read_log,
    sign_anew,
    slow_bundle,
    spec,
    wait_for,
    write_product,
)

from auditors.shares import replay_log
from auditors.verify import verify_folder
from clients.identity import load_identity
from commands.children import python
from commands.localspace import LocalSpace, local_space
from policies import governance_pb2 as pb

pytestmark = pytest.mark.process

NODES = ("east", "west")
ROUNDS = 3


@dataclass(frozen=True)
class Two:
    """What is left of two runs; the nodes still run."""

    local: LocalSpace
    runs: tuple[pb.Run, ...]
    zygotes: dict[str, int]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    root = tmp_path_factory.mktemp("two")
    env = {"TDS_TASKS": "2", "TDS_MEMORY": "4GiB"}
    with local_space(root, name="tests/two", env=env) as local:
        local.start()
        bundle = slow_bundle(root / "app")
        app = local.register_app(bundle, "Slow")
        for number, name in enumerate(NODES):
            product, _ = write_product(root / "data" / name, name, rows=60, seed=number)
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=product,
                purpose=ALLOWED,
                app=bundle,
            )
        local.start_nodes(NODES)
        first = [node.agreement for node in local.nodes.values()]
        second = [sign_anew(local, name) for name in NODES]
        opened = [
            local.open_run(spec(app, agreements, rounds=ROUNDS, deadline_s=60, slow_ms=2500))
            for agreements in (first, second)
        ]
        runs = tuple(ended(local, run.run, timeout_s=240) for run in opened)
        zygotes = {name: _zygotes(local.processes[name].process.pid) for name in NODES}
        yield Two(local, runs, zygotes)


def _zygotes(pid: int) -> int:
    return sum("clients.zygote" in " ".join(p.cmdline()) for p in descendants(pid))


def test_both_complete_all_rounds_with_everybody(two: Two) -> None:
    assert [(run.state, run.reason) for run in two.runs] == [
        ("COMPLETED", "all rounds are closed")
    ] * 2
    entries = read_log(two.local.space.log_folder)
    for run in two.runs:
        closes = of_run(entries, run.run, "RoundClosed")
        assert len(closes) >= ROUNDS
        assert all(close.body["left_out"] == [] for close in closes)


@pytest.mark.parametrize("name", NODES)
def test_uses_of_both_were_in_work_at_once(two: Two, name: str) -> None:
    own = read_log(two.local.nodes[name].folder / "log")
    open_runs: dict[str, str] = {}
    at_once = 0
    for entry in own:
        if entry.type == "UseStarted":
            open_runs[str(entry.body["permit_id"])] = str(entry.body["run"])
            at_once = max(at_once, len(set(open_runs.values())))
            assert len(open_runs) == len(set(open_runs.values())), "one run, one task"
        elif entry.type == "UseReceipted":
            del open_runs[entry.body["receipt"]["permit_id"]]  # type: ignore[index,call-overload]
    assert (at_once, open_runs) == (2, {})
    assert [e.type for e in own if e.type in {"UseFailed", "UseRefused"}] == []
    assert two.zygotes[name] == 2


def test_the_spaces_log_replays(two: Two) -> None:
    log = two.local.space.log_folder
    verify_folder(log, verifier_key=two.local.space.card.log_key)
    assert replay_log(log, jobs=1).violations == ()


@pytest.mark.parametrize("name", NODES)
def test_a_nodes_own_log_verifies_and_agrees_with_the_spaces(two: Two, name: str) -> None:
    folder = two.local.nodes[name].folder
    verify_folder(folder / "log", verifier_key=load_identity(folder).log_signer.verifier_key)
    log = str(two.local.space.log_folder)
    found = tds("node", "reconcile", "--json", "--node", str(folder), "--log", log)
    assert (found["differences"], found["open"]) == ([], 0)


@pytest.mark.parametrize("name", NODES)
def test_each_agreement_counted_its_own_uses(two: Two, name: str) -> None:
    found = tds("node", "status", "--json", "--node", str(two.local.nodes[name].folder))
    entries = read_log(two.local.space.log_folder)
    counted = [
        len(of_run(entries, run.run, "ReceiptAccepted", participant=name)) for run in two.runs
    ]
    assert sorted(budget["uses"] for budget in found["budgets"]) == sorted(counted)
    assert {run["run"] for run in found["runs"]} == {run.run for run in two.runs}
    assert (found["running"]["record"]["tasks"], found["running"]["up"]) == (2, True)


def test_a_node_that_is_ended_in_a_task_says_so_and_logs_it(two: Two) -> None:
    local, east = two.local, two.local.processes["east"]
    agreements = [sign_anew(local, name) for name in NODES]
    app = next(iter(local.nodes.values())).folder / "apps"
    (bundle,) = app.glob("*.fab")
    run = local.open_run(spec(bundle.stem, agreements, rounds=1, deadline_s=30, slow_ms=60_000))
    log = local.nodes["east"].folder / "log"
    wait_for("the task", has(log, run.run, "UseStarted"), timeout_s=60)
    local.children.stop(east, timeout_s=30)
    assert east.process.returncode == 130
    (started,) = of_run(read_log(log), run.run, "UseStarted")
    last = read_log(log)[-1]
    assert (last.type, last.body["permit_id"]) == ("UseFailed", started.body["permit_id"])
    assert last.body["code"] == "node-unavailable"
    said = east.output()
    assert "refused: node-unavailable: the task was ended on the node" in said
    assert "CRITICAL" not in said
    entries = local.space.log_folder
    wait_for("the refusal", has(entries, run.run, "RoundClosed"), timeout_s=90)
    left_out = of_run(read_log(entries), run.run, "RoundClosed")[0].body["left_out"]
    told = {(o["participant"], o["code"]) for o in left_out}
    assert ("east", "node-unavailable") in told, f"{left_out}\n{said}"


def tds(*arguments: str) -> dict[str, Any]:
    command = python("-m", "commands", *arguments)
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    found: dict[str, Any] = json.loads(ran.stdout)
    return found
