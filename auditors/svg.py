"""Small plots as inline SVG: no script, no font, no style but attributes; text is escaped.

Colours are those of Okabe and Ito (Color Universal Design, 2008), told apart by people with any
colour vision; series differ in dash and name as well, so that a print in grey can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from markupsafe import Markup

WIDTH: Final = 720
COLOURS: Final = ("#0072B2", "#D55E00", "#007A5A", "#A3568A", "#B07900", "#2C7FB8", "#000000")
DASHES: Final = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "1 3")
INK: Final = "#1a1a1a"
FAINT: Final = "#d5d5d5"
_GAP: Final = 16  # between labels at the ends of lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a plot is called and says, for those who do not see it.

    Attributes:
        id: unique on the page.
    """

    id: str
    title: str
    text: str


def document(said: Said, height: int, parts: Iterable[str]) -> Markup:
    """The parts as one image with a name and a description."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="{said.id}-t {said.id}-d" font-family="inherit" font-size="13" '
        f'fill="{INK}">'
        f'<title id="{said.id}-t">{escape(said.title)}</title>'
        f'<desc id="{said.id}-d">{escape(said.text)}</desc>'
    )
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704  # every text went through escape


def text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK) -> str:
    """A line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(words)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = FAINT) -> str:
    """A straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="1"/>'
    )


def box(x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "none") -> str:
    """A rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )


def path(points: Sequence[tuple[float, float]], place: int) -> str:
    """A line through points, in the colour and dash of its series."""
    steps = " ".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(points))
    dash = DASHES[place % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path d="{steps}" fill="none" stroke="{COLOURS[place % len(COLOURS)]}" '
        f'stroke-width="2.2"{dashed}/>'
    )


def hatch(id: str, colour: str) -> str:
    """A pattern of slanted lines, `fill="url(#id)"`."""
    return (
        f'<defs><pattern id="{id}" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="6" height="6" fill="#ffffff"/>'
        f'<rect width="3.4" height="6" fill="{colour}"/></pattern></defs>'
    )


def ticks(most: int, *, steps: int = 4) -> list[int]:
    """Round numbers from 0 to at least `most`, about `steps` of them beside 0."""
    if most <= 0:
        return [0, 1]
    unit = 1
    while True:
        for factor in (1, 2, 5):
            if unit * factor * steps >= most:
                step = unit * factor
                return [n * step for n in range(-(-most // step) + 1)]
        unit *= 10


def spread(wanted: Sequence[float], least: float, most: float) -> list[float]:
    """The places, moved apart so that labels there do not overlap; in the order given."""
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    placed: list[float] = []
    for n in order:
        floor = placed[-1] + _GAP if placed else least
        placed.append(max(wanted[n], floor))
    for back in range(len(placed) - 1, -1, -1):
        ceiling = placed[back + 1] - _GAP if back + 1 < len(placed) else most
        placed[back] = min(placed[back], ceiling)
    found = [0.0] * len(wanted)
    for place, n in zip(placed, order, strict=True):
        found[n] = place
    return found


def cut(words: str, most: int) -> str:
    """Words of at most so many characters, with their middle left out."""
    if len(words) <= most:
        return words
    half = (most - 1) // 2
    return f"{words[: most - 1 - half]}…{words[-half:]}"
