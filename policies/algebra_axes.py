"""The left values that matter: for each left operand, finitely many that stand for all others.

How a comparison turns out depends only on how the left value stands to the right values that occur.
So the line of an ordered operand falls into cells, the right values themselves and the gaps
between them, and one value of each cell stands for it; names fall into those that occur, those
related to them, and one that is not. One more value of every axis is `None`: absent, or no value of
the operand at all, which is unknown to every comparison. What is decided for these values is
therefore decided for all.

Values are bits, lowest first; `None` is the highest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from itertools import product
from string import ascii_uppercase
from types import MappingProxyType

from policies.algebra_search import Work
from policies.canonical import MAX_SAFE_INTEGER
from policies.comparison import compare, is_value
from policies.operands import Right
from policies.outcomes import Outcome
from policies.relations import (
    ENVIRONMENTS,
    PRIVACY_UNITS,
    Purposes,
    Relation,
    relate_environments,
    relate_places,
    relate_purposes,
    relate_units,
    same_name,
)
from policies.rows import Kind, Operand

Masks = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scale:
    """An ordered kind as whole numbers.

    Attributes:
        least: the smallest number of a value; a row may ask for more.
        most: the largest one.
        unit: a step that people find natural, for values in gaps.
        anywhere: a natural value where nothing is asked.
    """

    to_number: Callable[[Right], int]
    to_value: Callable[[int], Right]
    least: int
    most: int
    unit: int
    anywhere: int


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DAY = 86_400_000
# The profile's decimals have at most 18 digits on each side of the point.
_DIGITS = 18
_EXACT = Context(prec=4 * _DIGITS)


def _milliseconds(moment: Right) -> int:
    assert isinstance(moment, datetime)
    return (moment - _EPOCH) // _MILLISECOND


def _whole(value: Right) -> int:
    assert isinstance(value, int)
    return value


def _scaled(value: Right) -> int:
    assert isinstance(value, Decimal)
    return int(value.scaleb(_DIGITS, _EXACT))


def _unscaled(number: int) -> Decimal:
    return Decimal(number).scaleb(-_DIGITS, _EXACT).normalize(_EXACT)


_NUMBERS = Scale(_whole, int, 0, MAX_SAFE_INTEGER, 1, 1)
SCALES: Mapping[Kind, Scale] = MappingProxyType(
    {
        Kind.INTEGER: _NUMBERS,
        Kind.DURATION: _NUMBERS,
        Kind.DECIMAL: Scale(
            _scaled, _unscaled, 0, 10 ** (2 * _DIGITS) - 1, 10**_DIGITS, 10**_DIGITS
        ),
        Kind.INSTANT: Scale(
            _milliseconds,
            lambda number: _EPOCH + number * _MILLISECOND,
            _milliseconds(datetime.min.replace(tzinfo=UTC)),
            _milliseconds(datetime.max.replace(tzinfo=UTC)),
            _DAY,
            _milliseconds(datetime(2026, 1, 1, tzinfo=UTC)),
        ),
    }
)


class OrderedAxis:
    """An operand whose values have an order.

    Args:
        rights: every value that it is compared with.
    """

    def __init__(self, row: Operand, rights: Iterable[Right]) -> None:
        self._scale = scale = SCALES[row.kind]
        least = max(scale.least, row.least)
        self._points = points = sorted({scale.to_number(right) for right in rights})
        numbers: list[int | None] = []
        before: int | None = None
        for point in points:
            numbers.append(_between(before, point, scale, least))
            numbers.append(point if least <= point <= scale.most else None)
            before = point
        numbers.append(_between(before, None, scale, least))
        self.values: list[Right | None] = [
            None if number is None else scale.to_value(number) for number in numbers
        ]
        self.known = sum(1 << bit for bit, value in enumerate(self.values) if value is not None)
        self.values.append(None)
        self.full = self.known | 1 << len(numbers)

    def masks(self, operator: str, right: Right) -> Masks:
        """Where the comparison is satisfied, and where it is unsatisfied."""
        point = 1 << 2 * bisect_left(self._points, self._scale.to_number(right)) + 1
        below = point - 1
        satisfied = {
            "lt": below,
            "lteq": below | point,
            "gt": ~(below | point),
            "gteq": ~below,
            "eq": point,
            "neq": ~point,
        }[operator]
        return self.known & satisfied, self.known & ~satisfied


def _between(low: int | None, high: int | None, scale: Scale, least: int) -> int | None:
    """A number above `low` and below `high`, as natural as there is; None where there is none."""
    bottom = least if low is None else max(low + 1, least)
    top = scale.most if high is None else min(high - 1, scale.most)
    if bottom > top:
        return None
    if low is None:
        wish = scale.anywhere if high is None else high - scale.unit
    else:
        wish = low + scale.unit
    return wish if bottom <= wish <= top else (bottom + top + 1) // 2


class NameAxis:
    """An operand whose value is a name.

    Args:
        rights: every name that it is compared with.
        work: what relating the names may cost.
    """

    def __init__(self, row: Operand, rights: Iterable[str], purposes: Purposes, work: Work) -> None:
        self._row = row
        self._purposes = purposes
        self._work = work
        self._found: dict[tuple[str, str], Masks] = {}
        self._outcomes: dict[tuple[str, Relation], Outcome] = {}
        named = list(dict.fromkeys(rights))
        if row.relate is not same_name:
            work.spend(len(named) ** 2)
        self.names = list(_representatives(row, named, purposes))
        self._bits = {name: 1 << bit for bit, name in enumerate(self.names)}
        self.values: list[Right | None] = [*self.names, None]
        self.known = (1 << len(self.names)) - 1
        self.full = self.known << 1 | 1

    def masks(self, operator: str, right: Right) -> Masks:
        """Where the comparison is satisfied, and where it is unsatisfied."""
        if not isinstance(right, tuple):
            return self._single(operator, str(right))
        satisfied, unsatisfied = 0, self.known
        for name in right:
            same, other = self._single("eq", name)
            satisfied |= same
            unsatisfied &= other
        return (satisfied, unsatisfied) if operator == "isAnyOf" else (unsatisfied, satisfied)

    def _single(self, operator: str, right: str) -> Masks:
        found = self._found.get((operator, right))
        if found is None:
            found = self._found[operator, right] = self._compared(operator, right)
        return found

    def _compared(self, operator: str, right: str) -> Masks:
        if self._row.relate is same_name:
            same, other = self._bits[right], self.known & ~self._bits[right]
            return (same, other) if operator == "eq" else (other, same)
        self._work.spend(len(self.names))
        satisfied = unsatisfied = 0
        for name in self.names:
            relation = self._row.relate(name, right, self._purposes)
            outcome = self._outcomes.get((operator, relation))
            if outcome is None:
                outcome = compare(self._row, operator, name, right, self._purposes)
                self._outcomes[operator, relation] = outcome
            if outcome is Outcome.SATISFIED:
                satisfied |= self._bits[name]
            elif outcome is Outcome.UNSATISFIED:
                unsatisfied |= self._bits[name]
        return satisfied, unsatisfied


class FlagAxis:
    """Something that is so or not: a name is in a set, a set is known, a duty is fulfilled."""

    values: Sequence[Right | None] = ("yes", None)
    yes = 1
    no = 2
    full = 3


Axis = OrderedAxis | NameAxis | FlagAxis


def _representatives(row: Operand, rights: list[str], purposes: Purposes) -> Iterator[str]:
    """The names that occur, what is related to them, and one that is not, if the row has one."""
    seen: set[str] = set()
    closed = row.pattern.pattern.split("|") if row.pattern else []
    for name in [*rights, *closed, *_RELATED[row.relate](rights, purposes)]:
        if name not in seen and is_value(row, name):
            seen.add(name)
            yield name
    related = {Relation.EQUAL, Relation.INSIDE, Relation.AROUND}
    for name in _strangers(len(seen)):
        if name in seen or not is_value(row, name):
            continue
        if not any(row.relate(name, right, purposes) in related for right in rights):
            yield name
            return


def _strangers(taken: int) -> Iterator[str]:
    """Names of every form that a row's pattern can ask for, more than can be taken."""
    for index in range(taken + 1):
        yield f"another-{index + 1}"
    for index in range(taken + 1):
        yield f"{index:064x}"
    yield from ("SG", "BR", "DE")
    yield from map("".join, product(ascii_uppercase, repeat=2))


