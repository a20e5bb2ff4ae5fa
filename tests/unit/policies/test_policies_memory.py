"""A memory of evaluations: it sees every change of a value, and is bounded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from policies_rules import agreement, rule

from policies import memory
from policies.evaluate import Request, Value, evaluate
from policies.memory import Memory

COUNT = agreement(rule("train", "count lteq 5", "epsilon lteq 1"))
WISH = Request("t", "consortium", "train")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Value(1, "a"), Value(2, "a")),
        (Value(1, "a"), Value(1, "b")),
        (Value(1, "a"), Value(True, "a")),
        (Value(1, "a"), None),
        (None, Value(1, "a")),
    ],
)
def test_any_change_of_a_value_is_seen(before: Value | None, after: Value | None) -> None:
    remembering = Memory()
    epsilon = {"epsilon": Value(Decimal("0.5"), "x")}
    for value in (before, after, before):
        known = epsilon | ({} if value is None else {"count": value})
        expected = evaluate(COUNT, WISH, known)
        assert remembering.evaluate(COUNT, WISH, known).document() == expected.document()


def test_it_forgets_rather_than_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_KEPT", 3)
    remembering = Memory()
    for number in range(10):
        wish = Request(f"t{number}", "consortium", "train")
        assert remembering.evaluate(COUNT, wish, {}) == evaluate(COUNT, wish, {})
        kept: Any = remembering._kept
        assert len(kept) <= 3
