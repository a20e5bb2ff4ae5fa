"""What was spent under each agreement, added up from permits and receipts.

The one place of the report that computes budgets (`BudgetBook.spent`); a use counts from its permit
on, whether or not a receipt came, and a receipt gives back only the seconds that it did not use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from auditors.report_events import Event, Missing, Permitted, Used
from policies.account import Amounts
from policies.errors import PolicyError
from policies.odrl import Agreement, parse_agreement
from policies.rules import Constraint, Rule
from policies.values import decimal_text

LIMITED: Final = ("count", "meteredTime", "epsilon")
_UPPER: Final = ("lt", "lteq", "eq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What counts against an agreement's limits; decimals as strings.

    Attributes:
        paid: voucher units set aside; `earned` those of uses with an accepted receipt.
    """

    uses: int = 0
    metered_s: int = 0
    epsilon: str = "0"
    paid: str = "0"
    earned: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that an agreement allows; `inclusive` is whether exactly so much may be reached."""

    most: str
    inclusive: bool


class BudgetBook:
    """Takes in what happened, in the log's order."""

    def __init__(self) -> None:
        self._total: dict[str, Amounts] = {}
        self._earned: dict[str, Decimal] = {}

    def take(self, event: Event) -> None:
        """One event; other than permits and their ends change nothing."""
        if isinstance(event, Permitted):
            total = self._total.get(event.whose.agreement, Amounts())
            self._total[event.whose.agreement] = total.plus(_reserved(event))
        elif isinstance(event, Used):
            agreement, member = event.permitted.whose.agreement, event.permitted
            total = self._total[agreement]
            unused = min(max(member.metered_s - event.metered_s, 0), total.metered_s)
            self._total[agreement] = Amounts(
                total.uses, total.metered_s - unused, total.epsilon, total.paid
            )
            earned = self._earned.get(agreement, Decimal(0))
            self._earned[agreement] = earned + Decimal(member.pays)
        elif isinstance(event, Missing):
            return  # what was set aside stays so

    def spent(self, agreement: str) -> Spent:
        """By the events taken in so far."""
        total = self._total.get(agreement, Amounts())
        return Spent(
            uses=total.uses,
            metered_s=total.metered_s,
            epsilon=decimal_text(total.epsilon),
            paid=decimal_text(total.paid),
            earned=decimal_text(self._earned.get(agreement, Decimal(0))),
        )


def _reserved(member: Permitted) -> Amounts:
    return Amounts(1, member.metered_s, Decimal(member.epsilon), Decimal(member.pays))


def read_agreement(document: str) -> Agreement | None:
    """A logged agreement; None where it is not in our profile."""
    try:
        return parse_agreement(document.encode())
    except PolicyError:
        return None


def limits_of(agreement: Agreement) -> Mapping[str, Limit]:
    """The upper limits of uses, seconds and epsilon; of several permissions the widest one's.

    A limit that some permission does not name, or names only among alternatives, is none.
    """
    found: dict[str, Limit] = {}
    for operand in LIMITED:
        bounds = [_bound(rule, operand) for rule in agreement.permissions]
        known = [bound for bound in bounds if bound is not None]
        if known and len(known) == len(bounds):
            widest = max(known, key=_right)
            found[operand] = Limit(
                most=decimal_text(_right(widest)), inclusive=widest.operator != "lt"
            )
    return found


def _bound(rule: Rule, operand: str) -> Constraint | None:
    bounds = [
        part
        for part in rule.constraints
        if isinstance(part, Constraint) and part.operand == operand and part.operator in _UPPER
    ]
    return min(bounds, key=_right) if bounds else None


def _right(constraint: Constraint) -> Decimal:
    right = constraint.right
    return Decimal(right) if isinstance(right, int | Decimal) else Decimal(0)
