"""What a readiness report holds against a product's data, and for how much.

| finding | points | bars |
|---|---|---|
| missing: a used column lacks values | 40 | yes: such a product cannot be opened |
| class-empty: a class of the label has no row | 40 | yes: it cannot be learned |
| rows-few: fewer than 100 rows | 10 | |
| duplicates: more than 1 % / 20 % of the rows | 10 / 30 | |
| imbalance: the largest class has more than 3 / 10 times the rows of the smallest | 5 / 20 | |
| constant: a feature with one value only | 5 each, 20 at most | |
| drift: a feature's stability index above 0.1 / 0.25 | 10 / 20 | |
| label-drift: the label's, likewise | 10 / 20 | |
| schema: features came or went since the earlier version | 5 | |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

FEW_ROWS: Final = 100
STABLE_PSI: Final = 0.1
SHIFTED_PSI: Final = 0.25
MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about the data.

    Attributes:
        points: taken off the score.
        bars: it makes the product not ready.
    """

    code: str
    text: str
    points: int
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature's values, those that are there; `psi` is None without an earlier version."""

    name: str
    least: float
    most: float
    mean: float
    std: float
    psi: float | None


def findings(
    *,
    rows: int,
    missing: Mapping[str, int],
    duplicates: int,
    classes: Mapping[str, int],
    features: Sequence[Feature],
    label_psi: float | None,
    unknown: Sequence[str],
) -> Iterator[Finding]:
    """All findings, by the table above.

    Args:
        missing: cells without a value, by used column.
        classes: rows of each class of the label.
        unknown: features that only one of the two versions has.
    """
    gaps = [name for name, count in missing.items() if count]
    if gaps:
        cells = sum(missing.values())
        text = f"cells without a value: {cells}, in {_named(gaps)}; no node opens such a product"
        yield Finding("missing", text, 40, bars=True)
    empty = [name for name, count in classes.items() if count == 0]
    if empty:
        yield Finding("class-empty", f"no row of {_named(empty)}", 40, bars=True)
    if rows < FEW_ROWS:
        yield Finding("rows-few", f"rows: {rows}, fewer than {FEW_ROWS}", 10)
    if duplicates > rows / 100:
        text = f"rows that repeat another in every used column: {duplicates} of {rows}"
        yield Finding("duplicates", text, 30 if duplicates > rows / 5 else 10)
    ratio = imbalance(classes)
    if ratio is not None and ratio > 3:
        text = f"the largest class has {ratio:.1f} times the rows of the smallest"
        yield Finding("imbalance", text, 20 if ratio > 10 else 5)
    constant = [one.name for one in features if one.least == one.most]
    if constant:
        text = f"one value only in {_named(constant)}"
        yield Finding("constant", text, min(20, 5 * len(constant)))
    moved = [one.name for one in features if one.psi is not None and one.psi > STABLE_PSI]
    most = max((one.psi for one in features if one.psi is not None), default=0.0)
    if moved:
        text = f"moved since the earlier version, at most by {most:.3f}: {_named(moved)}"
        yield Finding("drift", text, 20 if most > SHIFTED_PSI else 10)
    if label_psi is not None and label_psi > STABLE_PSI:
        text = f"the label moved since the earlier version, by {label_psi:.3f}"
        yield Finding("label-drift", text, 20 if label_psi > SHIFTED_PSI else 10)
    if unknown:
        yield Finding("schema", f"not in both versions: {_named(unknown)}", 5)


def imbalance(classes: Mapping[str, int]) -> float | None:
    """Rows of the largest class to those of the smallest; None where a class has none."""
    least = min(classes.values())
    return None if least == 0 else max(classes.values()) / least


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
