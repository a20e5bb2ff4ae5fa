"""Plots of the figures, as SVG files by the project's own drawing code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditors import svg
from auditors.svg import COLOURS, WIDTH, Said

LEFT, RIGHT, TOP, ROW = 236, 24, 30, 24
Figures = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Dot:
    """A value of a series, with the interval it is known to, or the range it has."""

    series: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Dots in lines, one above another.

    Attributes:
        lines: name and dots of each.
        least, most: ends of the scale.
        step: of its ticks.
        marks: upright lines, with their name.
        series: names of the series.
        unit: behind the last tick.
        powers: whether values are exponents of ten, and ticks say what they stand for.
    """

    said: Said
    lines: Sequence[tuple[str, Sequence[Dot]]]
    least: float
    most: float
    step: float
    series: Sequence[str]
    marks: Sequence[tuple[float, str]] = field(default_factory=tuple)
    unit: str = ""
    powers: bool = False


def draw(chart: Chart) -> str:
    """The chart as a file of its own, on white."""
    bottom = TOP + ROW * len(chart.lines) + 6
    height = bottom + 42 + 18 * len(chart.marks)

    def x(value: float) -> float:
        share = (value - chart.least) / (chart.most - chart.least)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)

    parts = [svg.box(0, 0, WIDTH, height, fill="#ffffff"), *_legend(chart)]
    last = round((chart.most - chart.least) / chart.step)
    for n in range(last + 1):
        value = chart.least + n * chart.step
        parts.append(svg.line(x(value), TOP, x(value), bottom))
        shown = 10**value if chart.powers else round(value, 6)
        words = f"{shown:g}{chart.unit if n == last else ''}"
        parts.append(svg.text(x(value), bottom + 16, words, anchor="middle"))
    for n, (value, name) in enumerate(sorted(chart.marks, reverse=True)):
        foot = bottom + 36 + 18 * n
        parts.append(svg.path([(x(value), TOP), (x(value), foot - 12)], 6))
        left = x(value) > (LEFT + WIDTH) / 2
        at = x(value) - 6 if left else x(value) + 6
        parts.append(svg.text(at, foot, name, anchor="end" if left else "start"))
    for n, (name, dots) in enumerate(chart.lines):
        y = TOP + ROW * n + ROW / 2
        parts.append(svg.text(LEFT - 10, y + 4, svg.cut(name, 34), anchor="end"))
        for dot in dots:
            parts += _dot(dot, x, y + (dot.series - (len(chart.series) - 1) / 2) * 6)
    return str(svg.document(chart.said, int(height), parts)).replace(
        'font-family="inherit"', 'font-family="sans-serif"'
    )


