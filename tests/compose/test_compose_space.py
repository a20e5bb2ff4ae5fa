"""`docker compose up`, for real: healthy, a governed training, the log verified, down."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from compose_project import NODES, ROOT, STAYING, Project, inspect, require_engine
from integration_guide import write_biopsies

from commands.main import main

HEALTHY_S = 300.0
USER = 10001
OUT = ("--out", "/tmp/clinic.join")
ASK = """
import ssl, urllib.error, urllib.request
trust = ssl.create_default_context(cafile="/node/home/ca.crt")
for path in {paths!r}:
    try:
        made = urllib.request.Request("https://proxy:9445" + path, data=b"")
        print(urllib.request.urlopen(made, context=trust, timeout=10).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""
NAMES = """
import socket
for name in {names!r}:
    try:
        socket.getaddrinfo(name, 1)
        print("known")
    except OSError:
        print("unknown")
"""


@pytest.fixture(scope="module")
def space() -> Iterator[Project]:
    require_engine()
    project = Project(f"tdspace-test-{os.getpid()}")
    try:
        project.compose("build")
        project.compose("up", "-d")
        project.wait_healthy(STAYING, timeout_s=HEALTHY_S)
        yield project
    finally:
        project.attempt("--profile", "*", "down", "-v", "--remove-orphans", "-t", "10")


def test_a_governed_training_runs_to_its_end_and_an_outsider_verifies_it(space: Project) -> None:
    trained = space.compose("--profile", "train", "run", "--rm", "train")
    assert "COMPLETED" in trained
    auditor = ("--profile", "audit", "run", "--rm", "auditor")
    assert "verified: " in space.compose(*auditor)
    log = ("https://proxy:9446/log", "--ca", "/public/ca.crt", "--key", "/public/log.key")
    replayed = json.loads(space.compose(*auditor, "audit", "replay", *log, "--json"))
    assert replayed["receipts"] >= 4 * 5
    found = json.loads(
        space.compose(*auditor, "audit", "find", *log, "--type", "ReceiptAccepted", "--json")
    )
    assert found["verified"] is True
    users = {entry["summary"].split()[0] for entry in found["entries"]}
    ids = {name: _participant(space, name) for name in NODES}
    # hillcrest's offer allows another purpose.
    assert users == {ids[name] for name in NODES if name != "hillcrest"}


def _participant(space: Project, name: str) -> str:
    return str(json.loads(space.tds(name, "node", "status", "--json"))["participant"])


@pytest.mark.parametrize("name", NODES)
def test_apps_are_confined(space: Project, name: str) -> None:
    held = json.loads(space.tds(name, "node", "doctor", "--json"))["confinement"]
    assert (held["level"], held["files"], held["network"]) == ("confined", "own", "none")


@pytest.mark.parametrize("name", STAYING)
def test_no_service_can_do_more_than_it_needs(space: Project, name: str) -> None:
    found = space.inspect(name)
    host = found["HostConfig"]
    assert found["Config"]["User"] == f"{USER}:{USER}"
    assert (host["ReadonlyRootfs"], host["Privileged"]) == (True, False)
    assert (host["CapDrop"], host["CapAdd"] or []) == (["ALL"], [])
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert not host["PortBindings"]
    assert not any(mount["Type"] == "bind" for mount in found["Mounts"])


@pytest.mark.parametrize("name", NODES)
def test_an_enterprise_meets_the_proxy_and_nobody_else(space: Project, name: str) -> None:
    others = [other for other in ("governance", "superlink", "executor", *NODES) if other != name]
    known = space.python(name, NAMES.format(names=["proxy", *others])).split()
    assert known == ["known"] + ["unknown"] * len(others)
    # What its default route names is on no interface of the host, and the engine drops the rest.
    [attached] = space.inspect(name)["NetworkSettings"]["Networks"]
    network = inspect("network", attached)
    assert network["Internal"] is True
    assert network["Options"]["com.docker.network.bridge.inhibit_ipv4"] == "true"
    gateways = {one["Gateway"] for one in network["IPAM"]["Config"]}
    held = {one.address for found in psutil.net_if_addrs().values() for one in found}
    assert not gateways & held


def test_each_enterprise_made_keys_of_its_own_in_a_volume_of_its_own(space: Project) -> None:
    program = (
        "import hashlib, pathlib; keys = sorted(pathlib.Path('/node/home/keys').iterdir());"
        "print(*(f'{p.stat().st_mode & 0o777:o}' for p in keys if p.suffix == '.key'), sep=',');"
        "print(hashlib.sha256((keys[0].parent / 'receipt.key').read_bytes()).hexdigest())"
    )
    said = [space.python(name, program).split() for name in NODES]
    assert {mode for modes, _ in said for mode in modes.split(",")} == {"600"}
    assert len({digest for _, digest in said}) == len(NODES)
    volumes = [
        mount["Name"]
        for name in NODES
        for mount in space.inspect(name)["Mounts"]
        if mount["Destination"] == "/node"
    ]
    assert len(set(volumes)) == len(NODES)


def test_of_the_superlink_only_the_fleet_can_be_reached(space: Project) -> None:
    paths = [
        "/v1/fleet/pull-messages",
        "/v1/control/list-nodes",
        "/v1/runtime/acquire-task",
        "/v1/fleet/../control/list-nodes",
        "/v1/fleet/%2e%2e/control/list-nodes",
        "/v1/fleet/..%2fcontrol%2flist-nodes",
        "/",
    ]
    fleet, *rest = space.python("riverside", ASK.format(paths=paths)).split()
    assert fleet in {"400", "401", "403", "415", "422"}  # the SuperLink's own answer
    assert set(rest) <= {"400", "404"}


def test_a_node_that_was_emitted_joins_beside_it(
    space: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.tds("governance", "space", "invite", "--space=/space/space", "--region=CN-GD", *OUT)
    join = tmp_path / "clinic.join"
    join.write_text(space.compose("exec", "-T", "governance", "cat", OUT[1]), encoding="utf-8")
    (tmp_path / "clinic-data").mkdir()
    write_biopsies(tmp_path / "clinic-data", rows=100, seed=3)
    for path in (join, tmp_path / "clinic-data", tmp_path / "clinic-data/biopsies.csv"):
        os.chown(path, USER, USER)
    words = ["node", "new", "clinic", "--join", str(join), "--region", "CN-GD"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tds", *words, "--emit", "compose"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    # Paths in a Compose file are meant from the folder of the first one.
    emitted = (tmp_path / "clinic.yml").read_text(encoding="utf-8")
    space.files.append(tmp_path / "clinic.yml")
    (tmp_path / "clinic.yml").write_text(
        emitted.replace("./clinic-data", str(tmp_path / "clinic-data")), encoding="utf-8"
    )
    space.compose("up", "-d", "clinic")  # its volume and network go with the others, by `down`
    space.wait_healthy(["clinic", "proxy"], timeout_s=HEALTHY_S)
    words = ["product", "add", "/data/biopsies.csv", "--purpose", "medical-research"]
    assert "registered p-" in space.tds("clinic", *words, "--accept")
    space.wait_healthy(STAYING, timeout_s=HEALTHY_S)


def test_everything_of_the_build_is_named() -> None:
    """No secret of a checkout can get into an image: what is not named stays out."""
    first = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert first[0] == "*"
