"""The live part of a run's page: drawn once for all who watch it, sent as server-sent events.

    event: headline   data: state and progress, one line, which screen readers announce
    event: run        data: the HTML of the rest
    event: end        the run ended, or the session did: the page asks no more

Who may see a run sees the same of it but for the names: the operator reads everybody's, the others
their own. One drawing for each language and reader of names serves all who watch; whether a watcher
may see the run, and is still signed in, is asked again before each sending.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from server import queries
from server.console.chart import charts
from server.console.entrance import Session
from server.console.hub import Hub, Watcher
from server.console.lanes import RunPicture, picture
from server.console.pages import Pages
from server.console.spaces import names_for
from server.console.words import Language, Words
from server.errors import NotKnown, RequestError, TooMany
from server.governance import Governance
from server.pki import Identity
from server.views import may_see_run

MAX_DRAWINGS: Final = 64
GATHER_S: Final = 0.25  # entries that come together are drawn together
BEAT_S: Final = 15.0  # a comment, so that proxies keep the connection and who left is noticed
AGAIN_MS: Final = 30_000  # where too many watch: the browser tries again after this
_Key = tuple[str, int, Language, str]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The live part of a page, as HTML."""

    headline: str
    body: str
    ended: bool


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
        self._drawings: OrderedDict[_Key, Drawing] = OrderedDict()

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

    def check(self, caller: Identity, run: str) -> None:
        """Returns only if the caller may see the run; NotKnown as `picture`, for less work."""
        with self._governance.reading() as connection:
            row = queries.run(connection, run)
            if row is None or not may_see_run(connection, caller, row):
                raise NotKnown(f"run {run!r:.80}: expected the id of a run")

    def drawing(self, caller: Identity, run: str, words: Words) -> Drawing:
        """The live part as it is now; NotKnown as `picture`."""
        reader = caller.participant if caller.role in ("operator", "node", "consumer") else ""
        key = run, self._hub.version(run), words.language, reader
        with self._lock:
            known = self._drawings.get(key)
        if known is not None:
            self.check(caller, run)
            return known
        made = self.draw(self.picture(caller, run), words, names_for(self._governance, caller))
        with self._lock:
            self._drawings[key] = made
            while len(self._drawings) > MAX_DRAWINGS:
                self._drawings.popitem(last=False)
        return made

    def draw(self, told: RunPicture, words: Words, names: Mapping[str, str]) -> Drawing:
        """The live part of a picture.

        Args:
            names: what to call participants; an id that is not there is shown as it is.
        """
        drawn = charts(
            told.rounds, said=words("chart-said", **_KEPT), evaluation=words("evaluation")
        )
        shown = {"told": told, "charts": drawn, "names": names}
        return Drawing(
            headline=self._pages.text("run_headline.html", words, **shown),
            body=self._pages.text("run_live.html", words, **shown),
            ended=told.ended,
        )

    async def events(
        self, session: Session, run: str, words: Words, still: Callable[[], bool]
    ) -> AsyncIterator[str]:
        """What happens to a run, until it ended or the reader is no longer signed in.

        Args:
            still: whether the reader is signed in.
        """
        try:
            with self._hub.watching(run, session.csrf) as watcher:
                async for event in self._follow(watcher, session.caller, run, words, still):
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
        sent = Drawing("", "", ended=False)
        while not self._hub.closed:
            watcher.changed.clear()
            if not await run_in_threadpool(still):
                return
            try:
                made = await run_in_threadpool(self.drawing, caller, run, words)
            except RequestError:
                return
            if made.headline != sent.headline:
                yield _event("headline", made.headline)
            if made.body != sent.body:
                yield _event("run", made.body)
            if made.ended:
                return
            sent = made
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
