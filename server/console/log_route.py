"""The log's files on the console's own address, for the page that verifies them.

Everybody may read them at the endpoint of the contracts (`server.logfiles`); here, whoever is
signed in. The page may fetch from its own address only (`server.console.shield`).
"""

from __future__ import annotations

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.console.door import Door
from server.logfiles import PREFIX, LogFiles


def log_route(door: Door, folder: Path) -> Route:
    """Where the console's application mounts the log; GET and HEAD.

    Args:
        folder: where the log is published.
    """
    files = LogFiles(folder)

    async def answer(request: Request) -> Response:
        if await run_in_threadpool(door.admitted, request) is None:
            return Response(None, 401, {"cache-control": "no-store"})
        response = await files.answer(request)
        # What this session may read is not for the browser to keep beyond it.
        response.headers["cache-control"] = "no-store"
        return response

    return Route(f"{PREFIX}/{{path:path}}", answer, methods=["GET"])
