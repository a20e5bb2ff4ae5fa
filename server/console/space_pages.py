"""The page of the space."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from server.console.door import Door, Endpoint, Visit
from server.console.following import streamed
from server.console.pages import Pages
from server.console.space_live import SpaceLive


class SpacePages:
    """Works of the space's page."""

    def __init__(self, *, live: SpaceLive, pages: Pages, door: Door) -> None:
        self._live = live
        self._pages = pages
        self._door = door

    def page(self, visit: Visit) -> Response:
        """`GET /space`"""
        live = self._live.drawing(visit.caller, visit.words)
        return self._pages.show(visit, "space.html", live=live)

    def events(self) -> Endpoint:
        """`GET /space/events`: server-sent events."""

        async def endpoint(request: Request) -> Response:
            return await streamed(self._door, request, self._live.events)

        return endpoint
