"""Pages for people: sections of tables, figures and notes, rendered as one self-contained file.

A page needs nothing but itself: its style stands in it, it has no script, names no other resource,
and its Content-Security-Policy lets a browser load none. Text is escaped by Jinja2 wherever it
comes from; only figures are markup, and `auditors.svg` escapes what they show.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

Tone = Literal["plain", "good", "warn", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        note: smaller, below.
        full: the whole of what is shown shortened.
        id: whether it is an identifier, shown in a fixed-width font.
        number: whether it is a figure.
        whole: whether its text may not be broken.
    """

    text: str
    note: str = ""
    full: str = ""
    id: bool = False
    number: bool = False
    whole: bool = False
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with a caption; `after` says what it leaves out."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    after: str = ""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A paragraph."""

    text: str
    tone: Tone = "plain"
    kind: Literal["note"] = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """A list of short sentences."""

    items: Sequence[str]
    tone: Tone = "plain"
    kind: Literal["points"] = "points"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plot and what it shows."""

    image: Markup
    caption: str
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One item that a law asks a record to hold.

    Attributes:
        basis: where the law asks for it.
        values: what the log says; empty where it says nothing.
        source: from which entries; "" where there are none.
        blank: by whom the rest is to be filled in; "" where nothing is left open.
    """

    label: str
    basis: str
    values: Sequence[str] = ()
    source: str = ""
    blank: str = ""
    kind: Literal["field"] = "field"


Block = Table | Note | Points | Figure | Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page; `id` is what links point to."""

    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure at the top of a page."""

    label: str
    value: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page.

    Attributes:
        lead: what it is about, in a sentence or two.
        verdict: what was checked, with its tone; then `checks`, one by one.
        labels: words of the template: contents, source, foot.
    """

    title: str
    language: str
    lead: str
    verdict: Note
    checks: Sequence[str]
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    labels: dict[str, str] = field(default_factory=dict)


def render(page: Page) -> str:
    """The page as HTML."""
    style = _file("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    template = _environment().get_template("page.html")
    # The style is a file of ours; nothing of the page's goes into it.
    return template.render(page=page, style=Markup(style), policy=policy)  # noqa: S704


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_file),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["code"] = _code
    return made


def _code(text: str) -> Markup:
    """Text with what stands between backticks as code; all of it escaped."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    wrapped = (
        Markup("<code>{}</code>").format(one) if n % 2 else one for n, one in enumerate(parts)
    )
    return Markup("").join(wrapped)


def _file(name: str) -> str:
    return files("auditors").joinpath("templates", name).read_text(encoding="utf-8")
