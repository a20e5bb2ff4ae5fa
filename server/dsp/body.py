"""A request's body: bounded in size and time before anything is parsed."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import Request

from server.dsp.messages import MAX_BODY_BYTES

BODY_TIMEOUT_S: Final = 10.0
_MEDIA: Final = frozenset({"application/json", "application/ld+json"})


class RefusedRequest(Exception):
    """A request that is answered with an HTTP status before it reaches an operation."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def read_body(request: Request) -> bytes:
    """The body, at most `MAX_BODY_BYTES`, within `BODY_TIMEOUT_S`.

    Raises:
        RefusedRequest: another media type (415), too large (413) or too late (408).
        starlette.requests.ClientDisconnect: the client went away.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _MEDIA:
        raise RefusedRequest(415, f"expected application/json, got {media!r:.80}")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                data += part
                if len(data) > MAX_BODY_BYTES:
                    raise RefusedRequest(413, f"expected at most {MAX_BODY_BYTES} bytes")
    except TimeoutError as error:
        raise RefusedRequest(408, f"expected the whole body within {BODY_TIMEOUT_S:g} s") from error
    return bytes(data)
