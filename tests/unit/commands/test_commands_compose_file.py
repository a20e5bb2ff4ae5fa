"""docker-compose.yml as it is written: what every service lacks, who meets whom, what is published.

What containers really do is for tests/compose, which need an engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from commands.container.hospital import ENTERPRISES

ROOT = Path(__file__).parents[3]
MAIN: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
LEDGER: dict[str, Any] = yaml.safe_load(
    (ROOT / "docker/compose.postgres.yml").read_text(encoding="utf-8")
)
DEV: dict[str, Any] = yaml.safe_load((ROOT / "docker/compose.dev.yml").read_text(encoding="utf-8"))
SERVICES = {**MAIN["services"], "ledger": LEDGER["services"]["ledger"]}


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_do_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "logging"} <= service.keys()
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "env_file"} & service.keys()
    assert all(not volume.startswith(("/", ".", "~")) for volume in service.get("volumes", []))


def test_only_the_consoles_port_is_published_and_on_loopback() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published == {"console": ["127.0.0.1:${TDS_CONSOLE_PORT:-8080}:8080"]}


def test_networks_have_no_way_out() -> None:
    networks = dict(MAIN["networks"])
    with_host = networks.pop("published")
    assert all(one["internal"] is True for one in networks.values())
    options = with_host["driver_opts"]
    assert options == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert "networks" not in LEDGER
    assert SERVICES["ledger"]["network_mode"] == "none"


def test_who_meets_whom() -> None:
    members: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for network in service.get("networks", []):
            members.setdefault(network, set()).add(name)
    enterprises = [one.name for one in ENTERPRISES]
    assert members == {
        "backstage": {"superlink", "governance", "executor", "proxy"},
        "pages": {"governance", "console"},
        "published": {"console"},
        "consumer": {"proxy", "invite", "train"},
        "audit": {"proxy", "auditor"},
        **{name: {"proxy", name} for name in enterprises},
    }


def test_each_volume_that_holds_keys_is_one_services() -> None:
    holders: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            holders.setdefault(volume.partition(":")[0], set()).add(name)
    assert holders["space"] == {"provision", "governance", "invite"}
    assert holders["superlink"] == {"provision", "superlink"}
    assert holders["front"] == {"provision", "proxy"}
    for enterprise in ENTERPRISES:
        assert holders[enterprise.name] == {enterprise.name}
        assert holders[f"join-{enterprise.name}"] == {"invite", enterprise.name}


def test_a_developers_code_is_mounted_for_reading() -> None:
    assert DEV["services"].keys() <= MAIN["services"].keys()
    for service in DEV["services"].values():
        for volume in service["volumes"]:
            source, target, mode = volume.split(":")
            assert (ROOT / source).is_dir()
            assert (target, mode) == (f"/opt/tds/{source[2:]}", "ro")
