"""The live part of a run's page: drawn once for all who watch it, sent as server-sent events.

    event: run   data: the HTML of the live part
    event: end   the run ended, or the session did: the page asks no more

Who may see a run sees the same of it, so that one drawing for each language serves all; whether a
watcher may see it, and is still signed in, is asked again before each sending.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.concurrency import run_in_threadpool

from server import queries
from server.console.chart import charts
from server.console.hub import Hub, Watcher
from server.console.lanes import RunPicture, picture
from server.console.pages import Pages
from server.console.words import Language, Words
from server.errors import RequestError, TooMany
from server.governance import Governance
from server.pki import Identity

MAX_DRAWINGS: Final = 64
GATHER_S: Final = 0.25  # entries that come together are drawn together
BEAT_S: Final = 15.0  # a comment, so that proxies keep the connection and who left is noticed
AGAIN_MS: Final = 30_000  # where too many watch: the browser tries again after this
_Key = tuple[str, int, Language]


class Live:
    """Drawings of runs.

    Args:
        hub: what tells that a run changed; it must have been told of all since governance opened.
    """

    def __init__(self, *, governance: Governance, hub: Hub, pages: Pages) -> None:
        self._governance = governance
        self._hub = hub
        self._pages = pages
        self._lock = threading.Lock()
        self._drawings: OrderedDict[_Key, tuple[str, bool]] = OrderedDict()

    def picture(self, caller: Identity, run: str) -> RunPicture:
        """The run as it is now.

        Raises:
            NotKnown: no such run that the caller may see.
        """
        view = self._governance.runs.get(caller, run)
        with self._governance.reading() as connection:
            attempts = queries.rounds(connection, run)
            permits = [one.permit_id for one in attempts if one.permit_id]
            receipts = queries.receipts(connection, permits)
        return picture(view.row, attempts, receipts)

    def drawing(self, caller: Identity, run: str, words: Words) -> tuple[str, bool]:
        """The live part's HTML, and whether the run has ended; NotKnown as `picture`."""
        key = run, self._hub.version(run), words.language
        with self._lock:
            known = self._drawings.get(key)
        if known is not None:
            self._governance.runs.get(caller, run)
            return known
        told = self.picture(caller, run)
        made = self.html(told, words), told.ended
        with self._lock:
            self._drawings[key] = made
            while len(self._drawings) > MAX_DRAWINGS:
                self._drawings.popitem(last=False)
        return made

    def html(self, told: RunPicture, words: Words) -> str:
        """The live part of a picture."""
        drawn = charts(
            told.rounds, said=words("chart-said", **_KEPT), evaluation=words("evaluation")
        )
        return self._pages.text("run_live.html", words, told=told, charts=drawn)

    async def events(
        self, caller: Identity, run: str, words: Words, still: Callable[[], bool]
    ) -> AsyncIterator[str]:
        """What happens to a run, until it ended or the reader is no longer signed in.

        Args:
            still: whether the reader is signed in.
        """
        try:
            with self._hub.watching(run, caller.uri) as watcher:
                async for event in self._follow(watcher, caller, run, words, still):
                    yield event
        except TooMany:
            yield f"retry: {AGAIN_MS}\n\n"
            return
        yield _event("end", "")

    async def _follow(
        self,
        watcher: Watcher,
        caller: Identity,
        run: str,
        words: Words,
        still: Callable[[], bool],
    ) -> AsyncIterator[str]:
        sent = ""
        while not self._hub.closed:
            watcher.changed.clear()
            if not await run_in_threadpool(still):
                return
            try:
                html, ended = await run_in_threadpool(self.drawing, caller, run, words)
            except RequestError:
                return
            if html != sent:
                yield _event("run", html)
                sent = html
            if ended:
                return
            if await _wait(watcher.changed, BEAT_S):
                await asyncio.sleep(GATHER_S)
            else:
                yield ": still there\n\n"


_KEPT: Final = {name: f"{{{name}}}" for name in ("name", "first", "last")}


async def _wait(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _event(name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n"
