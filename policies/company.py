"""What an agreement may ask of its company: the left values that depend on who else takes part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from policies.odrl import Agreement
from policies.results import Value

_COHORT = "the round's cohort"
OPENED: Final = "the smallest sum that the run may open"
_MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Company:
    """Who takes part, as far as a candidate's policy may ask.

    Attributes:
        participants: distinct ones.
        rows: of all their products.
        possible: those that cannot be ruled out.
        opened: of how many participants at least a sum is that gets opened; None where there are
            no secure sums (`policies.privacy_facts`).
    """

    participants: Mapping[str, int]
    rows: int
    possible: Set[str]
    opened: int | None = None

    def values(self, agreement: Agreement, participant: str, rows: int) -> dict[str, Value]:
        """The left values that depend on the cohort, for one member of it.

        Only what the agreement asks for, and of the participants only those that it names: a
        report would else repeat the whole cohort for each of its members.
        """
        found: dict[str, Value] = {}
        if agreement.thresholds:
            found["minParticipants"] = self._together()
        if agreement.partners:
            here = (name for name in agreement.partners if name in self.participants)
            found["togetherWith"] = Value(_others(here, participant), _COHORT)
        if agreement.rivals:
            maybe = (name for name in agreement.rivals if name in self.possible)
            found["notTogetherWith"] = Value(_others(maybe, participant), _COHORT)
        if agreement.shares and 0 < rows <= self.rows:
            found["rowShare"] = Value(row_share(rows, self.rows), _COHORT)
        return found

    def _together(self) -> Value:
        """Among how many one hides: a secure sum may be opened of fewer than take part."""
        here = len(self.participants)
        if self.opened is not None and self.opened < here:
            return Value(self.opened, OPENED)
        return Value(here, _COHORT)


def _others(names: Iterable[str], participant: str) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name != participant))


def row_share(rows: int, total: int) -> Decimal:
    """A product's share of all rows, rounded up at six digits: never less than it is."""
    return Decimal(-(-rows * _MILLION // total)).scaleb(-6)


def least_total(rows: int, operator: str, limit: Decimal) -> int | None:
    """The fewest rows of a whole cohort in which a product keeps within a limit of its share.

    Args:
        operator: `lt` or `lteq`.

    Returns:
        None where no cohort is large enough, and where the product's rows are not known.
    """
    millionths = Fraction(limit) * _MILLION
    most = -(-millionths // 1) - 1 if operator == "lt" else millionths // 1
    return -(-rows * _MILLION // most) if rows > 0 and most > 0 else None
