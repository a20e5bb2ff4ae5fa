"""Answers of the console, told to an observer: status and seconds until the answer began.

Until it began, not until it ended: a page that follows a run is open for hours. Neither path nor
reader is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Counted:
    """Around the whole application.

    Args:
        told: status and seconds of each answer; does not raise.
        timer: seconds that only grow.
    """

    def __init__(
        self,
        app: ASGIApp,
        told: Callable[[int, float], None],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._told = told
        self._timer = timer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = self._timer()

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._told(message["status"], self._timer() - begun)
            await send(message)

        await self._app(scope, receive, telling)
