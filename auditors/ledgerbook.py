"""What a replay has added up by the log's end: accounts, vouchers, and how each run went.

Made of what `auditors.wholelog` took in, so that no figure in it is governance's own: uses,
seconds, losses and payments are those of the logged permits and receipts, limits those of the
logged agreements. Where the replay named no fault, governance counted the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from auditors.register import Concluded
from policies.account import Amounts, Voucher
from policies.odrl import Agreement
from policies.rules import Constraint, Rule
from policies.values import Right

_LIMITED: Final = ("count", "meteredTime", "epsilon")
_UPPER: Final = ("lt", "lteq", "eq")


@dataclass(frozen=True, slots=True)
class AgreementBook:
    """What was used under one agreement.

    Attributes:
        entry: log index of `AgreementConcluded`.
        withdrawn: time of the consent's end, and `withdrawn_entry` its log index; None while it
            stands.
        spent: settled and outstanding; what counts against the limits but that of ε.
        given: all that was set aside of the product, under this agreement and all others; what
            counts against a limit of ε.
        outstanding: permits that are neither answered nor closed nor abandoned.
        first: when the first permit under it was issued.
        limits: operator and right value, such as ("lteq", 3), by left operand: those of `count`,
            `meteredTime` (seconds) and `epsilon` that every permission bounds from above; where
            several permissions do, the widest.
    """

    agreement: str
    owner: str
    consumer: str
    product: str
    entry: int
    withdrawn: str | None
    withdrawn_entry: int | None
    spent: Amounts
    given: Amounts
    outstanding: int
    first: datetime | None
    limits: Mapping[str, tuple[str, Right]]

    @property
    def epsilon_limit(self) -> Decimal | None:
        """What the agreement allows at most; None where it names no such limit."""
        found = self.limits.get("epsilon")
        return found[1] if found is not None and isinstance(found[1], Decimal) else None


@dataclass(frozen=True, slots=True)
class VoucherBook:
    """A voucher; `entry` is the log index of `VoucherIssued`."""

    voucher: str
    consumer: str
    entry: int
    amount: Decimal
    spent: Decimal

    @property
    def left(self) -> Decimal:
        """What can still be reserved from it."""
        return self.amount - self.spent


@dataclass(frozen=True, slots=True)
class Link:
    """One close of a run, and the model after it.

    Attributes:
        entry: log index of `RoundClosed`.
        result: whether it had a quorum; if not, the model is the one before.
        accepted: receipts that are in it.
    """

    entry: int
    kind: str
    round: int
    model: str
    result: bool
    accepted: int


@dataclass(frozen=True, slots=True)
class RunBook:
    """How a run went.

    Attributes:
        entry: log index of `RunOpened`.
        state: OPEN, or as `RunEnded` says.
        rounds: training rounds that are closed, of `planned`.
        decisions, permits, receipts, refused, abandoned: how many there are of each.
        chain: its closes, in the log's order.
    """

    run: str
    consumer: str
    purpose: str
    app: str
    agreements: tuple[str, ...]
    entry: int
    state: str
    planned: int
    rounds: int
    decisions: int
    permits: int
    receipts: int
    refused: int
    abandoned: int
    chain: tuple[Link, ...]

    @property
    def model(self) -> str:
        """Digest of the model after the last close; "" before the first."""
        return self.chain[-1].model if self.chain else ""


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that was added up; by id, in the log's order.

    Attributes:
        size: entries that it is made of.
    """

    size: int
    agreements: Mapping[str, AgreementBook]
    vouchers: Mapping[str, VoucherBook]
    runs: Mapping[str, RunBook]


NOTHING: Final = Book(0, {}, {}, {})


def agreement_book(one: Concluded, given: Amounts) -> AgreementBook:
    """One agreement's page; `given` is its product's."""
    agreement, account = one.agreement, one.account
    return AgreementBook(
        agreement=agreement.id,
        owner=agreement.assigner,
        consumer=agreement.assignee,
        product=agreement.target,
        entry=one.entry,
        withdrawn=one.withdrawn,
        withdrawn_entry=one.withdrawn_entry,
        spent=account.total,
        given=given,
        outstanding=len(account.outstanding),
        first=account.first,
        limits=_limits(agreement),
    )


def voucher_book(voucher: Voucher, entry: int) -> VoucherBook:
    """One voucher's page."""
    return VoucherBook(voucher.id, voucher.consumer, entry, voucher.amount, voucher.spent)


def _limits(agreement: Agreement) -> dict[str, tuple[str, Right]]:
    found: dict[str, tuple[str, Right]] = {}
    for operand in _LIMITED:
        bounds = [_bound(rule, operand) for rule in agreement.permissions]
        known = [one for one in bounds if one is not None]
        if known and len(known) == len(bounds):
            found[operand] = max(known, key=_width)
    return found


def _bound(rule: Rule, operand: str) -> tuple[str, Right] | None:
    """The tightest upper bound that a permission puts on an operand, outside of any logic."""
    bounds = [
        (one.operator, one.right)
        for one in _comparisons(rule)
        if one.operand == operand and one.operator in _UPPER
    ]
    return min(bounds, key=_width) if bounds else None


def _comparisons(rule: Rule) -> Iterable[Constraint]:
    return (one for one in rule.constraints if isinstance(one, Constraint))


def _width(bound: tuple[str, Right]) -> tuple[Decimal, bool]:
    """A bound that excludes its own value is tighter than one that does not."""
    operator, right = bound
    assert isinstance(right, int | Decimal)  # the operands are numbers, as their rows say
    return Decimal(right), operator != "lt"
