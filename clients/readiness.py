"""How fit a product's data is for training: computed at the node, for its owner's eyes.

Rows, missing values, duplicates, balance of the label, schema, ranges, and drift against the last
registered version of the same product. Of it only the figures leave that the product file names
under `share_readiness`; each is one number, and `shared_figures` is the only way to them.

Drift is the population stability index: over bins i with a share p_i of the values before and q_i
now, the sum of (q_i - p_i) * ln(q_i / p_i). Source: N. Siddiqi, Credit Risk Scorecards (Wiley,
2006), from where the reading is: below 0.1 stable, above 0.25 shifted. It is the symmetric
divergence of H. Jeffreys (1946) between the two; B. Yurdakul, Statistical Properties of Population
Stability Index (Western Michigan University, 2018), gives its distribution. A feature's bins are
the tenths of the values before; a label's are its classes; a share counts as 0.0001 at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from clients.findings import Feature, Finding, findings, imbalance
from clients.product import Product
from clients.summary import ClassSummary, FeatureSummary, Summary
from clients.tablefile import Survey, survey_columns
from policies.canonical import Json
from policies.statements import Share

FLOOR: Final = 1e-4
TENTHS: Final = np.arange(1, 10) / 10

Verdict = Literal["ready", "ready-with-reservations", "not-ready"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """The report; nothing of it leaves the node but `shared_figures`.

    Attributes:
        missing: cells without a value, by column, of every declared column.
        duplicates: rows that repeat an earlier one in every used column.
        classes: rows of each class of the label, in the product file's order.
        compared_with: data version of the summary that drift is against; None if there is none.
        score: 100 without findings, 0 at least.
    """

    product: str
    data_version: int
    rows: int
    missing: Mapping[str, int]
    duplicates: int
    columns: tuple[tuple[str, str, str], ...]
    classes: Mapping[str, int]
    features: tuple[Feature, ...]
    label_psi: float | None
    compared_with: int | None
    findings: tuple[Finding, ...]

    @property
    def score(self) -> int:
        """Points that are left."""
        return max(0, 100 - sum(finding.points for finding in self.findings))

    @property
    def verdict(self) -> Verdict:
        """In a word."""
        if any(finding.bars for finding in self.findings):
            return "not-ready"
        return "ready-with-reservations" if self.findings else "ready"

    def to_json(self) -> dict[str, Json]:
        """The whole report, for the owner; numbers as decimal strings."""
        return {
            "product": self.product,
            "data_version": self.data_version,
            "rows": self.rows,
            "missing": {"total": sum(self.missing.values()), "columns": dict(self.missing)},
            "duplicates": self.duplicates,
            "schema": [
                {"name": name, "type": kind, "role": role} for name, kind, role in self.columns
            ],
            "label": [
                {"class": name, "rows": count, "share": decimal(_share(count, self.classes))}
                for name, count in self.classes.items()
            ],
            "imbalance": _decimal_or_none(imbalance(self.classes)),
            "features": [
                {
                    "name": one.name,
                    "least": exact(one.least),
                    "most": exact(one.most),
                    "mean": exact(one.mean),
                    "std": exact(one.std),
                    "psi": _decimal_or_none(one.psi),
                }
                for one in self.features
            ],
            "drift": {
                "compared_with": self.compared_with,
                "features": _decimal_or_none(_most_psi(self.features)),
                "label": _decimal_or_none(self.label_psi),
            },
            "score": self.score,
            "verdict": self.verdict,
            "reasons": [
                {"code": one.code, "text": one.text, "points": one.points, "bars": one.bars}
                for one in self.findings
            ],
        }


def read_readiness(product: Product, earlier: Summary | None) -> tuple[Readiness, Summary]:
    """Read the product's data and report on it; the summary is what the next version is held to.

    Args:
        earlier: of the last registered version, as the node keeps it.

    Raises:
        VaultError: the data cannot be read as declared; cells without a value are counted.
    """
    survey = survey_columns(product)
    bins = {} if earlier is None else {one.name: one for one in earlier.features}
    features = [
        _feature(column.name, _present(survey, column.name), bins.get(column.name))
        for column in product.features
    ]
    labels = _present(survey, product.label.name).astype(np.int64)
    counts = np.bincount(labels, minlength=len(product.classes))
    classes = dict(zip(product.classes, counts.tolist(), strict=True))
    label_psi = None if earlier is None else _class_psi(earlier.class_rows(), classes)
    missing = {name: int(gaps.sum()) for name, gaps in survey.missing.items()}
    duplicates = survey.rows - survey.distinct
    report = Readiness(
        product=product.id,
        data_version=product.data_version,
        rows=survey.rows,
        missing=missing,
        duplicates=duplicates,
        columns=tuple((one.name, one.type, one.role) for one in product.columns),
        classes=classes,
        features=tuple(features),
        label_psi=label_psi,
        compared_with=None if earlier is None else earlier.data_version,
        findings=tuple(
            findings(
                rows=survey.rows,
                missing={one.name: missing[one.name] for one in (*product.features, product.label)},
                duplicates=duplicates,
                classes=classes,
                features=features,
                label_psi=label_psi,
                unknown=[] if earlier is None else _unknown(product, earlier),
            )
        ),
    )
    return report, _summary(product, survey, classes)


def shared_figures(report: Readiness, names: Iterable[Share]) -> dict[Share, str]:
    """Exactly the figures that the owner agreed to share; one that there is not is left out."""
    figures: dict[Share, float | None] = {
        "rows": report.rows,
        "missing": sum(report.missing.values()),
        "duplicates": report.duplicates,
        "classes": sum(count > 0 for count in report.classes.values()),
        "smallest_class": min(_share(n, report.classes) for n in report.classes.values()),
        "imbalance": imbalance(report.classes),
        "drift": _most_psi(report.features),
        "label_drift": report.label_psi,
        "score": report.score,
    }
    chosen = {name: figures[name] for name in names}
    return {name: decimal(value) for name, value in chosen.items() if value is not None}


def psi(before: npt.NDArray[Any], now: npt.NDArray[Any]) -> float:
    """The population stability index between two counts over the same bins (module docstring)."""
    p = np.maximum(before / max(1, before.sum()), FLOOR)
    q = np.maximum(now / max(1, now.sum()), FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def decimal(value: float) -> str:
    """At most six digits after the point, as cards carry figures."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def exact(value: float) -> str:
    """A float as the shortest text that reads back as it."""
    return repr(float(value))


