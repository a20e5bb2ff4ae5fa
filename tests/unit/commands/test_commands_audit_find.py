"""`tds audit find`: names, types, and what verifying the whole log proves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands_site import Tds

from auditors.known import Known
from auditors.lines import log_lines
from commands.audit_names import named


@pytest.fixture
def key(desk: Path) -> str:
    _, first = next(log_lines(desk / "space" / "log"))
    (desk / "names.json").write_text('{"clinic": "The Clinic"}', encoding="utf-8")
    return str(json.loads(first)["body"]["space"]["log_key"])


def test_by_name_and_type_in_a_verified_log(tds: Tds, desk: Path, key: str) -> None:
    call = ("audit", "find", "space/log", "--participant", "The Clinic", "--names", "names.json")
    ran = tds(*call, "--type", "ParticipantEnrolled", "--key", key)
    assert (ran.code, ran.err) == (0, "")
    first, last = ran.out.splitlines()
    assert first.endswith("ParticipantEnrolled: The Clinic (clinic) enrolled as node")
    assert last.startswith("1 found; the log of ")
    assert " entries was verified, so these are all there are up to its root " in last
    found = tds(*call, "--key", key, "--json").json()
    assert found["verified"] is True
    assert len(found["root"]) == 64
    assert last.endswith(found["root"])
    assert f"the log of {found['size']} entries" in last
    assert found["origin"] == "tdspace.example/unit"


def test_a_consent_is_an_agreement(tds: Tds, desk: Path, key: str) -> None:
    entries = tds("audit", "find", "space/log", "--json").json()["entries"]
    concluded = next(one for one in entries if one["type"] == "AgreementConcluded")
    agreement = concluded["summary"].rpartition(": ")[2]
    same = [
        tds("audit", "find", "space/log", option, agreement, "--json").json()
        for option in ("--consent", "--agreement")
    ]
    assert same[0] == same[1]
    assert [one["type"] for one in same[0]["entries"]] == ["AgreementConcluded"]
    assert same[0]["verified"] is False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--type", "Receipt"), "--type: expected one of AgreementConcluded"),
        (("--names", "gone"), "gone: expected a readable file"),
        (("--policy", "gone"), "gone: expected a readable file"),
    ],
)
def test_what_cannot_be_looked_for(
    tds: Tds, desk: Path, arguments: tuple[str, ...], says: str
) -> None:
    ran = tds("audit", "find", "space/log", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a withdrew its consent to a-1", "Alpha (a) withdrew its consent to a-1"),
        ("a and b agreed on a/records: x:a", "Alpha (a) and b agreed on a/records: x:a"),
        ("permitted p-2; refused a (offline)", "permitted Beta (p-2); refused Alpha (a) (offline)"),
        ("used p-2, a.", "used Beta (p-2), Alpha (a)."),
    ],
)
def test_names_stand_before_pseudonyms_and_nowhere_else(text: str, expected: str) -> None:
    assert named(text, Known({"a": "Alpha", "p-2": "Beta"})) == expected
    assert named(text, Known()) == text
