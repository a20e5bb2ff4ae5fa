"""`tds app show FILE`: needs no node, runs nothing, and cannot write to the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_site import Tds

import clients
from clients.appbundle import build_bundle

HOSTILE = """\
from clients.sdk import training_rows
import socket
print("\x1b[2J\x1b]0;owned\x07 approved")  # \u202e
app = None
"""


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with escape sequences in its source."""
    folder = tmp_path_factory.mktemp("hostile")
    package = folder / "app" / "mine"
    package.mkdir(parents=True)
    tabular = Path(clients.__path__[0]) / "apps" / "tabular" / "pyproject.toml"
    # All but what it declares to return.
    text = tabular.read_text().replace("tabular", "mine").partition("[tool.tdspace.")[0]
    (package.parent / "pyproject.toml").write_text(text)
    (package / "__init__.py").write_text("")
    (package / "client_app.py").write_text(HOSTILE)
    file = folder / "mine.fab"
    file.write_bytes(build_bundle(package.parent))
    return file


def test_what_an_owner_is_told(tds: Tds, fab: Path) -> None:
    ran = tds("app", "show", str(fab))
    assert (ran.code, ran.err) == (0, "")
    for words in ("mine/client_app.py:2", "imports socket: network", "clientapp: mine.client_app"):
        assert words in ran.out


def test_json(tds: Tds, fab: Path) -> None:
    found = tds("app", "show", str(fab), "--json").json()
    assert found["total_bytes"] == sum(file["size"] for file in found["files"])
    assert {one["module"]: one["origin"] for one in found["imports"]} == {
        "clients.sdk": "space",
        "socket": "standard library",
    }
    assert found["config"]["hidden"] == 32
    assert found["declared"] == {"arrays": None, "metrics": None, "max_bytes": None}


def test_what_an_app_declares_to_return(tds: Tds, fab: Path, tmp_path: Path) -> None:
    assert "declares nothing of what it returns" in tds("app", "show", str(fab)).out
    file = tmp_path / "logistic.fab"
    file.write_bytes(build_bundle(Path(clients.__path__[0]) / "apps" / "logistic"))
    ran = tds("app", "show", str(file))
    assert (ran.code, ran.err) == (0, "")
    for words in (
        "these arrays, no others",
        "any x any",
        "eval_accuracy",
        "0 to 1",
        "num-examples",
    ):
        assert words in ran.out
    declared = tds("app", "show", str(file), "--json").json()["declared"]
    assert declared["arrays"]["intercept"] == {"shape": ["any"], "type": "float64"}
    assert declared["metrics"]["eval_accuracy"] == {"least": 0, "most": 1}


def test_a_source_is_shown_with_nothing_that_a_terminal_acts_on(tds: Tds, fab: Path) -> None:
    ran = tds("app", "show", str(fab), "--source", "mine/client_app.py")
    assert ran.code == 0
    assert "    2  import socket" in ran.out
    assert r"\x1b[2J\x1b]0;owned\x07 approved" in ran.out
    assert r"\u202e" in ran.out
    assert all(char.isprintable() or char == "\n" for char in ran.out)


def test_what_is_no_file_of_it(tds: Tds, fab: Path) -> None:
    ran = tds("app", "show", str(fab), "--source", "../secret")
    assert (ran.code, ran.out) == (2, "")
    assert "expected a file of the app" in ran.err
