"""`tds node health` beside a real node: ready, then one part after another is taken away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from integration_space import ALLOWED, cmdline, descendants, slow_bundle, wait_for, write_product

from clients.folder import NodePaths
from clients.health import ask_health
from clients.running import read_running
from commands.children import python
from commands.localspace import LocalSpace, local_space
from commands.logs import FORMAT_VARIABLE, LogFormat

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSpace]:
    root = tmp_path_factory.mktemp("health")
    env = {"TDS_HEALTH": "127.0.0.1:0", FORMAT_VARIABLE: LogFormat.JSON.value}
    with local_space(root, name="tests/health", env=env) as local:
        local.start()
        product, _ = write_product(root / "data", "clinic", rows=20, seed=1)
        bundle = slow_bundle(root / "app")
        local.add_node(
            "clinic",
            title="Clinic",
            region="CN-GD",
            product_file=product,
            purpose=ALLOWED,
            app=bundle,
        )
        local.start_nodes(["clinic"])
        yield local


def ask(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON if any, and what it complained of."""
    command = python("-m", "commands", "node", "health", "--node", str(folder), *options)
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return ran.returncode, json.loads(ran.stdout) if ran.stdout.startswith("{") else {}, ran.stderr


def look(folder: Path) -> tuple[bool, dict[str, Any]]:
    """What the command would find, without a process for every look while a test waits."""
    paths = NodePaths(folder)
    record = read_running(record=paths.running, lock=paths.running_lock).record
    return ask_health(record.health, path="/readyz") if record is not None else (False, {})


def test_ready_until_something_is_missing(local: LocalSpace) -> None:
    folder = local.nodes["clinic"].folder
    node = local.processes["clinic"]
    wait_for("readiness", lambda: look(folder)[0], timeout_s=60)
    code, told, complaint = ask(folder, "--json")
    assert (code, told["ready"], complaint) == (0, True, "")
    assert told["tasks"] == 0
    assert "tests/health" not in json.dumps(told)

    (zygote,) = [p for p in descendants(node.process.pid) if "clients.zygote" in cmdline(p)]
    zygote.kill()
    psutil.wait_procs([zygote], timeout=5)
    wait_for("the loss of the sandbox", lambda: not look(folder)[0], timeout_s=30)
    code, told, complaint = ask(folder, "--json")
    assert (code, told["sandbox"], told["superlink"]["connected"]) == (1, {"alive": False}, True)
    assert "sandbox's process is gone" in complaint

    local.children.stop(local.processes["serve"])
    wait_for(
        "the loss of all",
        lambda: not look(folder)[1]["superlink"]["connected"],
        timeout_s=60,
    )
    wait_for(
        "governance's, too",
        lambda: not look(folder)[1]["governance"]["connected"],
        timeout_s=60,
    )
    code, told, complaint = ask(folder)
    assert code == 1
    assert "the SuperLink does not answer (last: 2" in complaint
    assert ask(folder, "--live") == (0, {}, "")

    local.children.kill(node)
    code, _, complaint = ask(folder)
    assert code == 1
    assert "expected a running node" in complaint
