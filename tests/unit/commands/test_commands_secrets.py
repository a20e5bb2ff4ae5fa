"""Keys and other secrets: their modes, what others could read is not used, none is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands_site import SPACE, Tds

SECRETS = [
    ("space/keys/permit.key", "space show --space space"),
    ("space/keys/log.key", "space show --space space"),
    ("space/ca/ca.key", "space show --space space"),
    ("space/governance/tls.key", "space show --space space"),
    ("space/superlink/superexec.secret", "space show --space space"),
    ("space/operator/tls.key", "app register fake.fab --space space --title x"),
    ("space/consumer/tls.key", "run list --consumer space/consumer"),
    ("clinic/keys/tls.key", "node status --node clinic"),
    ("clinic/keys/fleet.key", "node status --node clinic"),
    ("clinic/keys/receipt.key", "node status --node clinic"),
    ("clinic/keys/log.key", "node status --node clinic"),
    ("clinic/keys/vault.salt", "node status --node clinic"),
]


@pytest.mark.parametrize(("name", "call"), SECRETS, ids=[row[0] for row in SECRETS])
def test_a_secret_that_others_can_read_is_not_used(
    tds: Tds, inputs: Path, name: str, call: str
) -> None:
    (inputs / name).chmod(0o644)
    ran = tds(*call.split())
    assert ran.code == 1
    assert f"{name}: expected a secret" in ran.err
    assert re.search(rf"chmod 600 \S*{name}\n", ran.err)


@pytest.mark.parametrize(
    ("name", "call"),
    [row for row in SECRETS if row[0].startswith(("space/keys/", "space/ca/", "clinic/"))],
    ids=lambda value: value.split()[0],
)
@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_key_that_is_none(tds: Tds, inputs: Path, name: str, call: str, content: bytes) -> None:
    (inputs / name).write_bytes(content)
    ran = tds(*call.split())
    assert ran.code == 1
    assert str(Path(name).parent) in ran.err
    assert "expected" in ran.err


def test_a_key_of_another_space(tds: Tds, desk: Path) -> None:
    keys = desk / "space" / "keys"
    (keys / "permit.key").write_bytes((keys / "log.key").read_bytes())
    ran = tds("space", "show", "--space", "space")
    assert ran.code == 1
    assert "expected permit.key to be the one that space.json states" in ran.err


def test_a_space_is_made_and_shown_without_its_secrets(tds: Tds, tmp_path: Path) -> None:
    folder = tmp_path / "space"
    name = "tdspace.example/a-name-that-makes-the-log-key-long"
    url = "postgresql+psycopg://tds@db.example/log?sslmode=verify-full"
    made = tds(
        *("space", "init", str(folder), "--name", name, "--port", "9500", "--region", "CN"),
        *("--log-database", url),
    )
    shown = tds("space", "show", "--space", str(folder), "--json")
    table = tds("space", "show", "--space", str(folder))
    assert [ran.code for ran in (made, shown, table)] == [0, 0, 0]
    card = shown.json()
    assert (card["name"], card["superlink"]) == (name, "127.0.0.1:9502")
    assert card["settings"]["log_database"] == url
    assert f"log key (give it to auditors): {card['log_key']}\n" in made.out
    told = made.out + made.err + shown.out + table.out
    assert "PRIVATE" not in told
    secrets = [path for path in folder.rglob("*") if path.suffix in {".key", ".secret"}]
    assert len(secrets) == 11
    for path in secrets:
        lines = path.read_bytes().splitlines()
        assert all(line.decode("latin-1") not in told for line in lines if b"-----" not in line)


@pytest.mark.parametrize("root", ["space", "clinic"])
def test_only_the_owner_can_read_what_is_secret(desk: Path, root: str) -> None:
    files = [path for path in (desk / root).rglob("*") if path.is_file()]
    secret = [
        path
        for path in files
        if path.suffix in {".key", ".secret", ".salt"} or b"PRIVATE KEY" in path.read_bytes()
    ]
    assert len(secret) >= 5
    assert {oct(path.stat().st_mode & 0o777) for path in secret} == {"0o600"}
    folders = {path.parent for path in secret}
    assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}


def test_a_nodes_status_needs_no_network_and_tells_no_secret(tds: Tds, desk: Path) -> None:
    ran = tds("node", "status", "--node", "clinic", "--json")
    assert (ran.code, ran.err) == (0, "")
    status = ran.json()
    assert (status["participant"], status["space"]) == ("clinic", SPACE)
    assert [one["id"] for one in status["products"]] == ["clinic/biopsies"]
    assert [one["withdrawn"] for one in status["agreements"]] == [None]
    assert status["untold"] == []
    people = tds("node", "status", "--node", "clinic")
    assert (people.code, people.err) == (0, "")
    assert "stands" in people.out
    assert "PRIVATE" not in ran.out + people.out
