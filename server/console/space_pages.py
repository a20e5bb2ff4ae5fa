"""The page of the space."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from server.console.door import Visit
from server.console.drawing import draw
from server.console.pages import Pages
from server.console.spaces import Spaces, drawn, title_of

MAX_LINES: Final = 200


class SpacePages:
    """Works of the space's page."""

    def __init__(self, *, spaces: Spaces, pages: Pages, name: str) -> None:
        self._spaces = spaces
        self._pages = pages
        self._name = name

    def page(self, visit: Visit) -> Response:
        """`GET /space`"""
        view = self._spaces.view(visit.caller)
        people = drawn(view, visit.words)
        nodes = [one for one in people if one.role == "node"]
        said = visit.words(
            "space-drawing",
            nodes=len(nodes),
            regions=len({one.region for one in nodes}),
            up=sum(1 for one in nodes if one.up),
        )
        return self._pages.show(
            visit,
            "space.html",
            view=view,
            people=people,
            most=MAX_LINES,
            said=said,
            titles={one["participant"]: title_of(one) for one in view.people},
            sectors={one["participant"]: one["sector"] for one in view.people},
            drawing=draw(
                people,
                say=visit.words,
                title=visit.words("space-title", name=self._name),
                text=said,
            ),
        )
