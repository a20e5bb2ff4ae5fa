"""Down and up again: the log goes on where it was. Down with its volumes: nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

from compose_project import HEALTHY_S, STAYING, Project
from compose_runs import Runs
from integration_space import read_log


def test_the_log_goes_on_after_down_and_up(space: Project, trained: str, tmp_path: Path) -> None:
    runs = Runs(space, rounds=1)
    kept = read_log(runs.log)
    seen = tmp_path / "checkpoint"
    seen.write_bytes((runs.log / "checkpoint").read_bytes())
    space.compose("down", "-t", "10")
    assert set(space.remaining()) == {"volume"}
    space.compose("up", "-d")
    space.wait_healthy(STAYING, timeout_s=HEALTHY_S)
    assert read_log(runs.log)[: len(kept)] == kept
    runs.start()
    assert runs.end().body["state"] == "COMPLETED"
    verified = json.loads(space.audit("verify", "--json", seen=seen))
    assert (verified["seen"], verified["size"] > len(kept)) == (1, True)


def test_down_with_volumes_leaves_nothing(space: Project) -> None:
    space.compose("--profile", "*", "down", "-v", "-t", "10")
    assert space.remaining() == {}
