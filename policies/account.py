"""What was used under an agreement and what is set aside for uses that are under way, without I/O.

An account counts uses, metered seconds, privacy losses and paid voucher units. Each use passes
through two steps: its amounts are reserved under the id of its permit when it is decided, and
settled when its receipt comes (`commit`) or never will (`keep`). What a policy sees as the left
value of a use that is being decided is `left`: committed, outstanding reservations, and this use's
own.

Invariants, for each of the four amounts (losses are ordered by inclusion):

    1  total = committed + outstanding; neither is ever negative
    2  `reserve` raises the total by the reservation; `keep` leaves it; `commit` lowers it by what
       was reserved and not used, and by nothing else
    3  a permit is reserved at most once and settled at most once, with at most what was reserved
    4  so if each reservation was made only where `left` was within a limit, then whatever is
       settled later, in whatever order, the total stays within that limit
    5  sums are exact: an addition that would round is an error, never a rounded value

A voucher is prepaid: its balance falls when a payment is reserved and never rises again, since a
reply that never came may have been a use. Privacy losses are kept as they are, each event of them
(`policies.privacy_loss`): what they amount to together is no sum, and what a limit of ε is held to
is the losses of the product under all its agreements (`policies.left_values`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Rounded
from types import MappingProxyType
from typing import Final

from policies.errors import AccountError
from policies.privacy_budget import epsilon
from policies.privacy_loss import NO_LOSSES, Losses

ZERO: Final = Decimal(0)
_EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow, Rounded])
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What one use takes, or many together; none is negative.

    Attributes:
        uses: number of uses.
        metered_s: seconds of use.
        losses: of privacy.
        paid: voucher units.
        delta: the smallest δ that any of them is accounted at; None where none states one.
    """

    uses: int = 0
    metered_s: int = 0
    losses: Losses = NO_LOSSES
    paid: Decimal = ZERO
    delta: Decimal | None = None

    def __post_init__(self) -> None:
        if self.uses < 0 or self.metered_s < 0 or self.paid < 0:
            raise AccountError(f"amounts: expected none below 0, got {self}")

    def plus(self, other: Amounts) -> Amounts:
        """The sum, exact."""
        return Amounts(
            self.uses + other.uses,
            self.metered_s + other.metered_s,
            self.losses.plus(other.losses),
            _EXACT.add(self.paid, other.paid),
            min((one for one in (self.delta, other.delta) if one is not None), default=None),
        )

    def within(self, other: Amounts) -> bool:
        """Whether no amount is larger than the other's."""
        return (
            self.uses <= other.uses
            and self.metered_s <= other.metered_s
            and self.losses.within(other.losses)
            and self.paid <= other.paid
        )

    @property
    def epsilon(self) -> Decimal | None:
        """ε of all these losses at `delta`; None where no bound is known."""
        if self.losses == NO_LOSSES:
            return ZERO
        return epsilon(self.losses, self.delta) if self.delta is not None else None


NOTHING: Final = Amounts()


@dataclass(frozen=True, slots=True)
class Account:
    """The account of one agreement.

    Attributes:
        committed: of uses that are settled.
        outstanding: reserved and not settled, by id of the permit.
        first: when the first permit under the agreement was issued; None before it.
    """

    committed: Amounts = NOTHING
    outstanding: Mapping[str, Amounts] = field(default_factory=lambda: MappingProxyType({}))
    first: datetime | None = None

    @property
    def total(self) -> Amounts:
        """Committed and outstanding: what counts against every limit."""
        total = self.committed
        for amounts in self.outstanding.values():
            total = total.plus(amounts)
        return total

    def left(self, amounts: Amounts) -> Amounts:
        """The left values of a use that would reserve these amounts."""
        return self.total.plus(amounts)

    def reserve(self, permit: str, amounts: Amounts, *, at: datetime) -> Account:
        """Set the amounts of one use aside.

        Args:
            at: when the permit was issued, aware.

        Raises:
            AccountError: the permit has an outstanding reservation.
        """
        if permit in self.outstanding:
            raise AccountError(f"{permit}: expected a permit without a reservation, it has one")
        outstanding = {**self.outstanding, permit: amounts}
        return Account(self.committed, outstanding, self.first or at)

    def commit(self, permit: str, actual: Amounts) -> Account:
        """Settle a use with what its receipt proves; the rest of its reservation is free again.

        Raises:
            AccountError: no such reservation is outstanding, or more was used than reserved.
        """
        reserved = self._reserved(permit)
        if not actual.within(reserved):
            raise AccountError(f"{permit}: expected at most {reserved}, got {actual}")
        rest = {key: value for key, value in self.outstanding.items() if key != permit}
        return Account(self.committed.plus(actual), rest, self.first)

    def keep(self, permit: str) -> Account:
        """Settle a use whose reply never came: whoever held the permit may have used it all.

        Raises:
            AccountError: no such reservation is outstanding.
        """
        return self.commit(permit, self._reserved(permit))

    def elapsed_s(self, now: datetime) -> int | None:
        """Whole seconds since the first permit, 0 if there was none, rounded up.

        Returns:
            None where the clock stands before the first permit: it is not known then.
        """
        if self.first is None:
            return 0
        return whole_seconds(self.first, now)

    def _reserved(self, permit: str) -> Amounts:
        try:
            return self.outstanding[permit]
        except KeyError:
            raise AccountError(f"{permit}: expected an outstanding reservation, got none") from None


@dataclass(frozen=True, slots=True)
class Voucher:
    """Prepaid units of one consumer.

    Attributes:
        amount: what was paid for.
        spent: what was reserved from it so far, whatever became of the uses; at most `amount`.
    """

    id: str
    consumer: str
    amount: Decimal
    spent: Decimal = ZERO

    @property
    def balance(self) -> Decimal:
        """What can still be reserved."""
        return _EXACT.subtract(self.amount, self.spent)

    def covered(self, pays: Decimal) -> int:
        """How many uses at this price, above 0, the balance covers."""
        return int(_EXACT.divide_int(self.balance, pays))

    def spend(self, paid: Decimal) -> Voucher:
        """Take a payment from the balance.

        Raises:
            AccountError: the balance does not cover it, or it is negative.
        """
        if not 0 <= paid <= self.balance:
            raise AccountError(f"voucher {self.id}: expected at most {self.balance}, got {paid}")
        return Voucher(self.id, self.consumer, self.amount, _EXACT.add(self.spent, paid))


def whole_seconds(start: datetime, end: datetime) -> int | None:
    """Seconds from start to end, rounded up; None where the end lies before the start."""
    if end < start:
        return None
    return -((start - end) // _SECOND)


def metered_seconds(started: datetime, finished: datetime, reserved: int) -> int:
    """What a receipt proves of the reserved seconds: those from start to finish, rounded up.

    All of them where the receipt's clock ran backwards, or claims more.
    """
    used = whole_seconds(started, finished)
    return reserved if used is None else min(used, reserved)
