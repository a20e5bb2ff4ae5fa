"""Drawings as inline SVG: no script, no style but classes of console.css; text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from types import MappingProxyType
from typing import Final

from markupsafe import Markup

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def image(
    *,
    id: str,
    width: float,
    height: float,
    title: str,
    text: str,
    parts: Iterable[str],
    kind: str,
    data: Mapping[str, str] = _NOTHING,
) -> Markup:
    """The parts as one image with a name and a description.

    Args:
        id: unique on the page.
        kind: a class.
        data: for scripts of the page, as `data-` attributes.
    """
    more = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{escape(kind)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-labelledby="{escape(id)}-t {escape(id)}-d"{more}>'
        f'<title id="{escape(id)}-t">{escape(title)}</title>'
        f'<desc id="{escape(id)}-d">{escape(text)}</desc>'
    )
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704  # every text went through escape


def words(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    """A line of text."""
    return (
        f'<text class="{escape(kind)}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{escape(kind)}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def box(x: float, y: float, width: float, height: float, kind: str, *, round: float = 8) -> str:
    """A rectangle with round corners."""
    return (
        f'<rect class="{escape(kind)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="{round:.1f}"/>'
    )


def dot(x: float, y: float, radius: float, kind: str) -> str:
    """A circle."""
    return f'<circle class="{escape(kind)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'


def path(steps: str, kind: str) -> str:
    """A path whose steps are numbers and letters of ours."""
    return f'<path class="{escape(kind)}" d="{escape(steps)}"/>'


def cut(text: str, most: int) -> str:
    """At most so many characters, the middle left out; wide ones (CJK) count twice."""
    if width(text) <= most:
        return text
    half = (most - 1) // 2
    head, tail = "", ""
    for letter in text:
        if width(head + letter) > half:
            break
        head += letter
    for letter in reversed(text):
        if width(letter + tail) > half:
            break
        tail = letter + tail
    return f"{head}…{tail}"


def width(text: str) -> int:
    """Characters, wide ones twice."""
    return sum(2 if ord(letter) >= 0x1100 else 1 for letter in text)
