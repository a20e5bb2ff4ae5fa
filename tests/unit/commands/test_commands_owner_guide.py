"""The constraints that docs/data-owner.md shows are an offer's, and decide as its text says."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import commands
from commands.contract_draft import draft_offer
from policies.authoring import check
from policies.cohort import Candidate, Verdict, decide_round
from policies.evaluate import Request, Value
from policies.odrl import Offer, agreement_from_offer, parse_datetime, parse_offer
from policies.privacy import Privacy, SecureSum
from policies.privacy_facts import fewest_opened, privacy_facts

PAGE = Path(commands.__path__[0]).parent / "docs" / "data-owner.md"
NOISY: dict[str, Any] = {
    "unit": "record",
    "parts": 16,
    "sample": "1",
    "noise": "1",
    "by": "nodes",
    "tolerated": 0,
    "delta": "0.00001",
}


def block(kind: str, name: str) -> str:
    found = re.search(rf"```{kind} {name}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found, f"data-owner.md has no block {name!r}"
    return found[1]


def offer(*names: str) -> Offer:
    more = [one for name in names for one in json.loads(block("json", name))]
    drafted = draft_offer(
        owner="clinic", purpose="medical-research", uses=9, participants=1, more=more
    )
    return parse_offer(json.dumps(drafted).encode())


def decide(
    asked: Offer,
    *,
    mode: SecureSum = "none",
    clip: str = "",
    least: int = 1,
    privacy: dict[str, Any] | None = None,
    epsilon: str = "",
) -> Verdict:
    """Of one of five that take part under the same terms."""
    state = {
        "purpose": Value("medical-research", "run"),
        "count": Value(1, "ledger"),
        **privacy_facts(mode, Privacy.from_json(privacy) if privacy else None, "run"),
    }
    if clip:
        state["clipNorm"] = Value(Decimal(clip), "run")
    if privacy:
        state["delta"] = Value(Decimal(privacy["delta"]), "run")
    if epsilon:
        state["epsilon"] = Value(Decimal(epsilon), "ledger")
    agreement = agreement_from_offer(
        asked,
        id="urn:uuid:1",
        target="t",
        assigner="clinic",
        assignee="consortium",
        timestamp=parse_datetime("2026-06-01T00:00:00Z", "$"),
    )
    request = Request("t", "consortium", "train")
    candidates = [Candidate(f"clinic-{n}", "t", agreement, (), state, request) for n in range(5)]
    opened = fewest_opened(mode, least)
    return decide_round(candidates, min_cohort=least, opened=opened).verdicts[0]


@pytest.mark.parametrize("names", [("masks",), ("noise",), ("budget",), ("masks", "noise")])
def test_a_shown_policy_has_nothing_to_mend(names: tuple[str, ...]) -> None:
    assert [one for one in check(offer(*names)) if one.severity != "note"] == []


@pytest.mark.parametrize(
    ("terms", "codes"),
    [
        ({"mode": "governance", "clip": "1", "least": 3}, ["permitted"]),
        ({"mode": "pairwise", "clip": "10", "least": 4}, ["permitted"]),
        ({}, ["secure-sum-not-allowed", "unknown-value"]),
        ({"clip": "1"}, ["secure-sum-not-allowed"]),
        ({"mode": "governance", "clip": "11", "least": 3}, ["clip-norm-not-allowed"]),
        ({"mode": "governance", "clip": "1", "least": 2}, ["too-few-participants"]),
    ],
)
def test_masks(terms: dict[str, Any], codes: list[str]) -> None:
    verdict = decide(offer("masks"), **terms)
    assert [reason.code for reason in verdict.reasons] == codes


def test_the_refusal_that_is_shown_is_the_one_that_is_given() -> None:
    refused = decide(offer("masks"), clip="1").reasons[0].text
    assert refused.startswith(block("text", "refused").strip())


@pytest.mark.parametrize(
    ("privacy", "codes"),
    [
        (NOISY, ["permitted"]),
        (NOISY | {"unit": "subject", "noise": "3"}, ["permitted"]),
        (NOISY | {"noise": "0.99"}, ["noise-not-allowed"]),
        (NOISY | {"by": "governance"}, ["noise-by-not-allowed"]),
        (None, ["noise-not-allowed", "privacy-unit-not-allowed", "noise-by-not-allowed"]),
    ],
)
def test_noise(privacy: dict[str, Any] | None, codes: list[str]) -> None:
    verdict = decide(offer("noise"), mode="governance", clip="1", privacy=privacy)
    assert [reason.code for reason in verdict.reasons] == codes


@pytest.mark.parametrize(
    ("privacy", "epsilon", "codes"),
    [
        (NOISY, "8", ["permitted"]),
        (NOISY, "8.000001", ["epsilon-exhausted"]),
        (NOISY | {"delta": "0.0001"}, "8", ["delta-not-allowed"]),
        (None, "", ["unknown-value", "unknown-value", "privacy-unit-not-allowed"]),
    ],
)
def test_a_budget(privacy: dict[str, Any] | None, epsilon: str, codes: list[str]) -> None:
    verdict = decide(offer("budget"), mode="governance", clip="1", privacy=privacy, epsilon=epsilon)
    assert [reason.code for reason in verdict.reasons] == codes
