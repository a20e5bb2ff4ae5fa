"""A readiness report for people."""

from __future__ import annotations

from clients.findings import imbalance
from clients.readiness import Readiness, decimal
from commands.output import print_table, say


def print_readiness(report: Readiness) -> None:
    """All of it, the verdict last."""
    gaps = sum(report.missing.values())
    say(
        f"{report.product}, data version {report.data_version}: rows: {report.rows}, cells "
        f"without a value: {gaps}, rows that repeat another: {report.duplicates}"
    )
    figures = {one.name: one for one in report.features}
    rows = []
    for name, kind, role in report.columns:
        shown = ["", "", "", "", ""]
        feature = figures.get(name)
        if feature is not None:
            values = (feature.least, feature.most, feature.mean, feature.std)
            shown = [f"{value:.5g}" for value in values]
            shown.append("" if feature.psi is None else decimal(feature.psi))
        rows.append([name, f"{kind} {role}", str(report.missing[name]), *shown])
    headings = ["column", "is", "missing", "least", "most", "mean", "std", "drift"]
    if report.compared_with is None:
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    print_table("columns", headings, rows)
    ratio = imbalance(report.classes)
    of = "" if ratio is None else f"; largest to smallest {ratio:.2f}"
    shares = [
        [name, str(count), decimal(count / max(1, sum(report.classes.values())))]
        for name, count in report.classes.items()
    ]
    print_table(f"label{of}", ["class", "rows", "share"], shares)
    if report.compared_with is None:
        say("drift: no earlier version is registered on this node")
    else:
        label = "" if report.label_psi is None else f"; of the label {decimal(report.label_psi)}"
        say(f"drift is against data version {report.compared_with}{label}")
    for one in report.findings:
        say(f"  -{one.points:<3} {one.code}: {one.text}")
    say(f"score {report.score} of 100: {report.verdict}")
