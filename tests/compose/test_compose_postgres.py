"""The log on PostgreSQL, as docker/compose.postgres.yml has it: over a socket, after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from compose_project import ROOT, Project, require_engine

OPERATOR = ("superlink", "governance", "proxy", "console", "ledger")
COUNT = "SELECT count(*) FROM tdspace.entries"
HEALTHY_S = 120.0


@pytest.fixture(scope="module")
def space() -> Iterator[Project]:
    require_engine()
    project = Project(f"tdspace-ledger-{os.getpid()}", files=[ROOT / "docker/compose.postgres.yml"])
    try:
        project.compose("build")
        project.compose("up", "-d", *OPERATOR, "invite")
        project.wait_healthy(OPERATOR, timeout_s=HEALTHY_S)
        yield project
    finally:
        project.attempt("--profile", "*", "down", "-v", "--remove-orphans", "-t", "10")


def _size(space: Project) -> int:
    """Entries of the log, as an outsider verifies it."""
    return int(
        json.loads(space.compose("run", "--rm", "-T", "auditor", "verify", "--json"))["size"]
    )


def _psql(space: Project, role: str, query: str) -> str:
    words = ("psql", "-h", "/socket", "-U", role, "-tA", "-c", query, "tdslog")
    done = space.attempt("exec", "-T", "ledger", *words)
    return (done.stdout + done.stderr).strip()


def test_the_log_is_there_and_goes_on_after_a_crash(space: Project) -> None:
    size = _size(space)
    assert size >= 3  # opened, its laws adopted, the app registered
    assert int(_psql(space, "tds", COUNT)) == size
    space.compose("kill", "-s", "KILL", "ledger")
    space.compose("up", "-d", "--wait", "ledger")
    space.tds("governance", "voucher", "issue", "consortium", "--amount", "100")
    assert _size(space) == int(_psql(space, "tds", COUNT)) == size + 1


def test_nobody_but_governance_reaches_it(space: Project) -> None:
    found = space.inspect("ledger")
    host = found["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert (found["Config"]["User"], host["ReadonlyRootfs"]) == ("10001:10001", True)
    assert (host["CapDrop"], host["CapAdd"] or []) == (["ALL"], [])
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert "Peer authentication failed" in _psql(space, "postgres", "SELECT 1")
    holders = {
        one
        for one in OPERATOR
        if any(mount["Destination"] == "/socket" for mount in space.inspect(one)["Mounts"])
    }
    assert holders == {"governance", "ledger"}
