"""Accounts: what is reserved, settled and kept, and what a voucher covers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from policies.account import (
    NOTHING,
    Account,
    Amounts,
    Voucher,
    metered_seconds,
    whole_seconds,
)
from policies.errors import AccountError
from policies.privacy_loss import UNBOUNDED, Event, loss_of
from policies.values import decimal_text

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
DELTA = Decimal("0.00001")
ONCE, TWICE = loss_of(Event(Decimal(4))), loss_of(Event(Decimal(4)), 2)
USE = Amounts(1, 30, ONCE, Decimal(10), DELTA)
SHORT = Amounts(1, 12, ONCE, Decimal(10), DELTA)


def test_what_is_under_way_counts_in_full() -> None:
    account = Account().reserve("permit-1", USE, at=NOW)
    assert account.committed == NOTHING
    assert account.total == USE
    assert account.left(USE) == Amounts(2, 60, TWICE, Decimal(20), DELTA)


def test_a_receipt_frees_what_was_not_used() -> None:
    account = Account().reserve("permit-1", USE, at=NOW).commit("permit-1", SHORT)
    assert (account.committed, account.total, account.outstanding) == (SHORT, SHORT, {})


def test_a_reply_that_never_came_stays_spent() -> None:
    account = Account().reserve("permit-1", USE, at=NOW).keep("permit-1")
    assert (account.committed, account.outstanding) == (USE, {})


def test_an_account_is_a_value() -> None:
    first = Account().reserve("permit-1", USE, at=NOW)
    first.commit("permit-1", SHORT)
    first.reserve("permit-2", USE, at=NOW)
    assert first.total == USE


@pytest.mark.parametrize(
    "act",
    [
        lambda account: account.reserve("permit-1", USE, at=NOW),
        lambda account: account.commit("permit-2", SHORT),
        lambda account: account.keep("permit-2"),
        lambda account: account.commit("permit-1", SHORT).commit("permit-1", SHORT),
        lambda account: account.keep("permit-1").commit("permit-1", SHORT),
        lambda account: account.commit("permit-1", Amounts(2, 30, ONCE, Decimal(10))),
        lambda account: account.commit("permit-1", Amounts(1, 31, ONCE, Decimal(10))),
        lambda account: account.commit("permit-1", Amounts(1, 30, TWICE, Decimal(10))),
        lambda account: account.commit("permit-1", Amounts(1, 30, ONCE, Decimal(11))),
    ],
)
def test_nothing_is_settled_twice_or_with_more_than_was_reserved(act: Any) -> None:
    account = Account().reserve("permit-1", USE, at=NOW)
    with pytest.raises(AccountError, match="expected"):
        act(account)


@pytest.mark.parametrize(
    "fields",
    [
        {"uses": -1},
        {"metered_s": -1},
        {"paid": Decimal(-1)},
    ],
)
def test_amounts_below_zero_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(AccountError, match="below 0"):
        Amounts(**fields)


@pytest.mark.parametrize(
    ("amounts", "epsilon"),
    [
        (NOTHING, "0"),
        (USE, "0.926342"),
        (USE.plus(USE), "1.356468"),
        (USE.plus(replace(USE, delta=Decimal("0.001"))), "1.356468"),
        (Amounts(losses=UNBOUNDED), None),
        (USE.plus(Amounts(losses=UNBOUNDED)), None),
    ],
)
def test_the_epsilon_of_an_account_is_at_its_smallest_delta(
    amounts: Amounts, epsilon: str | None
) -> None:
    assert amounts.epsilon == (None if epsilon is None else Decimal(epsilon))


def test_sums_are_exact_at_both_ends() -> None:
    large = Amounts(paid=Decimal("999999999999999999"))
    small = Amounts(paid=Decimal("0.000000000000000001"))
    total = large.plus(small)
    assert decimal_text(total.paid) == "999999999999999999.000000000000000001"
    assert total.plus(small).paid - total.paid == small.paid


def test_time_counts_from_the_first_permit() -> None:
    account = Account()
    assert account.elapsed_s(NOW) == 0
    account = account.reserve("permit-1", USE, at=NOW).reserve("permit-2", USE, at=NOW + _s(50))
    assert account.first == NOW
    assert account.elapsed_s(NOW) == 0
    assert account.elapsed_s(NOW + _s(59.2)) == 60
    assert account.elapsed_s(NOW - _s(0.001)) is None
    assert account.keep("permit-1").elapsed_s(NOW + _s(60)) == 60


@pytest.mark.parametrize(
    ("seconds", "whole"), [(0, 0), (0.001, 1), (1, 1), (1.001, 2), (3600, 3600), (-0.001, None)]
)
def test_seconds_are_rounded_up(seconds: float, whole: int | None) -> None:
    assert whole_seconds(NOW, NOW + _s(seconds)) == whole


@pytest.mark.parametrize(
    ("seconds", "metered"), [(0, 0), (0.4, 1), (29.5, 30), (30, 30), (31, 30), (-1, 30)]
)
def test_a_receipt_proves_at_most_what_was_reserved(seconds: float, metered: int) -> None:
    assert metered_seconds(NOW, NOW + _s(seconds), 30) == metered


def test_a_voucher_never_pays_more_than_it_holds() -> None:
    voucher = Voucher("voucher-1", "consortium", Decimal("2.5"))
    assert voucher.covered(Decimal("0.8")) == 3
    voucher = voucher.spend(Decimal("1.6"))
    assert (voucher.balance, voucher.covered(Decimal("0.8"))) == (Decimal("0.9"), 1)
    for paid in (Decimal("0.91"), Decimal("-0.1")):
        with pytest.raises(AccountError, match="at most"):
            voucher.spend(paid)
    assert voucher.spend(Decimal("0.9")).covered(Decimal("0.000000000000000001")) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0"), ("0.50", "0.5"), ("10", "10"), ("1E+2", "100"), ("0E-18", "0"), ("1.0", "1")],
)
def test_an_amount_has_one_spelling(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
