"""The rounds table says why in a few words; whole sentences stand below it, each once."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from commands.rounds_table import full_reasons, no_results, rounds_view, short_reason, used

LAW = "Crossing needs a filing number: the product has no filing number (baseline cross-border 1.0)"


def out(name: str, code: str, text: str) -> dict[str, Any]:
    return {"participant": name, "outcome": "refused", "code": code, "text": text}


def entry(number: int, *items: dict[str, Any], kind: str = "train") -> dict[str, Any]:
    took = {"participant": "alpha", "outcome": "accepted", "code": "", "text": ""}
    return {
        "round": number,
        "kind": kind,
        "state": "CLOSED",
        "items": [took, *items],
        "metrics": {"eval_loss": "0.5"},
        "decided": "2026-06-01T00:00:00.000Z",
        "closed": "2026-06-01T00:00:01.500Z",
    }


def printed(rounds: list[dict[str, Any]]) -> str:
    console = Console(width=100, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(rounds_view(rounds, title="run r"))
    return capture.get()


@pytest.mark.parametrize(
    ("code", "text", "short"),
    [
        ("purpose-not-allowed", "the purpose is a; the agreement allows b", "purpose not allowed"),
        ("law-cross-border", LAW, "law cross-border"),
        ("competitor-present", "alpha may take part; …", "competitor present"),
        ("consent-withdrawn", "consent to x was withdrawn at …", "consent withdrawn"),
        ("duty-compensate", "the duty to pay … is not fulfilled", "duty to pay for the use"),
        ("duty-unheard-of", "…", "duty unheard of"),
        ("unknown-value", "the pay is not known; the agreement …", "the pay is not known"),
    ],
)
def test_a_reason_is_told_in_a_few_words(code: str, text: str, short: str) -> None:
    assert short_reason(out("beta", code, text)) == short


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"quorum_met": True, "released": ["alpha", "beta"]}, []),
        ({"quorum_met": None, "state": "AUTHORIZED"}, []),
        ({"quorum_met": False, "released": None}, ["round 1 has no result: fewer updates than"]),
        (
            {"quorum_met": False, "released": ["alpha", "beta"]},
            ["round 1 has no result: the masks of alpha, beta were released, but their sum"],
        ),
        ({"quorum_met": False, "kind": "evaluate"}, ["the evaluation has no result: fewer"]),
    ],
)
def test_a_round_without_a_result_says_so(changes: dict[str, Any], told: list[str]) -> None:
    found = no_results([entry(1) | changes])
    assert len(found) == len(told)
    assert all(one.startswith(begin) for one, begin in zip(found, told, strict=True))
    assert all(line in " ".join(printed([entry(1) | changes]).split()) for line in told)


def test_the_table_is_brief_and_each_reason_stands_below_it_once() -> None:
    law = out("beta", "law-cross-border", LAW)
    gone = out("gamma", "consent-withdrawn", "withdrawn at noon")
    again = out("gamma", "consent-withdrawn", "gamma withdrew its consent at noon")
    rounds = [entry(1, law), entry(2, law), entry(3, law, gone), entry(4, law, again)]
    assert full_reasons([*rounds, entry(5, law, again, kind="evaluate")]) == [
        f"beta, from round 1: {LAW}",
        "gamma, from round 3: withdrawn at noon",
    ]
    text = printed(rounds)
    assert text.count("beta: law cross-border") == text.count(LAW[:40]) == 1
    assert text.count("as before") == 3
    assert "beta: as before" in text  # beside somebody whose reason is new


def test_a_reason_that_comes_back_is_told_again() -> None:
    law = out("beta", "law-cross-border", LAW)
    found = full_reasons([entry(1, law), entry(2), entry(3, law, kind="evaluate")])
    assert [line.partition(":")[0] for line in found] == [
        "beta, from round 1",
        "beta, from the evaluation",
    ]


def test_a_table_without_refusals_has_nothing_below_it() -> None:
    assert full_reasons([entry(1)]) == []
    assert printed([entry(1)]).rstrip().endswith("┘")
    assert used(entry(1))
    assert not used({**entry(1), "items": [out("alpha", "no-reply", "none came")]})
