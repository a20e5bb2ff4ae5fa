"""Figures of an evaluation under differential privacy: as numbers that are summed with noise.

The body of such an evaluation's vector (policies.fixedpoint) has one number for each of the
permit's figures, ascending by name. Of the M whose names begin with `eval` it is the sum, over the
parts that were taken, of

    (figure - middle) / half * share * clip_norm / sqrt(M)

so that a part's numbers are within the norm; of the others, which are none of an evaluation's, it
is 0, and so is their weight. A figure that the app does not return counts as its middle. `share` is
1, or 1/2 where a part may have several units (clients.private_use says why). The app declares each
figure's range (clients.declared), which the vector's head states by one number c:

    c > 0    from 0 to 2c          middle c, half c
    c < 0    from c to -c          middle 0, half -c

as the figure, of weight 2^10 * share * the number of parts expected to be taken. Weights and c
follow from what is public; all that depends on the rows is in the body, under the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np

from policies.gaussian import Floats

WEIGHT_BITS: Final = 10
_DIGITS: Final = 6


def span_of(least: Decimal, most: Decimal) -> Decimal:
    """The number c for figures from `least` to `most`, of which they may be a part.

    Raises:
        ValueError: no range.
    """
    if not least < most:
        raise ValueError(f"range: expected the least below the most, got {least} and {most}")
    return most / 2 if least >= 0 else -max(-least, most)


def evaluated(names: Iterable[str]) -> tuple[str, ...]:
    """Those of a permit's figures that are an evaluation's, ascending, each once."""
    return tuple(sorted({name for name in names if name.startswith("eval")}))


def coordinates(
    figures: Mapping[str, Decimal],
    spans: Mapping[str, Decimal],
    names: Sequence[str],
    clip_norm: Fraction,
) -> Floats:
    """A part's numbers; 0 for a figure that it does not have.

    Args:
        figures: within the ranges that the spans state.
        spans: of each of the evaluation's figures.
        names: all of the permit's, ascending, each once.
        clip_norm: times the share.
    """
    found = np.zeros(len(names), dtype=np.float64)
    for place, name in enumerate(names):
        if name in figures and name in spans:
            middle, half = _of(float(spans[name]))
            found[place] = min(1.0, max(-1.0, (float(figures[name]) - middle) / half))
    return found * (float(clip_norm) / math.sqrt(max(1, len(spans))))


def weight_of(expected_parts: float, share: Fraction) -> int:
    """The weight of each figure, for a node that expects to take so many parts; at least 1."""
    return max(1, round(expected_parts * float(share) * (1 << WEIGHT_BITS)))


def means(
    names: Sequence[str],
    body: Floats,
    heads: Mapping[str, tuple[int, Fraction]],
    clip_norm: str,
) -> dict[str, str]:
    """What the opened sum of a private evaluation says: decimal strings of 6 digits.

    Each is moved into its range: noise may have put it outside.

    Args:
        names: the permit's figures, ascending, each once.
        body: their sums, in the model's units.
        heads: of each its weight, and c times the weight, summed (policies.wide_integers).

    Returns:
        A figure that nobody has a weight for is left out.

    Raises:
        ValueError: not one number for each name.
    """
    if body.shape != (len(names),):
        raise ValueError(f"figures: expected {len(names)} numbers, got {body.shape}")
    found = {}
    known = [name for name in names if heads[name][0] and heads[name][1]]
    numbers = dict(zip(names, body.tolist(), strict=True))
    for name in known:
        weight, total = heads[name]
        middle, half = _of(float(total / weight))
        parts = weight / (1 << WEIGHT_BITS)
        unit = numbers[name] * math.sqrt(len(known)) / (float(clip_norm) * parts)
        mean = middle + half * min(1.0, max(-1.0, unit))
        found[name] = format(Decimal(f"{mean:.{_DIGITS}g}").normalize() + 0, "f")
    return found


def _of(c: float) -> tuple[float, float]:
    """Middle and half of a range."""
    return (c, c) if c > 0 else (0.0, -c)