def _dot(dot: Dot, x: Callable[[float], float], y: float) -> list[str]:
    colour = COLOURS[dot.series]
    parts = []
    if dot.low is not None and dot.high is not None:
        parts.append(svg.line(x(dot.low), y, x(dot.high), y, colour=colour))
    at = x(dot.value)
    # Shapes differ as well as colours: a print in grey can be read.
    if dot.series == 0:
        parts.append(f'<circle cx="{at:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
    elif dot.series == 1:
        parts.append(svg.box(at - 4, y - 4, 8, 8, fill="#ffffff", stroke=colour))
    else:
        corners = f"{at:.1f},{y - 5:.1f} {at + 5:.1f},{y + 4:.1f} {at - 5:.1f},{y + 4:.1f}"
        parts.append(f'<polygon points="{corners}" fill="{colour}"/>')
    return parts


def _legend(chart: Chart) -> list[str]:
    parts: list[str] = []
    at = float(LEFT)
    for n, name in enumerate(chart.series):
        parts += _dot(Dot(n, at), lambda value: value, 12)
        parts.append(svg.text(at + 10, 16, name))
        at += 30 + 7 * len(name)
    return parts


def write_plots(figures: Figures, folder: Path) -> list[Path]:
    """The plots of all parts, into a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    charts = {
        f"reconstruction-{data}": _reconstruction(figures, data) for data in ("digits", "hospitals")
    }
    charts |= {"membership": _membership(figures), "accuracy": _accuracy(figures)}
    charts["audit"] = _audit(figures)
    paths = []
    for name, chart in charts.items():
        path = folder / f"{name}.svg"
        path.write_text(draw(chart) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _reconstruction(figures: Figures, data: str) -> Chart:
    series = ("inversion", "imprint", "sends rows")
    lines: dict[str, list[Dot]] = {}
    marks = []
    for one in figures["records"]:
        if one["data"] != data:
            continue
        found = one["found"]
        if one["attack"] == "none":
            marks.append(
                (found["mean"], f"{one['seen']}: {found['mean']:.1f} dB, without any leak")
            )
        else:
            dot = Dot(series.index(one["attack"]), found["mean"], found["mean"], found["best"])
            lines.setdefault(one["seen"], []).append(dot)
    marks.append((25.0, "25 dB: a record counts as rebuilt"))
    return Chart(
        Said(
            id=f"reconstruction-{data}",
            title=f"How near rows are rebuilt: {data}",
            text="PSNR in dB of the best attack's guess, mean; the line ends at the best record.",
        ),
        list(lines.items()),
        0,
        100,
        10,
        ("gradient inversion", "imprint model", "an app that sends its rows"),
        marks,
        " dB",
    )


def _by_training(figures: Figures, dot: Callable[[int, Mapping[str, Any]], Dot]) -> Any:
    lines: dict[str, list[Dot]] = {}
    for one in figures["members"]:
        place = ("digits", "hospitals").index(one["data"])
        lines.setdefault(_training(one["training"]), []).append(dot(place, one))
    return list(lines.items())


def _training(name: str) -> str:
    words = {"averaging": "plain averaging", "clipped": "clipped, no noise"}
    return words.get(name, f"clip and noise, ε {name}")


def _membership(figures: Figures) -> Chart:
    def dot(place: int, one: Mapping[str, Any]) -> Dot:
        return Dot(place, one["lira"]["auc"], one["lira"]["low"], one["lira"]["high"])

    return Chart(
        Said(
            id="membership",
            title="Members told from the released model",
            text="AUC of LiRA with its 95 % interval; 0.5 is guessing.",
        ),
        _by_training(figures, dot),
        0.48,
        0.66,
        0.02,
        ("AUC on digits", "AUC on biopsies"),
        ((0.5, "guessing"), (0.52, "goal at ε of at most 8: 0.52")),
    )


def _accuracy(figures: Figures) -> Chart:
    return Chart(
        Said(
            id="accuracy",
            title="What privacy costs in accuracy",
            text="Accuracy on records that nobody trained on, trained on all others.",
        ),
        _by_training(figures, lambda place, one: Dot(place, one["accuracy"])),
        0.8,
        1.0,
        0.05,
        ("accuracy on digits", "on biopsies"),
    )


def _audit(figures: Figures) -> Chart:
    lines = [
        (
            f"ε {one['epsilon']:g}, z {one['noise']:.2f}",
            [Dot(0, _scale(one["found"]["epsilon"])), Dot(1, _scale(one["epsilon"]))],
        )
        for one in figures["shipped"]
    ]
    most = figures["shipped"][0]["found"]["most"]
    return Chart(
        Said(
            id="audit",
            title="What an audit of one run shows of the code that ships",
            text="A lower bound on ε from 2,560 canaries, beside the ε that is accounted for.",
        ),
        lines,
        -1,
        2,
        1,
        ("shown at the least", "accounted for"),
        ((_scale(most), f"no more than {most:.1f} can be shown by so many canaries"),),
        powers=True,
    )


def _scale(epsilon: float) -> float:
    return math.log10(max(epsilon, 0.1))
