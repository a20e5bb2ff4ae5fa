"""`tds policy` and `tds contract draft`, on the worked example of policies/profile.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands_inputs import profile_agreement
from commands_site import Tds

PERMITTED = ("--purpose", "diagnosis-support", "--participants", "3", "--place", "CN-GD")


@pytest.mark.parametrize(
    ("options", "code", "effect"),
    [
        ((), 0, "permit"),
        (("--count", "50"), 0, "permit"),
        (("--action", "evaluate"), 1, "deny"),
        (("--count", "51"), 1, "deny"),
        (("--participants", "2"), 1, "deny"),
        (("--place", "CN-BJ"), 1, "deny"),
        (("--place", "CN"), 1, "deny"),
        (("--purpose", "marketing"), 1, "deny"),
        (("--recipient", "somebody-else"), 0, "permit"),
        (("--at", "2027-01-01T00:00:00+08:00"), 1, "deny"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_the_profiles_example_is_decided(
    tds: Tds, inputs: Path, options: tuple[str, ...], code: int, effect: str
) -> None:
    when = () if "--at" in options else ("--at", "2026-06-01T00:00:00Z")
    call = ("policy", "decide", "agreement.json", *PERMITTED, *when, *options)
    ran = tds(*call, "--json")
    assert (ran.code, ran.err) == (code, "")
    assert ran.json()["effect"] == effect
    people = tds(*call)
    assert people.code == code
    assert people.out.startswith("permitted" if effect == "permit" else "refused")


@pytest.mark.parametrize("purpose", ["[/x]", "[bold]b", ":heart:", "\x1b[2Jgone", "a\u202eb"])
def test_what_is_shown_is_neither_markup_nor_a_control_sequence(
    tds: Tds, inputs: Path, purpose: str
) -> None:
    ran = tds("policy", "decide", "agreement.json", "--purpose", purpose)
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    assert "❤" not in ran.out
    assert "refused" in ran.out


def test_a_policy_is_checked(tds: Tds, inputs: Path) -> None:
    ran = tds("policy", "check", "agreement.json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "agreement.json: a valid Agreement, 1 permissions, 1 prohibitions\n"
    found = tds("policy", "check", "agreement.json", "--json").json()
    assert found["ok"] is True
    assert found["policy"]["@id"] == json.loads(profile_agreement())["@id"]


def test_a_drafted_contract_passes_the_check_and_permits(tds: Tds, desk: Path) -> None:
    drafted = tds(
        *("contract", "draft", "clinic/biopsies", "--owner", "clinic", "--consumer", "consortium"),
        *("--purpose", "medical-research", "--uses", "7", "--out", "draft.json"),
    )
    assert (drafted.code, drafted.err) == (0, "")
    assert tds("policy", "check", "draft.json").code == 0
    decide = ("policy", "decide", "draft.json", "--purpose", "diagnosis-support")
    assert tds(*decide, "--participants", "2", "--count", "7").code == 0
    assert tds(*decide, "--participants", "2", "--count", "8").code == 1
    assert tds(*decide, "--participants", "1", "--count", "7").code == 1
