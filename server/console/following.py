"""Open pages that follow something: what they are sent, and when that ends.

    event: NAME   data: the HTML of one part of the page, as often as it changed
    event: beat   nothing: the connection is alive, which a page cannot tell by itself
    event: end    nothing more will happen: the page asks no more

Where the reader is no longer signed in, or the service stops, the stream ends without a word, and
the page comes back: it then learns by the answer's status which of the two it is, and follows on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from server.console.door import LANGUAGE_COOKIE, Door
from server.console.entrance import Session
from server.console.hub import Hub
from server.console.words import Words, choose
from server.errors import RequestError, TooMany
from server.pki import Identity

GATHER_S: Final = 0.5  # what happens together is drawn together
BEAT_S: Final = 15.0  # also so that proxies keep the connection, and who left is noticed
AGAIN_MS: Final = 30_000  # where too many watch: the browser tries again after this
_LEAST_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Drawing:
    """The parts of a page that change, as HTML, by the event that brings each.

    Attributes:
        events: the parts as they are sent; encoded once for all who follow.
        until: when it is no longer true though nothing happened; None for never.
    """

    parts: Mapping[str, str]
    events: Mapping[str, bytes]
    ended: bool = False
    until: datetime | None = None

    @classmethod
    def of(
        cls, parts: Mapping[str, str], *, ended: bool = False, until: datetime | None = None
    ) -> Drawing:
        """A drawing of these parts."""
        events = {name: event(name, text) for name, text in parts.items()}
        return cls(parts, events, ended, until)

    def holds(self, now: datetime) -> bool:
        """Whether it is still true."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever follows: their session, and whether it still stands. `still` does no I/O."""

    session: Session
    still: Callable[[], bool]


async def follow(
    hub: Hub,
    topic: str,
    reader: Reader,
    draw: Callable[[], Awaitable[Drawing]],
    *,
    clock: Callable[[], datetime],
    look_s: float = BEAT_S,
) -> AsyncIterator[bytes]:
    """Server-sent events about a topic.

    Args:
        draw: the drawing as it is now; a RequestError says that the reader may no longer see it.
        look_s: how often to look at what no entry of the log tells of; at most `BEAT_S`.
    """
    try:
        with hub.watching(topic, reader.session.csrf) as watcher:
            sent: Mapping[str, bytes] = {}
            quiet_s = 0.0
            while not hub.closed and reader.still():
                watcher.changed.clear()
                try:
                    made = await draw()
                except RequestError:
                    return
                news = [data for name, data in made.events.items() if data != sent.get(name)]
                if news:
                    yield b"".join(news)
                if made.ended:
                    yield event("end", "")
                    return
                quiet_s = 0.0 if news else quiet_s
                if quiet_s >= BEAT_S:
                    yield event("beat", "")
                    quiet_s = 0.0
                sent = made.events
                pause_s = min(look_s, BEAT_S, _until(made, clock()))
                if await _wait(watcher.changed, pause_s):
                    await asyncio.sleep(GATHER_S)
                else:
                    quiet_s += pause_s
    except TooMany:
        yield f"retry: {AGAIN_MS}\n\n".encode()


async def streamed(
    door: Door,
    request: Request,
    events: Callable[[Reader, Words], AsyncIterator[bytes]],
    check: Callable[[Identity], None] | None = None,
) -> Response:
    """The answer that carries events; a status without a body where there are none. HEAD tells the
    status alone: a page that lost its stream asks so why.

    Args:
        check: raises a RequestError for who may not see it.
    """
    session = await run_in_threadpool(door.admitted, request)
    if session is None:
        return Response(None, 401)
    if check is not None:
        try:
            await run_in_threadpool(check, session.caller)
        except RequestError:
            return Response(None, 404)
    if request.method == "HEAD":
        return Response(None, 204)
    words = choose(
        request.cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", "")
    )
    reader = Reader(session, lambda: door.present(request) is not None)
    return StreamingResponse(events(reader, words), media_type="text/event-stream")


def event(name: str, data: str) -> bytes:
    """One event as it is sent."""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n".encode()


def _until(made: Drawing, now: datetime) -> float:
    if made.until is None:
        return BEAT_S
    return max((made.until - now).total_seconds(), _LEAST_S)


async def _wait(changed: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await changed.wait()
    except TimeoutError:
        return False
    return True
