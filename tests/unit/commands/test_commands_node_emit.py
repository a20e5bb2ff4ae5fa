"""`tds node new --emit`: a systemd unit, a Compose file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands_site import Tds

from commands import node_new
from commands.errors import BadInput
from commands.node_compose import compose_file
from commands.node_unit import quoted, systemd_unit
from policies.canonical import parse_json
from policies.space import JoinFile

ROOT = Path(__file__).parents[3]
ANALYZE = shutil.which("systemd-analyze")
MAX_EXPOSURE = 20  # tenths


def _unit(folder: Path, program: Path = Path(sys.executable)) -> str:
    return systemd_unit(
        folder, participant="p-1", space="a.example/b", user="daemon", python=program
    )


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/srv/clinic", "/srv/clinic"),
        ("/srv/my clinic", '"/srv/my clinic"'),
        ("/srv/100%", '"/srv/100%%"'),
        ("/srv/$HOME", '"/srv/$$HOME"'),
        ('/srv/a"b', '"/srv/a\\"b"'),
        ("/srv/a\\b", '"/srv/a\\\\b"'),
    ],
)
def test_a_path_is_one_word_of_a_unit(path: str, word: str) -> None:
    assert quoted(Path(path), command=True) == word


def test_a_root_without_capabilities_could_confine_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="another user than root"):
        systemd_unit(tmp_path, participant="p", space="s", user="root", python=tmp_path)


def test_a_setting_expands_no_variables() -> None:
    assert quoted(Path("/srv/$HOME"), command=False) == "/srv/$HOME"


def test_a_path_that_no_unit_can_name() -> None:
    with pytest.raises(BadInput, match="without control characters"):
        quoted(Path("/srv/a\nExecStartPre=/bin/evil"), command=True)


def test_the_unit_keeps_what_the_sandbox_and_torch_need(tmp_path: Path) -> None:
    settings = dict(
        line.split("=", 1)
        for line in _unit(tmp_path / "clinic").splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert "MemoryDenyWriteExecute" not in settings
    assert settings["ReadWritePaths"] == str(tmp_path / "clinic")
    assert (settings["ProtectSystem"], settings["NoNewPrivileges"]) == ("strict", "yes")
    assert settings["CapabilityBoundingSet"] == ""
    assert "landlock_restrict_self" in _unit(tmp_path)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is part of systemd")
@pytest.mark.parametrize("name", ["clinic", "my $clinic 100%"])
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    assert ANALYZE is not None
    (tmp_path / name).mkdir()
    file = tmp_path / "clinic.service"
    file.write_text(_unit(tmp_path / name), encoding="utf-8")
    verified = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    own = [line for line in verified.stderr.splitlines() if "clinic.service" in line]
    assert (verified.returncode, own) == (0, [])
    judged = subprocess.run(
        [ANALYZE, "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-2000:]


def _join(desk: Path, governance: str) -> JoinFile:
    found = JoinFile.from_json(parse_json((desk / "next.join").read_bytes(), max_bytes=1 << 16))
    space = found.space.model_copy(update={"governance": governance})
    return found.model_copy(update={"space": space})


def _compose(desk: Path, governance: str, name: str = "clinic-2") -> dict[str, Any]:
    found = _join(desk, governance)
    text = compose_file(desk / name, join=Path("a $b.join"), found=found, region="CN-GD")
    value = yaml.safe_load(text)
    assert isinstance(value, dict)
    return value


def test_in_a_local_space_it_meets_the_proxy_only(desk: Path) -> None:
    file = _compose(desk, "proxy:9443")
    service = file["services"]["clinic-2"]
    assert file["secrets"] == {"clinic-2-join": {"file": "./a $$b.join"}}
    assert service["networks"] == file["services"]["proxy"]["networks"] == ["clinic-2"]
    assert file["networks"]["clinic-2"]["internal"] is True
    assert service["depends_on"] == ["proxy"]
    host, _, port = service["environment"]["TDS_HEALTH"].rpartition(":")
    check = service["healthcheck"]["test"]
    assert f"/dev/tcp/{host}/{port} " in check[3]
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert check == file["x-node"]["healthcheck"]["test"]


def test_elsewhere_it_reaches_out(desk: Path) -> None:
    file = _compose(desk, "tds.example:443")
    assert list(file["services"]) == ["clinic-2"]
    assert file["networks"] == {"clinic-2": {"driver": "bridge"}}
    assert "depends_on" not in file["services"]["clinic-2"]


def test_it_may_do_nothing_more_than_it_needs(desk: Path) -> None:
    service = _compose(desk, "proxy:9443")["services"]["clinic-2"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert {"mem_limit", "pids_limit", "tmpfs"} <= set(service)
    assert "privileged" not in service


@pytest.mark.parametrize("name", ["Clinic", "proxy", "a b", "x" * 41])
def test_a_name_that_no_service_can_have(desk: Path, name: str) -> None:
    with pytest.raises(BadInput, match="for the service"):
        _compose(desk, "proxy:9443", name)


def test_the_command_writes_a_compose_file_and_enrols_nothing(tds: Tds, desk: Path) -> None:
    words = ("node", "new", "ward", "--join", "next.join", "--region", "CN-GD", "--emit", "compose")
    ran = tds(*words)
    assert (ran.code, ran.err) == (0, "")
    assert "nothing was enrolled yet" in ran.out
    assert not (desk / "ward").exists()
    assert "ward" in yaml.safe_load((desk / "ward.yml").read_text())["services"]
    again = tds(*words)
    assert (again.code, "expected no such file" in again.err) == (2, True)


def test_the_command_writes_a_unit_beside_the_node(
    tds: Tds, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = node_new.load_join(desk / "next.join", now=node_new.datetime.now(node_new.UTC))

    def enrolled(folder: Path, join: Path, **_: object) -> Any:
        class Config:
            space = made.space

        class Made:
            participant = made.participant
            config = Config

        return Made

    monkeypatch.setattr(node_new, "enrol", enrolled)
    words = ("--join", "next.join", "--region", "CN-GD", "--emit", "systemd")
    ran = tds("node", "new", "ward", *words)
    assert (ran.code, ran.err) == (0, "")
    unit = (desk / "ward.service").read_text(encoding="utf-8")
    assert "User=root" not in unit
    assert f"-m commands node run --node {desk / 'ward'}\n" in unit
