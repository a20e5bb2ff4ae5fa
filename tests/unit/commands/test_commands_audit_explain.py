"""`tds audit explain`: its output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands_site import Tds

from auditors.lines import log_lines


@pytest.fixture
def key(desk: Path) -> str:
    _, first = next(log_lines(desk / "space" / "log"))
    return str(json.loads(first)["body"]["space"]["log_key"])


def test_an_entry_in_both_languages(tds: Tds, desk: Path, key: str) -> None:
    ran = tds("audit", "explain", "space/log", "2")
    assert (ran.code, ran.err) == (0, "")
    assert "ParticipantEnrolled" in ran.out.splitlines()[0]
    assert "  clinic enrolled as node, in CN-GD." in ran.out
    assert "It rests on:\n  #0" in ran.out
    assert "What followed from it (" in ran.out
    assert ran.out.endswith("Not verified: give --key to know that nothing was changed.\n")
    (desk / "names.json").write_text('{"clinic": "诊所"}', encoding="utf-8")
    ran = tds(
        "audit", "explain", "space/log", "2", "--lang", "zh", "--key", key, "--names", "names.json"
    )
    assert (ran.code, ran.err) == (0, "")
    assert "诊所 (clinic) 登记为 node" in ran.out
    assert "已验证" in ran.out


def test_json_for_programs(tds: Tds, desk: Path, key: str) -> None:
    found = tds("audit", "explain", "space/log", "0", "--key", key, "--json").json()
    assert (found["verified"], found["entry"], found["type"]) == (True, 0, "SpaceCreated")
    assert found["rests_on"] == []
    assert found["followed_by_type"]["ParticipantEnrolled"] == 1
    assert found["body"]["space"]["log_key"] == key


def test_a_nodes_own_log(tds: Tds, desk: Path) -> None:
    ran = tds("audit", "explain", "clinic/log", "0")
    assert (ran.code, ran.err) == (0, "")
    assert "The node of clinic in" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("gone", "0"), 2, "got none"),
        (("space/log", "9999"), 2, "expected an entry from 0 to"),
        (("space/log", "-1"), 2, "-1"),
        (("space/log", "first"), 2, "first"),
        (("space/log", "0", "--lang", "fr"), 2, "--lang: expected en or zh"),
        (("space/log", "0", "--key", "gone.txt"), 2, "gone.txt: expected a readable file"),
    ],
)
def test_what_cannot_be_explained(
    tds: Tds, desk: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = tds("audit", "explain", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in " ".join(ran.err.split())
