"""The plots of an audit report, from the figures of its JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from markupsafe import Markup

from auditors import svg
from auditors.svg import COLOURS, FAINT, INK, WIDTH, Said
from policies.fields import parse_instant

MAX_LINES: Final = 7
MAX_BARS: Final = 24
_LEFT: Final = 44
_RIGHT: Final = 214
_TOP: Final = 12
_HEIGHT: Final = 250
_NAME: Final = 226  # pixels for the name beside a lying bar
_ROW: Final = 26
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Level:
    """A lying bar: how far it goes, how far it may go (None is not limited), and in words."""

    name: str
    value: Decimal
    most: Decimal | None
    words: str


def uses_over_time(
    said: Said, start: str, ends: Sequence[str], uses: Mapping[str, Sequence[int]]
) -> Markup:
    """Cumulative uses, a line for each of the `MAX_LINES` most used.

    Args:
        start: time of the first use.
        ends: of each slice of time.
        uses: until the end of each slice, by name; the most used first.
    """
    shown = dict(islice(uses.items(), MAX_LINES))
    most = max((counts[-1] for counts in shown.values()), default=0)
    scale = svg.ticks(most)
    right, bottom = WIDTH - _RIGHT, _HEIGHT - 34

    def y(value: float) -> float:
        return bottom - (bottom - _TOP) * value / scale[-1]

    parts = _axis(scale, y, right)
    step = (right - _LEFT) / max(len(ends), 1)
    ending: list[float] = []
    drawn: list[Sequence[int]] = []
    places = []
    for counts in shown.values():
        # Who was used alike has one line: several would hide each other.
        place = drawn.index(counts) if counts in drawn else len(drawn)
        places.append(place)
        points = [(float(_LEFT), y(0))]
        for n, count in enumerate(counts):
            points += [(points[-1][0], y(count)), (_LEFT + (n + 1) * step, y(count))]
        ending.append(points[-1][1])
        if place == len(drawn):
            drawn.append(counts)
            parts.append(svg.path(points, place))
    labels = svg.spread([y + 4 for y in ending], _TOP + 4, bottom + 4)
    for place, name, label in zip(places, shown, labels, strict=True):
        words = f"{svg.cut(name, 24)} {shown[name][-1]}"
        parts.append(svg.text(right + 8, label, words, colour=COLOURS[place % len(COLOURS)]))
    parts += _moments(start, ends, right, bottom)
    return svg.document(said, _HEIGHT, parts)


def _short(value: int) -> str:
    """A round number in at most five characters, such as 20k."""
    for unit, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= 10 * unit and value % unit == 0:
            return f"{value // unit}{sign}"
    return str(value)


def _axis(scale: Sequence[int], y: Any, right: float) -> list[str]:
    parts = []
    for value in scale:
        parts.append(svg.line(_LEFT, y(value), right, y(value), colour=INK if not value else FAINT))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, _short(value), anchor="end"))
    return parts


def _moments(start: str, ends: Sequence[str], right: float, bottom: float) -> list[str]:
    """Times below the axis: days where it spans some, else the time of day."""
    if not ends:
        return []
    first, last = parse_instant(start), parse_instant(ends[-1])
    span = last - first
    day, hour = timedelta(days=2), timedelta(minutes=3)
    form = "%Y-%m-%d" if span > day else "%H:%M" if span > hour else "%H:%M:%S"
    parts = []
    for n in range(4):
        x = _LEFT + (right - _LEFT) * n / 3
        moment = first + span * n / 3
        anchor = ("start", "middle", "middle", "end")[n]
        parts.append(svg.line(x, bottom, x, bottom + 5, colour=INK))
        parts.append(svg.text(x, bottom + 22, moment.strftime(form), anchor=anchor))
    return parts


def rounds(said: Said, bars: Sequence[Object], permitted: str, refused: str) -> Markup:
    """Permitted and refused verdicts of each round, stacked."""
    most = max((one["permitted"] + one["refused"] for one in bars), default=0)
    scale = svg.ticks(most)
    right, bottom = WIDTH - 12, _HEIGHT - 34

    def y(value: float) -> float:
        return bottom - (bottom - _TOP - 24) * value / scale[-1]

    pattern = f"{said.id}-hatch"
    parts = [svg.hatch(pattern, COLOURS[1]), *_legend(pattern, permitted, refused)]
    parts += _axis(scale, y, right)
    step = (right - _LEFT) / max(len(bars), 1)
    thick = min(step * 0.78, 46)
    every = max(1, -(-len(bars) // 14))
    for n, one in enumerate(bars):
        x = _LEFT + n * step + (step - thick) / 2
        good, bad = y(one["permitted"]), y(one["permitted"] + one["refused"])
        parts.append(svg.box(x, good, thick, bottom - good, fill=COLOURS[0]))
        if one["refused"]:
            fill = f"url(#{pattern})"
            parts.append(svg.box(x, bad, thick, good - bad, fill=fill, stroke=COLOURS[1]))
        if n % every == 0:
            parts.append(svg.text(x + thick / 2, bottom + 18, one["first"], anchor="middle"))
    return svg.document(said, _HEIGHT, parts)


def _legend(pattern: str, permitted: str, refused: str) -> list[str]:
    fill = f"url(#{pattern})"
    second = _LEFT + 34 + 9 * max(len(permitted), 6)
    return [
        svg.box(_LEFT, 2, 14, 14, fill=COLOURS[0]),
        svg.text(_LEFT + 20, 14, permitted),
        svg.box(second, 2, 14, 14, fill=fill, stroke=COLOURS[1]),
        svg.text(second + 20, 14, refused),
    ]


def levels(said: Said, bars: Sequence[Level]) -> Markup:
    """Lying bars: how much of what is allowed was used; a mark stands where the limit is."""
    shown = bars[:MAX_BARS]
    height = _TOP + _ROW * len(shown) + 4
    longest = max((max(one.value, one.most or Decimal(0)) for one in shown), default=Decimal(0))
    room = Decimal(WIDTH - _NAME - 170)
    parts = []
    for n, one in enumerate(shown):
        y = _TOP + n * _ROW
        scale = room / longest if longest else Decimal(0)
        width, most = float(one.value * scale), float((one.most or one.value) * scale)
        parts.append(svg.text(_NAME - 10, y + 14, svg.cut(one.name, 28), anchor="end"))
        parts.append(svg.box(_NAME, y, most, 18, fill="#e8eef3", stroke="#8a97a3"))
        over = one.most is not None and one.value > one.most
        parts.append(svg.box(_NAME, y + 3, width, 12, fill=COLOURS[1] if over else COLOURS[0]))
        if one.most is not None:
            parts.append(svg.line(_NAME + most, y - 2, _NAME + most, y + 20, colour=INK))
        parts.append(svg.text(_NAME + max(most, width) + 8, y + 14, one.words))
    return svg.document(said, height, parts)
