"""A figure over the rounds of a run, drawn small; one for each figure, and for the ε spent.

Drawn here and not by a charting library in the browser: docs/adr/0026-charts-without-a-library.md.
`static/readout.js` reads the points' places and words off the drawing and tells each value to a
pointer and to the keyboard; the table of rounds beside it has them without any script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from server.console import svg
from server.console.lanes import MAX_FIGURES, RoundCard
from server.console.words import Words

WIDTH: Final = 340
HEIGHT: Final = 180
MAX_POINTS: Final = 160
_DRAWABLE: Final = 1e150  # beyond it differences overflow; not finite is beyond it, too
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 30
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_DOTS: Final = 40
_ROUNDS_NAMED: Final = 4
_Points = Sequence[tuple[RoundCard, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, and what stands beside it.

    Attributes:
        id: unique on the page.
        last: the newest value with its round, in words.
    """

    id: str
    name: str
    last: str
    drawing: Markup


def charts(rounds: Sequence[RoundCard], words: Words) -> list[Chart]:
    """Each figure's drawing; figures of fewer than two rounds are passed over."""
    found: list[Chart] = []
    for name in sorted({name for card in rounds for name in card.figures}):
        points = [(card, card.figures[name]) for card in rounds if name in card.figures]
        points = [point for point in points if abs(point[1]) < _DRAWABLE]
        if len(points) > 1 and len(found) < MAX_FIGURES:
            found.append(_chart(f"figure-{name}", name, points, words))
    spent = [(card, float(card.spent)) for card in rounds if card.spent]
    if len(spent) > 1:
        found.append(_chart("spent", words("chart-spent"), spent, words))
    return found


def number(value: float) -> str:
    """A figure in at most four significant digits."""
    return f"{value:.4g}"


def ticks(low: float, high: float) -> list[float]:
    """Round values, three to six of them, whose ends take in both; `low` is below `high`."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * one for one in _STEPS if power * one >= rough * 0.999), power * 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def thinned(points: _Points, most: int = MAX_POINTS) -> _Points:
    """At most so many points: of each stretch its lowest and its highest, and both ends."""
    if len(points) <= most:
        return points
    stretches = most // 2 - 1
    kept = {0, len(points) - 1}
    for n in range(stretches):
        part = range(n * len(points) // stretches, (n + 1) * len(points) // stretches)
        kept |= {
            min(part, key=lambda at: points[at][1]),
            max(part, key=lambda at: points[at][1]),
        }
    return [points[at] for at in sorted(kept)]


def round_name(say: Words, card: RoundCard) -> str:
    """How a round is called."""
    if card.evaluation:
        return say("evaluation")
    key = "round" if card.attempt == 1 else "round-again"
    return say(key, n=card.number, attempt=card.attempt)


def _chart(key: str, name: str, points: _Points, words: Words) -> Chart:
    points = thinned(points)
    low, high = min(value for _, value in points), max(value for _, value in points)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-3):
        room = max(abs(high) / 2, 0.5)
        low, high = low - room, high + room
    marks = ticks(low, high)
    low, high = marks[0], marks[-1]
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    step = (right - _LEFT) / (len(points) - 1)

    def place(n: int, value: float) -> tuple[float, float]:
        return _LEFT + n * step, bottom - (bottom - _TOP) * (value - low) / (high - low)

    parts = []
    for value in marks:
        y = place(0, value)[1]
        parts.append(svg.line(_LEFT, y, right, y, "grid"))
        parts.append(svg.words(_LEFT - 6, y + 4, _tick(value, marks), anchor="end", kind="small"))
    dots = [place(n, value) for n, (_, value) in enumerate(points)]
    steps = " ".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(dots))
    parts.append(svg.path(steps, "curve"))
    if len(dots) <= _DOTS:
        parts += [svg.dot(x, y, 2.6, "point") for x, y in dots]
    parts += _rounds([card for card, _ in points], [x for x, _ in dots], words)
    said = [f"{round_name(words, card)}: {number(value)}" for card, value in points]
    id = "chart-" + "".join(c if c.isalnum() and c.isascii() else "-" for c in key)
    drawing = svg.image(
        id=id,
        width=WIDTH,
        height=HEIGHT,
        title=name,
        text=words("chart-said", name=name, first=number(points[0][1]), last=number(points[-1][1])),
        parts=parts,
        kind="chart",
        data={
            "x": " ".join(f"{x:.1f}" for x, _ in dots),
            "y": " ".join(f"{y:.1f}" for _, y in dots),
            "said": "|".join(said),
        },
    )
    return Chart(id=id, name=name, last=said[-1], drawing=drawing)


def _rounds(cards: Sequence[RoundCard], xs: Sequence[float], words: Words) -> list[str]:
    """Names of some rounds under the axis, the first and the last among them."""
    last = len(cards) - 1
    every = max(1, math.ceil(last / _ROUNDS_NAMED))
    named = [n for n in range(0, last, every) if last - n >= every] + [last]
    parts = []
    for n in named:
        card = cards[n]
        plain = words("evaluation") if card.evaluation else str(card.number)
        label = words("round", n=card.number) if n == 0 and not card.evaluation else plain
        anchor = "start" if n == 0 else "end" if n == last else "middle"
        parts.append(svg.line(xs[n], HEIGHT - _BOTTOM, xs[n], HEIGHT - _BOTTOM + 4, "grid"))
        parts.append(svg.words(xs[n], HEIGHT - 10, label, anchor=anchor, kind="small"))
    return parts


def _tick(value: float, marks: Sequence[float]) -> str:
    """A mark of the axis, with the digits that its step has."""
    step, most = marks[1] - marks[0], max(abs(marks[0]), abs(marks[-1]))
    if most >= 1e5 or step < 1e-4:
        return f"{value:.3g}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
        digits += 1  # a step of 2.5
    return f"{value:.{digits}f}"
