"""The space as a drawing: the operator, who uses data, and the enterprises in their regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from markupsafe import Markup

from server.console import svg

WIDTH: Final = 760
MAX_DRAWN: Final = 60
_CARD_W, _CARD_H, _GAP = 216, 64, 14
_PER_ROW: Final = 3
_HEAD: Final = 34


@dataclass(frozen=True, slots=True)
class Drawn:
    """Somebody in the space.

    Attributes:
        name: a title where the reader may know it, else the pseudonym.
        region: "" where it is not known.
        up: whether its node is connected now; None for who has no node.
        note: what it offers, in a few words.
    """

    id: str
    name: str
    role: str
    region: str
    active: bool
    up: bool | None
    note: str


def draw(people: Sequence[Drawn], *, say: Callable[..., str], title: str, text: str) -> Markup:
    """The drawing.

    Args:
        say: words by key: roles, `no-region`, `more`.
        title, text: for who does not see it.
    """
    above = [one for one in people if one.role != "node"]
    nodes = [one for one in people if one.role == "node"]
    parts: list[str] = []
    middle = WIDTH / 2
    shown = above[:_PER_ROW]
    wide = len(shown) * _CARD_W + (len(shown) - 1) * _GAP
    for n, one in enumerate(shown):
        x = middle - wide / 2 + n * (_CARD_W + _GAP)
        parts.append(_card(one, x, 6, say))
    y = 6.0 + _CARD_H
    parks: dict[str, list[Drawn]] = {}
    for one in islice(nodes, MAX_DRAWN):
        parks.setdefault(one.region, []).append(one)
    trunk = y + 16
    lines: list[str] = []
    y = trunk + 16
    for region in sorted(parks):
        inside = parks[region]
        rows = -(-len(inside) // _PER_ROW)
        height = _HEAD + rows * (_CARD_H + _GAP)
        lines.append(svg.line(middle, trunk - 16, middle, y, "wire"))
        parts.append(svg.box(14, y, WIDTH - 28, height, "park", round=12))
        name = region or say("no-region")
        parts.append(svg.words(30, y + 22, f"{name} · {len(inside)}", kind="park-name"))
        for n, one in enumerate(inside):
            row, column = divmod(n, _PER_ROW)
            x = 30 + column * (_CARD_W + _GAP + 3)
            parts.append(_card(one, x, y + _HEAD + row * (_CARD_H + _GAP), say))
        y += height + 18
        trunk = y
    if len(nodes) > MAX_DRAWN:
        parts.append(svg.words(30, y + 8, say("more", n=len(nodes) - MAX_DRAWN)))
        y += 20
    return svg.image(
        id="space",
        width=WIDTH,
        height=y,
        title=title,
        text=text,
        parts=[*lines, *parts],
        kind="space",
    )


def _card(one: Drawn, x: float, y: float, say: Callable[..., str]) -> str:
    kind = "card" if one.active else "card gone"
    state = "idle" if one.up is None else "up" if one.up else "down"
    role = say(f"role-{one.role}") if one.role != "node" else one.note
    name_x = x + 14 if one.up is None else x + 30
    parts = [
        svg.box(x, y, _CARD_W, _CARD_H, f"{kind} {one.role}"),
        svg.words(name_x, y + 27, svg.cut(one.name, 22 if one.up is None else 20), kind="name"),
        svg.words(x + 14, y + 48, svg.cut(role, 28), kind="small"),
    ]
    if one.up is not None:
        # Told apart by shape as well as by colour: a full dot and a ring.
        parts.append(svg.dot(x + 18, y + 22, 5.5, state))
    return "".join(parts)