def _nothing(_rights: list[str], _purposes: Purposes) -> Iterable[str]:
    return ()


def _listed(_rights: list[str], purposes: Purposes) -> Iterable[str]:
    return [name for pair in purposes.items() for name in pair if name is not None]


def _environments(_rights: list[str], _purposes: Purposes) -> Iterable[str]:
    return ENVIRONMENTS


def _units(_rights: list[str], _purposes: Purposes) -> Iterable[str]:
    return PRIVACY_UNITS


def _around_and_inside(rights: list[str], _purposes: Purposes) -> Iterator[str]:
    """Every place that a place lies in, and one inside it in which no other that occurs lies."""
    for right in rights:
        steps = right.split("-")
        yield from ("-".join(steps[:length]) for length in range(1, len(steps)))
        inside = (f"{right}-X{index or ''}" for index in range(len(rights) + 1))
        yield next(
            place
            for place in inside
            if not any(f"{other}-".startswith(f"{place}-") for other in rights)
        )


# What a row's names can be related to. A row with a relation of its own needs a line here: without
# one the checks stop with a KeyError, and never overlook a name.
_RELATED: Mapping[
    Callable[[str, str, Purposes], Relation], Callable[[list[str], Purposes], Iterable[str]]
] = MappingProxyType(
    {
        same_name: _nothing,
        relate_purposes: _listed,
        relate_environments: _environments,
        relate_units: _units,
        relate_places: _around_and_inside,
    }
)
