"""The space as a drawing: the operator, the log, who uses data, and the enterprises in their parks.

Drawn twice, for a desk and for a phone's width; the style shows the one that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from markupsafe import Markup

from server.console import svg

MAX_DRAWN: Final = 60
MAX_ABOVE: Final = 6
_CARD_W, _CARD_H, _GAP = 204, 80, 12
_PAD: Final = 12
_HEAD: Final = 32
_SIDE: Final = 18  # the wire runs down here
_BETWEEN: Final = 14


@dataclass(frozen=True, slots=True)
class Drawn:
    """Somebody in the space, or its log.

    Attributes:
        name: a title where the reader may know it, else the pseudonym.
        role: of a participant; `log` for the log.
        region: "" where it is not known.
        up: whether its node is connected now; None for who has no node.
        note: what it offers, in a few words.
        state: whether it is there, since when it is not, what it cosigned.
    """

    id: str
    name: str
    role: str
    region: str
    active: bool
    up: bool | None
    note: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a drawing has room for: so many cards side by side; `kind` is a class."""

    columns: int
    kind: str

    @property
    def width(self) -> int:
        """In the drawing's own units."""
        return 2 * _SIDE + 2 * _PAD + self.columns * _CARD_W + (self.columns - 1) * (_GAP + 20)


DESK: Final = Sheet(3, "space wide")
PHONE: Final = Sheet(1, "space narrow")


def draw(
    people: Sequence[Drawn], *, say: Callable[..., str], title: str, text: str, sheet: Sheet = DESK
) -> Markup:
    """The drawing.

    Args:
        say: words by key: `no-region`, `more`.
        title, text: for who does not see it.
    """
    nodes = [one for one in people if one.role == "node"]
    above = [one for one in people if one.role != "node"][:MAX_ABOVE]
    parts: list[str] = []
    y = 6.0
    for start in range(0, len(above), sheet.columns):
        row = above[start : start + sheet.columns]
        wide = len(row) * _CARD_W + (len(row) - 1) * _GAP
        for n, one in enumerate(row):
            parts.append(_card(one, sheet.width / 2 - wide / 2 + n * (_CARD_W + _GAP), y))
        y += _CARD_H + _GAP
    wire = [svg.line(sheet.width / 2, y - _GAP, sheet.width / 2, y + 4, "wire")]
    wire.append(svg.line(_SIDE / 2, y + 4, sheet.width / 2, y + 4, "wire"))
    top = y + 4
    y += _BETWEEN + 8
    last = top
    for parks in _rows(nodes, sheet.columns):
        last = y + _HEAD / 2
        x, tall = float(_SIDE), 0.0
        wire.append(svg.line(_SIDE / 2, last, x, last, "wire"))
        for n, (region, inside) in enumerate(parks):
            columns = min(len(inside), sheet.columns)
            width = 2 * _PAD + columns * _CARD_W + (columns - 1) * _GAP
            height = _HEAD + -(-len(inside) // columns) * (_CARD_H + _GAP)
            if n:
                wire.append(svg.line(x - _BETWEEN, last, x, last, "wire"))
            parts.append(svg.box(x, y, width, height, "park", round=12))
            name = f"{region or say('no-region')} · {len(inside)}"
            parts.append(svg.words(x + _PAD, y + 21, name, kind="park-name"))
            for at, one in enumerate(inside):
                line, column = divmod(at, columns)
                left = x + _PAD + column * (_CARD_W + _GAP)
                parts.append(_card(one, left, y + _HEAD + line * (_CARD_H + _GAP)))
            x, tall = x + width + _BETWEEN, max(tall, height)
        y += tall + _BETWEEN
    wire.append(svg.line(_SIDE / 2, top, _SIDE / 2, last, "wire"))
    if len(nodes) > MAX_DRAWN:
        parts.append(svg.words(_SIDE, y + 10, say("more", n=len(nodes) - MAX_DRAWN)))
        y += 20
    return svg.image(
        id=sheet.kind.replace(" ", "-"),
        width=sheet.width,
        height=y,
        title=title,
        text=text,
        parts=[*wire, *parts],
        kind=sheet.kind,
    )


def _rows(nodes: Sequence[Drawn], columns: int) -> Iterator[list[tuple[str, list[Drawn]]]]:
    """The parks, by region, as many side by side as fit."""
    parks: dict[str, list[Drawn]] = {}
    for one in islice(nodes, MAX_DRAWN):
        parks.setdefault(one.region, []).append(one)
    row: list[tuple[str, list[Drawn]]] = []
    used = 0
    # The largest first: what is left of a row then takes a small one.
    for park in sorted(parks.items(), key=lambda item: (-len(item[1]), item[0])):
        takes = min(len(park[1]), columns)
        if row and used + takes > columns:
            yield row
            row, used = [], 0
        row.append(park)
        used += takes
    if row:
        yield row


def _card(one: Drawn, x: float, y: float) -> str:
    kind = "card" if one.active else "card gone"
    state = "idle" if one.up is None else "up" if one.up else "down"
    name_x = x + 14 if one.up is None else x + 30
    parts = [
        svg.box(x, y, _CARD_W, _CARD_H, f"{kind} {one.role}"),
        svg.words(name_x, y + 25, svg.cut(one.name, 20 if one.up is None else 18), kind="name"),
        svg.words(x + 14, y + 46, svg.cut(one.note, 26), kind="small"),
        svg.words(x + 14, y + 65, svg.cut(one.state, 26), kind="small"),
    ]
    if one.up is not None:
        # Told apart by shape as well as by colour: a full dot and a ring.
        parts.append(svg.dot(x + 18, y + 20, 5.5, state))
    return "".join(parts)
