"""`docker compose up`, for real: healthy, a governed training, the log verified, down."""

from __future__ import annotations

import json
import os
import sys

import httpx
import psutil
import pytest
from compose_project import HEALTHY_S, NODES, ROOT, STAYING, Project, inspect

from clients.appbundle import build_bundle
from commands.demo import APP
from commands.hospitals import HOSPITALS, split_data, write_hospital
from commands.main import main
from policies.canonical import sha256_hex

USER = 10001
EASTGATE = next(one for one in HOSPITALS if one.name == "eastgate")  # no service of the file
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
import concurrent.futures, socket

def known(name):
    try:
        socket.getaddrinfo(name, 1)
        return "known"
    except OSError:
        return "unknown"

with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(*pool.map(known, {names!r}))
"""


def test_a_governed_training_runs_to_its_end_and_an_outsider_verifies_it(
    space: Project, trained: str
) -> None:
    assert "COMPLETED" in trained
    assert "verified: " in space.audit("verify")
    assert json.loads(space.audit("replay", "--json"))["receipts"] >= 4 * 5
    assert space.audit("report").startswith("<!DOCTYPE html>")
    users = _users(space)
    ids = {name: _participant(space, name) for name in NODES}
    # hillcrest's offer allows another purpose.
    assert users == {ids[name] for name in NODES if name != "hillcrest"}


def _users(space: Project) -> set[str]:
    """Whose receipts the log holds."""
    found = json.loads(space.audit("find", "--type", "ReceiptAccepted", "--json"))
    assert found["verified"] is True
    return {entry["summary"].split()[0] for entry in found["entries"]}


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
    published = [{"HostIp": "127.0.0.1", "HostPort": str(space.port)}]
    assert host["PortBindings"] == ({"8080/tcp": published} if name == "console" else {})
    assert not any(mount["Type"] == "bind" for mount in found["Mounts"])


def test_the_console_is_for_browsers_of_this_machine(space: Project) -> None:
    page = httpx.get(f"{space.console}/")
    assert (page.status_code, page.headers["x-frame-options"]) == (200, "DENY")
    other_name = httpx.get(f"http://127.0.0.1:{space.port}/")
    assert other_name.status_code == 421
    # Alone in the network with the host, and with governance's pages in the other.
    attached = space.inspect("console")["NetworkSettings"]["Networks"]
    networks = {name.rpartition("_")[2]: inspect("network", name) for name in attached}
    assert networks.keys() == {"pages", "published"}
    assert len(networks["published"]["Containers"]) == 1
    masquerade = "com.docker.network.bridge.enable_ip_masquerade"
    assert networks["published"]["Options"][masquerade] == "false"
    assert networks["pages"]["Internal"] is True
    met = {one["Name"].split("-")[-2] for one in networks["pages"]["Containers"].values()}
    assert met == {"console", "governance"}


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("governance", ("space", "console-link")),
        ("governance", ("space", "console-link", "--role", "auditor")),
        ("riverside", ("node", "console-link")),
        ("executor", ("run", "console-link")),
    ],
)
def test_a_link_made_in_a_container_signs_in_from_this_machine(
    space: Project, service: str, words: tuple[str, ...]
) -> None:
    link = json.loads(space.tds(service, *words, "--json"))["url"]
    assert link.startswith(f"{space.console}/enter/")
    with httpx.Client(base_url=space.console, headers={"origin": space.console}) as browser:
        assert browser.get(link).status_code == 200
        code = link.rpartition("/")[2]
        assert browser.post("/enter", data={"code": code}).status_code == 303
        assert browser.get("/space").status_code == 200


@pytest.mark.parametrize("name", NODES)
def test_an_enterprise_meets_the_proxy_and_nobody_else(space: Project, name: str) -> None:
    hidden = ("governance", "superlink", "executor", "console", *NODES)
    others = [other for other in hidden if other != name]
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
    space: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its Compose file is part of the project from now on, so its folder stays as long.
    folder = tmp_path_factory.mktemp("clinic")
    space.tds("governance", "space", "invite", "--space=/space/space", "--region=CN-GD", *OUT)
    join = folder / "clinic.join"
    join.write_text(space.compose("exec", "-T", "governance", "cat", OUT[1]), encoding="utf-8")
    data = folder / "clinic-data"
    write_hospital(data, EASTGATE, split_data())
    for path in (join, data, *data.iterdir()):
        os.chown(path, USER, USER)
    words = ["node", "new", "clinic", "--join", str(join), "--region", "CN-GD"]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["tds", *words, "--emit", "compose"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    # Paths in a Compose file are meant from the folder of the first one.
    emitted = (folder / "clinic.yml").read_text(encoding="utf-8")
    space.files.append(folder / "clinic.yml")
    (folder / "clinic.yml").write_text(
        emitted.replace("./clinic-data", str(folder / "clinic-data")), encoding="utf-8"
    )
    space.compose("up", "-d", "clinic")  # its volume and network go with the others, by `down`
    space.wait_healthy(["clinic", "proxy"], timeout_s=HEALTHY_S)
    words = ["product", "add", f"/data/biopsies.{EASTGATE.file}", "--purpose", "medical-research"]
    assert "registered p-" in space.tds("clinic", *words, "--accept")
    space.wait_healthy(STAYING, timeout_s=HEALTHY_S)
    space.tds("clinic", "app", "approve", sha256_hex(build_bundle(APP)))
    training = ("run", "start", "/public/tabular.fab", "--purpose=diagnosis-support")
    assert "COMPLETED" in space.compose(
        *("run", "--rm", "train", *training, "--request-s=60", "--rounds=1")
    )
    assert _participant(space, "clinic") in _users(space)


def test_everything_of_the_build_is_named() -> None:
    """No secret of a checkout can get into an image: what is not named stays out."""
    first = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert first[0] == "*"
