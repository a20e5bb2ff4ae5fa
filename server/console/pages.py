"""Templates to responses. Everything that is put into a page is escaped."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2
from starlette.responses import HTMLResponse

from server.console.chart import number, round_name
from server.console.words import LANGUAGES, NAMES, TAGS, Words

if TYPE_CHECKING:
    from server.console.door import Visit

FOLDER: Final = Path(__file__).parent / "templates"
_HEADINGS: Final[Mapping[int, str]] = {401: "signed-out", 403: "error-403", 404: "error-404"}


class Pages:
    """The templates.

    Args:
        space: its name.
    """

    def __init__(self, space: str) -> None:
        self._space = space
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["number"] = number
        self._templates.filters["short"] = short
        self._templates.filters["moment"] = moment
        self._templates.filters["size"] = size
        self._templates.filters["shell"] = shlex.quote

    def text(self, template: str, words: Words, **values: object) -> str:
        """A template's text."""
        shown = {"say": words, "length_of_time": duration, "round_name": round_name}
        return self._templates.get_template(template).render(**shown, **values)

    def show(
        self, visit: Visit, template: str, *, status: int = 200, **values: object
    ) -> HTMLResponse:
        """A whole page."""
        session = visit.session
        text = self.text(
            template,
            visit.words,
            space=self._space,
            visit=visit,
            caller=session.caller if session else None,
            csrf=session.csrf if session else "",
            languages=[(name, NAMES[name], TAGS[name]) for name in LANGUAGES],
            **values,
        )
        return HTMLResponse(text, status)

    def refusal(self, visit: Visit, status: int, text: str) -> HTMLResponse:
        """A page that says why not."""
        heading = visit.words(_HEADINGS.get(status, "error"))
        return self.show(visit, "refusal.html", status=status, heading=heading, text=text)


def short(id: str) -> str:
    """An id short enough for a table's cell; the whole stands in its title."""
    return id if len(id) <= 22 else f"{id[:12]}…{id[-6:]}"


def moment(instant: str) -> str:
    """A logged moment (RFC 3339, UTC) to the second, for people."""
    return f"{instant[:10]} {instant[11:19]}"


def size(size_bytes: int) -> str:
    """A size in about three digits; SI units."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if unit == "B" or value < 99.95 else f"{value:.0f} {unit}"


def duration(say: Words, seconds: float | None) -> str:
    """A length of time in about two digits; "" for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return say("seconds", n=f"{seconds:.1f}")
    if seconds < 120:
        return say("seconds", n=round(seconds))
    if seconds < 7200:
        return say("minutes", n=round(seconds / 60))
    return say("hours", n=f"{seconds / 3600:.1f}")
