"""What the containers of docker-compose.yml run: parts for services, a node that enrols first."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from clients.errors import GovernanceUnavailable
from commands import serve
from commands.container import hospital, node, provision
from commands.executor import arguments
from server.space import load_space

VOLUMES = ("space", "superlink", "front", "consumer", "public")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in VOLUMES:
        (tmp_path / name).mkdir()
    return tmp_path


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _provide(root: Path) -> None:
    provision.provide(root, name="tests.example/compose", region="CN-GD")


def test_each_service_gets_its_part_and_no_key_of_the_space(root: Path) -> None:
    _provide(root)
    space = load_space(root / "space" / "space")
    assert (space.card.governance, space.card.superlink) == ("proxy:9443", "proxy:9445")
    assert set(_files(root / "superlink")) == {
        "ca.crt",
        "ready",
        "superexec.secret",
        "tls.crt",
        "tls.key",
    }
    assert set(_files(root / "front")) == {"ca.crt", "ready", "tls.crt", "tls.key"}
    assert set(_files(root / "public")) == {"ca.crt", "log.key", "ready"}
    assert {"home/consumer.json", "superexec.secret"} <= set(_files(root / "consumer"))
    kept = {path.read_bytes() for path in (root / "space/space/keys").iterdir()}
    kept |= {
        (root / "space/space" / name).read_bytes() for name in ("ca/ca.key", "operator/tls.key")
    }
    for name in VOLUMES[1:]:
        assert not kept & set(_files(root / name).values())
    assert (root / "front/tls.key").read_bytes() != (root / "superlink/tls.key").read_bytes()


def test_secrets_are_their_owners_only(root: Path) -> None:
    _provide(root)
    for path in root.rglob("*"):
        if path.name in {"tls.key", "superexec.secret", "statement.key"}:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_what_was_cut_off_is_made_again_and_what_is_ready_stays(root: Path) -> None:
    _provide(root)
    before = {name: _files(root / name) for name in VOLUMES}
    _provide(root)
    assert {name: _files(root / name) for name in VOLUMES} == before
    (root / "front/ready").unlink()
    (root / "front/tls.crt").unlink()
    _provide(root)
    after = {name: _files(root / name) for name in VOLUMES}
    assert set(after["front"]) == set(before["front"])
    assert after["front"] != before["front"]
    assert {**after, "front": None} == {**before, "front": None}


def test_a_node_waits_for_its_invitation_and_for_governance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, join = tmp_path / "home", tmp_path / "node.join"
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        join.touch()

    def enrol(made: Path, file: Path, **_: Any) -> None:
        if len(waits) < 2:
            raise GovernanceUnavailable("nobody answers")
        made.mkdir()

    monkeypatch.setattr(node.time, "sleep", sleep)
    monkeypatch.setattr(node, "enrol", enrol)
    node.enrolled(folder, join=join, region="CN-GD")
    assert (folder.is_dir(), len(waits)) == (True, 2)
    assert "waiting for the join file" in capsys.readouterr().out


def test_five_enterprises_come_along() -> None:
    assert [one.name for one in hospital.ENTERPRISES] == [
        "riverside",
        "northgate",
        "lakeview",
        "westpark",
        "hillcrest",
    ]


def test_the_executor_needs_no_space() -> None:
    words = ["--superlink", "superlink:9000", "--ca", "/c/ca.crt", "--secret", "/c/s"]
    assert arguments(words) == {
        "superlink": "superlink:9000",
        "ca": Path("/c/ca.crt"),
        "secret": Path("/c/s"),
    }
    with pytest.raises(SystemExit):
        arguments(words[:4])


def test_the_executor_of_a_space(desk: Path) -> None:
    found = arguments([str(desk / "space")])
    assert found["superlink"] == "127.0.0.1:3"
    assert found["secret"].is_file()


@pytest.mark.parametrize(
    ("listen", "address", "bound"),
    [
        ("0.0.0.0", "proxy:9443", "0.0.0.0:9443"),
        ("", "proxy:9443", None),
        ("0.0.0.0", None, None),
    ],
)
def test_where_governance_listens(listen: str, address: str | None, bound: str | None) -> None:
    assert serve.bound(listen, address) == bound
