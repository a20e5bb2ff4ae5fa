"""Open pages that follow something: what they are sent, and when that ends.

    event: NAME   data: the HTML of one part of the page, as often as it changed
    event: beat   nothing: the connection is alive, which a page cannot tell by itself
    event: end    nothing more will happen: the page asks no more

Where the reader is no longer signed in, or the service stops, the stream ends without a word, and
the page comes back: it then learns by the answer's status which of the two it is, and follows on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.concurrency import run_in_threadpool

from server.console.entrance import Session
from server.console.hub import Hub
from server.errors import RequestError, TooMany

GATHER_S: Final = 0.25  # what happens together is drawn together
BEAT_S: Final = 15.0  # also so that proxies keep the connection, and who left is noticed
AGAIN_MS: Final = 30_000  # where too many watch: the browser tries again after this
_LEAST_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Drawing:
    """The parts of a page that change, as HTML, by the event that brings each.

    Attributes:
        until: when it is no longer true though nothing happened; None for never.
    """

    parts: Mapping[str, str]
    ended: bool = False
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is still true."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever follows: their session, and whether it still stands."""

    session: Session
    still: Callable[[], bool]


async def follow(
    hub: Hub,
    topic: str,
    reader: Reader,
    draw: Callable[[], Drawing],
    *,
    clock: Callable[[], datetime],
    look_s: float = BEAT_S,
) -> AsyncIterator[str]:
    """Server-sent events about a topic.

    Args:
        draw: makes the drawing, in a thread; a RequestError says that the reader may no longer see.
        look_s: how often to look at what no entry of the log tells of; at most `BEAT_S`.
    """
    try:
        with hub.watching(topic, reader.session.csrf) as watcher:
            sent: Mapping[str, str] = {}
            quiet_s = 0.0
            while not hub.closed:
                watcher.changed.clear()
                if not await run_in_threadpool(reader.still):
                    return
                try:
                    made = await run_in_threadpool(draw)
                except RequestError:
                    return
                changed = [name for name, text in made.parts.items() if text != sent.get(name)]
                for name in changed:
                    yield event(name, made.parts[name])
                if made.ended:
                    yield event("end", "")
                    return
                quiet_s = 0.0 if changed else quiet_s
                if quiet_s >= BEAT_S:
                    yield event("beat", "")
                    quiet_s = 0.0
                sent = made.parts
                pause_s = min(look_s, BEAT_S, _until(made, clock()))
                if await _wait(watcher.changed, pause_s):
                    await asyncio.sleep(GATHER_S)
                else:
                    quiet_s += pause_s
    except TooMany:
        yield f"retry: {AGAIN_MS}\n\n"


def event(name: str, data: str) -> str:
    """One event as it is sent."""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n"


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
