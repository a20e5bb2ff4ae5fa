"""Figures that leave a node: rounded, bounded, spelled in one way, and how many bits they carry.

A figure is a covert channel: an app may choose it. It can choose from four significant digits of a
magnitude from 10^-6 to 10^9, or from what of that it has declared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Final

from clients.errors import EgressRefused

MAX_METRICS: Final = 16

SIGNIFICANT_DIGITS: Final = 4
"""To how many a figure is rounded."""

LARGEST: Final = Decimal(10**9)
SMALLEST: Final = Decimal("1e-6")
"""A figure's magnitude: a larger one is refused, a smaller one leaves as 0."""

_MANTISSAS: Final = 9 * 10 ** (SIGNIFICANT_DIGITS - 1)
_FIRST: Final = 10 ** (SIGNIFICANT_DIGITS - 1)


def rounded(name: str, value: float | int) -> Decimal:
    """The figure as it may leave.

    Raises:
        EgressRefused: it is no finite number, or too large; its name, and nothing of its value.
    """
    where = f"metric {name!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EgressRefused(f"{where}: expected a number, got something else")
    if isinstance(value, float) and not math.isfinite(value):
        raise EgressRefused(f"{where}: expected a finite number, got one that is not")
    # Of a float what it is written as, not the binary fraction behind it.
    exact = Decimal(int(value)) if isinstance(value, int) else Decimal(repr(float(value)))
    figure = Context(prec=SIGNIFICANT_DIGITS).plus(exact)
    if abs(figure) > LARGEST:
        raise EgressRefused(f"{where}: expected a number within {LARGEST}, got a larger one")
    return figure if abs(figure) >= SMALLEST else Decimal(0)


def spelled(figure: Decimal) -> str:
    """The one spelling of a rounded figure."""
    return format(figure.normalize(), "f") if figure else "0"


def spellings(least: Decimal = -LARGEST, most: Decimal = LARGEST) -> int:
    """How many figures may leave from `least` to `most`, both included."""
    count = 1 if least <= 0 <= most else 0
    for low, high in ((least, most), (-most, -least)):
        if high > 0:
            count += _up_to(high) - (_up_to(low, itself=False) if low > 0 else 0)
    return count


def metric_bits(choices: Iterable[int]) -> int:
    """How many bits figures carry at most, each absent or one of so many, rounded up."""
    widest = sorted(choices, reverse=True)[:MAX_METRICS]
    return math.ceil(sum(math.log2(count + 1) for count in widest))


def _up_to(bound: Decimal, *, itself: bool = True) -> int:
    """How many positive figures are at most (or, without `itself`, less than) a positive bound."""
    if bound < SMALLEST:
        return 0
    bound = min(bound, LARGEST)
    decades = bound.adjusted() - SMALLEST.adjusted()
    mantissa = bound.scaleb(SIGNIFICANT_DIGITS - 1 - bound.adjusted())
    whole = int(mantissa.to_integral_value(ROUND_FLOOR))
    reached = itself or whole != mantissa
    return decades * _MANTISSAS + whole - _FIRST + (1 if reached else 0)
