"""`tds policy` and `tds contract draft`, on the worked example of policies/profile.md."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands_inputs import changed, profile_agreement, request
from commands_site import Ran, Tds

import policies
from policies.canonical import digest_of


def ask(tds: Tds, policy: str, asked: dict[str, Any], *options: str) -> Ran:
    Path("asked.json").write_text(json.dumps(asked), encoding="utf-8")
    return tds("policy", "decide", "--policy", policy, "--request", "asked.json", *options)


@pytest.mark.parametrize(
    ("changes", "code", "effect"),
    [
        ({}, 0, "permit"),
        ({"count": 50}, 0, "permit"),
        ({"action": "evaluate"}, 1, "deny"),
        ({"count": 51}, 1, "deny"),
        ({"minParticipants": 2}, 1, "deny"),
        ({"minParticipants": None}, 1, "deny"),
        ({"spatial": "CN-BJ"}, 1, "deny"),
        ({"spatial": "CN"}, 1, "deny"),
        ({"purpose": "marketing"}, 1, "deny"),
        ({"recipient": "somebody-else"}, 0, "permit"),
        ({"assignee": "somebody-else"}, 1, "deny"),
        ({"target": "another/product"}, 1, "deny"),
        ({"at": "2027-01-01T00:00:00+08:00"}, 1, "deny"),
    ],
    ids=str,
)
def test_the_profiles_example_is_decided(
    tds: Tds, inputs: Path, changes: dict[str, Any], code: int, effect: str
) -> None:
    ran = ask(tds, "agreement.json", request(**changes), "--json")
    assert (ran.code, ran.err) == (code, "")
    found = ran.json()
    assert found["decision"] == found["report"]["effect"] == effect
    assert found["digest"] == digest_of(found["report"])
    assert found["reasons"]
    people = ask(tds, "agreement.json", request(**changes))
    assert people.code == code
    assert people.out.startswith("permitted" if effect == "permit" else "refused")


def test_a_refusal_says_what_would_have_to_change(tds: Tds, inputs: Path) -> None:
    asked = request(purpose="marketing", count=51)
    english = ask(tds, "agreement.json", asked).out
    assert english.startswith("refused\nwhy:\n  - the purpose is marketing (permission 1)")
    assert "  - the purpose would have to be medical-research or what belongs to it" in english
    assert "only a new agreement helps" in english
    chinese = ask(tds, "agreement.json", asked, "--lang", "zh").out
    assert chinese.startswith("未获准\n原因：\n  - 使用目的为 marketing（第 1 条许可）")
    assert "若要获准：\n  - 使用目的须为 medical-research 或其子类别" in chinese


def test_an_offer_is_tried_for_whoever_asks_and_laws_are_applied(tds: Tds, inputs: Path) -> None:
    offer = {**json.loads(profile_agreement()), "@type": "Offer"}
    for key in ("target", "assignee", "timestamp"):
        offer.pop(key)
    Path("offer.json").write_text(json.dumps(offer), encoding="utf-8")
    asked = request(assignee="somebody", target="some/product")
    assert ask(tds, "offer.json", asked).code == 0
    laws = str(Path(policies.__file__).parent / "baseline")
    refused = ask(tds, "offer.json", asked, "--baseline", laws, "--json")
    assert refused.code == 1
    assert {r["code"] for r in refused.json()["reasons"]} == {
        "law-core-data",
        "law-cross-border",
        "law-personal-information",
    }
    facts = {"classification": "general", "personalInformation": "no", "crossBorder": "no"}
    lawful = request(assignee="somebody", target="some/product", **facts)
    assert ask(tds, "offer.json", lawful, "--baseline", laws).code == 0


def test_a_request_may_come_through_standard_input(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, tds: Tds
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(request()).encode())))
    ran = tds("policy", "decide", "--policy", "agreement.json", "--request", "-", "--json")
    assert (ran.code, ran.json()["decision"]) == (0, "permit")


@pytest.mark.parametrize("purpose", ["[/x]", "[bold]b", ":heart:", "x\x07y", "a\u202eb"])
def test_what_is_shown_is_neither_markup_nor_a_control_sequence(
    tds: Tds, inputs: Path, purpose: str
) -> None:
    ran = ask(tds, "agreement.json", request(purpose=purpose))
    assert ran.code in (1, 2)
    shown = ran.out + ran.err
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "❤" not in shown


AT = ("--at", "2026-06-01T00:00:00Z")


def test_a_policy_is_checked(tds: Tds, inputs: Path) -> None:
    ran = tds("policy", "check", "agreement.json", *AT)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "agreement.json: a valid Agreement, permissions: 1, prohibitions: 1\n"
    found = tds("policy", "check", "agreement.json", *AT, "--json").json()
    assert found["ok"] is True
    (file,) = found["files"]
    assert file["policy"]["@id"] == json.loads(profile_agreement())["@id"]
    assert file["findings"] == []


def test_what_cannot_be_meant_is_found(tds: Tds, inputs: Path) -> None:
    late = tds("policy", "check", "agreement.json", *AT, "--until", "2027-01-01T00:00:00Z")
    assert late.code == 0
    assert "warning at $: nothing is permitted from 2026-12-31T16:00:00.000Z on" in late.out
    gone = tds("policy", "check", "agreement.json", "--at", "2027-01-01T00:00:00Z", "--json")
    assert gone.code == 1
    assert [one["code"] for one in gone.json()["files"][0]["findings"]] == ["expired"]


def test_every_file_is_checked_though_one_is_refused(tds: Tds, inputs: Path) -> None:
    ran = tds("policy", "check", "no-json.json", "agreement.json", "bad-operand.json", *AT)
    assert ran.code == 2
    assert ran.out.startswith("agreement.json: a valid Agreement")
    assert [line.split(": ")[1] for line in ran.err.splitlines()] == [
        "no-json.json",
        "bad-operand.json",
    ]
    found = tds("policy", "check", "no-json.json", "agreement.json", *AT, "--json").json()
    assert [one["ok"] for one in found["files"]] == [False, True]
    assert found["ok"] is False


@pytest.mark.parametrize(
    ("change", "code", "verdict", "decisions"),
    [
        (lambda d: None, 0, "compatible", ("permit", "permit")),
        (
            lambda d: d["prohibition"][0]["constraint"][0].update(rightOperand=["CN-GD"]),
            *(1, "conflict", ("permit", "deny")),
        ),
        (
            lambda d: d["permission"][0]["constraint"][0].update(rightOperand="marketing"),
            *(1, "conflict", None),
        ),
        (
            lambda d: d["permission"][0]["constraint"][0].update(rightOperand="genomics"),
            *(1, "unknown", None),
        ),
    ],
    ids=["equal", "prohibited", "disjoint", "unlisted"],
)
def test_two_policies_are_compared_and_the_witness_can_be_tried(
    tds: Tds,
    inputs: Path,
    change: Callable[[dict[str, Any]], None],
    code: int,
    verdict: str,
    decisions: tuple[str, str] | None,
) -> None:
    Path("b.json").write_text(changed(change), encoding="utf-8")
    ran = tds("policy", "compare", "agreement.json", "b.json", "--json")
    assert (ran.code, ran.err) == (code, "")
    found = ran.json()
    assert found["verdict"] == verdict
    people = tds("policy", "compare", "agreement.json", "b.json")
    assert people.code == code
    assert people.out.startswith(f"{verdict}: ")
    assert (found["witness"] is None) == (decisions is None)
    if decisions is not None:
        tried = [
            ask(tds, policy, found["witness"], "--json").json()["decision"]
            for policy in ("agreement.json", "b.json")
        ]
        assert tuple(tried) == decisions


def test_a_drafted_contract_passes_the_check_and_permits(tds: Tds, desk: Path) -> None:
    drafted = tds(
        *("contract", "draft", "clinic/biopsies", "--owner", "clinic", "--consumer", "consortium"),
        *("--purpose", "medical-research", "--uses", "7", "--out", "draft.json"),
    )
    assert (drafted.code, drafted.err) == (0, "")
    assert tds("policy", "check", "draft.json").code == 0

    def tried(masks: str = "governance", **changes: int) -> int:
        asked = request(target="clinic/biopsies", secureAggregation=masks, **changes)
        return ask(tds, "draft.json", asked).code

    assert tried(minParticipants=2, count=7) == 0
    assert tried(minParticipants=2, count=8) == 1
    assert tried(minParticipants=1, count=7) == 1
    assert tried("pairwise", minParticipants=2, count=7) == 0
    assert tried("none", minParticipants=2, count=7) == 1
