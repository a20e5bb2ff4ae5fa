"""`tds app env`, on the folder of a node, with real pip and a package of one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_site import Tds
from tiny_wheels import lock, only, wheel

import clients
from clients.appbundle import build_bundle
from clients.identity import load_identity
from clients.state import NodeState
from policies.canonical import sha256_hex

TABULAR = Path(clients.__path__[0]) / "apps" / "tabular"


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return build_bundle(TABULAR)


@pytest.fixture
def node(desk: Path, bundle: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The option that names a node with an environment `one`."""
    only(monkeypatch, tmp_path / "shelf")
    (tmp_path / "shelf").mkdir()
    lock(desk / "lock.txt", wheel(tmp_path / "shelf", "greet", "1.0", {"greet.py": ""}))
    (desk / "tabular.fab").write_bytes(bundle)
    return ["--node", str(desk / "clinic")]


def test_built_shown_used_and_removed(tds: Tds, node: list[str], desk: Path) -> None:
    built = tds("app", "env", "build", "--requirements", "lock.txt", "--name", "one", *node)
    assert (built.code, built.err) == (0, "")
    assert "1 packages" in built.out
    (listed,) = tds("app", "env", "list", "--json", *node).json()
    assert (listed["name"], listed["packages"]) == ("one", {"greet": "1.0"})
    assert "one" in tds("app", "env", "list", *node).out

    app = sha256_hex((desk / "tabular.fab").read_bytes())
    approved = tds("app", "approve", "tabular.fab", "--env", "one", *node)
    assert approved.out.splitlines()[-1] == f"approved {app} with the environment one"
    assert tds("app", "env", "show", "one", "--json", *node).json()["apps"] == [app]
    assert "every file as built" in tds("app", "env", "show", "one", *node).out
    shown = tds("app", "show", "tabular.fab", "--env", "one", *node)
    assert (shown.code, shown.err) == (0, "")

    kept = tds("app", "env", "remove", "one", *node)
    assert (kept.code, app in kept.err) == (1, True)
    assert tds("app", "env", "use", app, "", *node).code == 0
    assert tds("app", "env", "remove", "one", *node).out == "removed one\n"
    assert tds("app", "env", "list", "--json", *node).json() == []
    state = NodeState.open(load_identity(desk / "clinic").paths.state)
    assert [one.environment for one in state.apps()] == [""]
    state.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["env", "show", "two"], "tds app env build"),
        (["env", "use", "a" * 64, ""], "expected one that is approved"),
        (["env", "build", "--requirements", "bare.txt"], "--hash=sha256"),
    ],
)
def test_what_cannot_be_done_is_said(
    tds: Tds, node: list[str], desk: Path, arguments: list[str], words: str
) -> None:
    (desk / "bare.txt").write_text("greet==1.0\n")
    ran = tds("app", *arguments, *node)
    assert ran.code != 0
    assert words in " ".join(ran.err.split())


def test_pins_are_lines_to_lock_against(tds: Tds) -> None:
    lines = tds("app", "env", "pins").out.splitlines()
    assert all(line.count("==") == 1 for line in lines)
    assert any(line.startswith("numpy==") for line in lines)
