"""Properties of accounts: a limit that every reservation kept is kept whatever is settled later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from policies.account import NOTHING, Account, Amounts
from policies.privacy_loss import NO_LOSSES, Event, Losses, loss_of, parse_losses

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
SAMPLES = [Decimal(1), Decimal("0.25")]


def together(them: list[Event | None]) -> Losses:
    total = NO_LOSSES
    for one in them:
        total = total.plus(loss_of(one))
    return total


decimals = st.decimals(min_value=0, max_value=Decimal("999999999999999999"), places=18)
events = st.builds(Event, st.sampled_from([Decimal(1), Decimal("2.5")]), st.sampled_from(SAMPLES))
losses = st.lists(st.sampled_from([None]) | events, max_size=4).map(together)
amounts = st.builds(
    Amounts,
    uses=st.integers(0, 3),
    metered_s=st.integers(0, 100),
    losses=losses,
    paid=decimals,
)
parts = st.fractions(0, 1, max_denominator=10)


def part_of(whole: Amounts, part: Fraction) -> Amounts:
    """What a receipt may prove of a reservation: nothing, or fewer seconds, or all of it."""
    if part == 0:
        return NOTHING
    return replace(whole, metered_s=whole.metered_s * part.numerator // part.denominator)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["reserve", "commit", "keep"]), amounts, parts)),
    limit=amounts,
)
def test_no_limit_is_exceeded_whatever_is_settled_in_whatever_order(
    steps: list[tuple[str, Amounts, Fraction]], limit: Amounts
) -> None:
    account, permits = Account(), 0
    for step, wanted, part in steps:
        before = account.total
        if step == "reserve":
            if not account.left(wanted).within(limit):
                continue
            permits += 1
            account = account.reserve(f"permit-{permits}", wanted, at=NOW)
            assert account.total == before.plus(wanted)
        elif account.outstanding:
            permit = sorted(account.outstanding)[part.numerator % len(account.outstanding)]
            reserved = account.outstanding[permit]
            if step == "keep":
                account = account.keep(permit)
                assert account.total == before
            else:
                actual = part_of(reserved, part)
                account = account.commit(permit, actual)
                assert account.total.plus(reserved) == before.plus(actual)
            assert permit not in account.outstanding
        assert account.total.within(limit)
        assert account.committed.within(account.total)


@given(st.lists(amounts))
def test_sums_are_exact(them: list[Amounts]) -> None:
    total = NOTHING
    for one in them:
        total = total.plus(one)
    for event, count in total.losses.events:
        assert count == sum(dict(one.losses.events).get(event, 0) for one in them)
    assert total.losses.unbounded == sum(one.losses.unbounded for one in them)
    assert parse_losses(str(total.losses)) == total.losses
    assert Fraction(total.paid) == sum(Fraction(one.paid) for one in them)
