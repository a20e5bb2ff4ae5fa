"""What a replay adds up: governance counts the same, and limits are those that were agreed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import open_run, read, space, tell, whole_round, write
from server_site import CONSUMER, agreement_document, new_node

from auditors.ledgerbook import Book, agreement_book
from auditors.register import Concluded
from auditors.shares import replay_log
from policies.account import NOTHING, Amounts
from policies.canonical import canonical_bytes
from policies.odrl import parse_agreement
from policies.privacy_loss import loss_of


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Of a run of two rounds and its evaluation, in which beta withdraws, and of a stopped one."""
    folder = tmp_path_factory.mktemp("book")
    with space(folder / "space") as site:
        tell(site)
        found = replay_log(write(folder, read(site)), jobs=1)
    assert found.violations == ()
    return found.book


def test_what_was_spent_under_each_agreement(book: Book) -> None:
    uses = {id: (one.spent.uses, one.outstanding) for id, one in book.agreements.items()}
    assert uses == {
        "agreement-alpha": (0, 0),
        "agreement-beta": (2, 0),
        "agreement-gamma": (4, 0),
        "limited": (3, 0),
    }
    gamma = book.agreements["agreement-gamma"]
    # Two of its four permits were never answered: all 30 seconds of each count.
    assert gamma.spent == Amounts(4, 60, loss_of(None, 4), Decimal(8))
    assert (gamma.withdrawn, gamma.epsilon_limit, gamma.limits) == (None, None, {})
    assert book.agreements["limited"].limits == {"count": ("lteq", 3)}


def test_a_withdrawal_names_its_entry(book: Book) -> None:
    beta = book.agreements["agreement-beta"]
    assert beta.withdrawn is not None
    assert beta.withdrawn_entry is not None
    assert beta.entry < beta.withdrawn_entry < book.size


def test_what_vouchers_have_left(book: Book) -> None:
    found = [(one.amount, one.spent, one.left) for one in book.vouchers.values()]
    assert found == [
        (Decimal(100), Decimal(18), Decimal(82)),
        (Decimal(1), Decimal(0), Decimal(1)),
    ]


def test_how_each_run_went(book: Book) -> None:
    done, stopped = book.runs.values()
    assert (done.state, done.rounds, done.planned) == ("COMPLETED", 2, 2)
    counts = (done.decisions, done.permits, done.receipts, done.refused, done.abandoned)
    assert counts == (4, 4, 5, 0, 1)
    assert [(one.kind, one.round, one.accepted) for one in done.chain] == [
        ("train", 1, 2),
        ("train", 2, 2),
        ("evaluate", 3, 1),
    ]
    assert done.model == done.chain[1].model, "an evaluation changes nothing"
    assert (stopped.state, stopped.chain, stopped.model) == ("STOPPED", (), "")


def test_governance_counts_the_same(tmp_path: Path) -> None:
    with space(tmp_path / "space") as site:
        run = open_run(site)
        whole_round(site, run, "first")
        counted = site.uses()
        found = replay_log(site.space.log_folder, jobs=1).book
        view = site.governance.runs.get(CONSUMER, run)
    assert {id: one.spent.uses for id, one in found.agreements.items()} == counted
    assert found.runs[run].model == view.row.model
    assert found.runs[run].chain[-1].entry == view.row.last_close


def number(left: str, operator: str, value: str, kind: str = "decimal") -> dict[str, Any]:
    right = {"@value": value, "@type": f"xsd:{kind}"}
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


@pytest.mark.parametrize(
    ("permissions", "limits"),
    [
        ([[]], {}),
        ([[number("epsilon", "lteq", "1.5")]], {"epsilon": ("lteq", Decimal("1.5"))}),
        (
            [[number("epsilon", "lteq", "2"), number("epsilon", "lt", "2")]],
            {"epsilon": ("lt", Decimal(2))},
        ),
        ([[number("epsilon", "lteq", "2")], []], {}),
        (
            [[number("epsilon", "lteq", "2")], [number("epsilon", "lteq", "3")]],
            {"epsilon": ("lteq", Decimal(3))},
        ),
        ([[number("count", "gteq", "2", "integer")]], {}),
        ([[{"or": [number("epsilon", "lteq", "2")]}]], {}),
        ([[number("meteredTime", "lteq", "PT1M", "duration")]], {"meteredTime": ("lteq", 60)}),
    ],
)
def test_a_limit_is_what_every_permission_bounds(
    permissions: list[list[dict[str, Any]]], limits: dict[str, object]
) -> None:
    document = agreement_document(new_node("alpha"), datetime(2026, 1, 1, tzinfo=UTC))
    document["permission"] = [
        {"action": "use"} | ({"constraint": one} if one else {}) for one in permissions
    ]
    agreement = parse_agreement(canonical_bytes(document))
    page = agreement_book(Concluded(agreement, "", "alpha", 0), NOTHING)
    assert page.limits == limits
    epsilon = limits.get("epsilon")
    assert page.epsilon_limit == (epsilon[1] if isinstance(epsilon, tuple) else None)
    assert replace(page, limits={}).epsilon_limit is None
