"""A figure over the rounds of a run, drawn small; one for each figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from server.console import svg
from server.console.lanes import MAX_FIGURES, RoundCard

WIDTH: Final = 340
HEIGHT: Final = 170
_DRAWABLE: Final = 1e150  # beyond it differences overflow; not finite is beyond it, too
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 14, 28


def charts(rounds: Sequence[RoundCard], *, said: str, evaluation: str) -> list[tuple[str, Markup]]:
    """Each figure's name with its drawing; figures of fewer than two rounds are passed over.

    Args:
        said: "{name}: {first} … {last}" in the reader's language, for who does not see it.
        evaluation: how the evaluation's round is called.
    """
    names = sorted({name for card in rounds for name in card.figures})
    found: list[tuple[str, Markup]] = []
    for name in names:
        points = [
            (card, card.figures[name])
            for card in rounds
            if abs(card.figures.get(name, math.nan)) < _DRAWABLE
        ]
        if len(points) > 1 and len(found) < MAX_FIGURES:
            found.append((name, _chart(name, points, said=said, evaluation=evaluation)))
    return found


def number(value: float) -> str:
    """A figure in at most four significant digits."""
    return f"{value:.4g}"


def _chart(
    name: str, points: Sequence[tuple[RoundCard, float]], *, said: str, evaluation: str
) -> Markup:
    low, high = min(value for _, value in points), max(value for _, value in points)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-3):
        room = max(abs(high) / 2, 0.5)
        low, high = low - room, high + room
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    step = (right - _LEFT) / (len(points) - 1)

    def place(n: int, value: float) -> tuple[float, float]:
        return _LEFT + n * step, bottom - (bottom - _TOP) * (value - low) / (high - low)

    parts = []
    for value in (low, (low + high) / 2, high):
        y = place(0, value)[1]
        parts.append(svg.line(_LEFT, y, right, y, "grid"))
        parts.append(svg.words(_LEFT - 6, y + 4, f"{value:.3g}", anchor="end", kind="small"))
    dots = [place(n, value) for n, (_, value) in enumerate(points)]
    steps = " ".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(dots))
    parts.append(svg.path(steps, "curve"))
    if len(dots) <= 40:
        parts += [svg.dot(x, y, 2.6, "point") for x, y in dots]
    for n in (0, len(points) - 1):
        card = points[n][0]
        label = evaluation if card.evaluation else str(card.number)
        anchor = "end" if n else "start"
        parts.append(svg.words(dots[n][0], HEIGHT - 8, label, anchor=anchor, kind="small"))
    first, last = number(points[0][1]), number(points[-1][1])
    return svg.image(
        id=f"chart-{''.join(c if c.isalnum() else '-' for c in name)}",
        width=WIDTH,
        height=HEIGHT,
        title=name,
        text=said.format(name=name, first=first, last=last),
        parts=parts,
        kind="chart",
    )