def _decimal_or_none(value: float | None) -> str | None:
    return None if value is None else decimal(value)


def _share(count: int, classes: Mapping[str, int]) -> float:
    return count / max(1, sum(classes.values()))


def _most_psi(features: Iterable[Feature]) -> float | None:
    return max((one.psi for one in features if one.psi is not None), default=None)


def _present(survey: Survey, name: str) -> npt.NDArray[Any]:
    return survey.values[name][~survey.missing[name]]


def _feature(name: str, values: npt.NDArray[Any], before: FeatureSummary | None) -> Feature:
    wide = values.astype(np.float64)
    drift = None
    if before is not None and wide.size:
        edges = np.array([float(edge) for edge in before.edges])
        drift = psi(np.array(before.counts), _binned(wide, edges))
    if not wide.size:
        return Feature(name, 0.0, 0.0, 0.0, 0.0, drift)
    return Feature(
        name, float(wide.min()), float(wide.max()), float(wide.mean()), float(wide.std()), drift
    )


def _binned(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """How many values lie in each bin; a bin ends just before its edge."""
    places = np.searchsorted(edges, values, side="right")
    return np.bincount(places, minlength=len(edges) + 1)


def _class_psi(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    names = sorted({*before, *now})
    return psi(
        np.array([before.get(name, 0) for name in names]),
        np.array([now.get(name, 0) for name in names]),
    )


def _summary(product: Product, survey: Survey, classes: dict[str, int]) -> Summary:
    features = []
    for column in product.features:
        values = _present(survey, column.name).astype(np.float64)
        edges = np.unique(np.quantile(values, TENTHS)) if values.size else np.zeros(0)
        features.append(
            FeatureSummary(
                name=column.name,
                edges=[exact(edge) for edge in edges],
                counts=_binned(values, edges).tolist(),
            )
        )
    return Summary(
        version=1,
        product=product.id,
        data_version=product.data_version,
        rows=survey.rows,
        classes=[ClassSummary(name=name, rows=count) for name, count in classes.items()],
        features=features,
    )


def _unknown(product: Product, earlier: Summary) -> list[str]:
    """Features that the earlier version did not have, and those that only it had."""
    now = {column.name for column in product.features}
    return sorted(now ^ {one.name for one in earlier.features})
