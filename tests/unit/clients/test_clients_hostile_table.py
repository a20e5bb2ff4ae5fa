"""The table of docs/security.md and the hostile suite name each other."""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from pathlib import Path

import clients
from clients.figures import MAX_METRICS, metric_bits, spellings

HERE = Path(__file__).parent
SECURITY = Path(clients.__path__[0]).parent / "docs" / "security.md"
SUITE = (
    "test_clients_hostile.py",
    "test_clients_hostile_kills.py",
    "test_clients_hostile_private.py",
)


NO_ATTACKS = {"test_the_table_has_every_step_of_the_worker"}


def section() -> str:
    text = SECURITY.read_text(encoding="utf-8")
    return text[text.index("**Apps that cheat.**") : text.index("**Who must be trusted")]


def suite() -> set[str]:
    return {
        item.name
        for file in SUITE
        for item in ast.parse((HERE / file).read_text(encoding="utf-8")).body
        if isinstance(item, ast.FunctionDef) and item.name.startswith("test_")
        if item.name not in NO_ATTACKS
    }


def test_every_row_names_a_test_and_every_test_has_a_row() -> None:
    rows = [line for line in section().splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]
    assert all(len(tests) == 1 for tests in named), rows
    assert {tests[0] for tests in named} == suite()


def test_the_bits_that_figures_carry_are_those_of_the_code() -> None:
    words = " ".join(section().split())
    one, four, most = (metric_bits([spellings()] * count) for count in (1, 4, MAX_METRICS))
    assert f"at most {one} bits a round" in words
    assert f"({metric_bits([spellings(Decimal(0), Decimal(1))])} bits from 0 to 1)" in words
    assert f"{four} bits for four figures, {most} for sixteen" in words
