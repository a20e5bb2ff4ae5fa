"""The live part of a run's page: drawn once for all who watch it.

    event: headline   state and progress, one line, which screen readers announce
    event: run        the rest

Who may see a run sees the same of it but for the names: the operator reads everybody's, the others
their own. One drawing for each language and reader of names serves all who watch; whether a watcher
may see the run, and is still signed in, is asked again before each sending. All of it is read from
the registry, which is the log's projection: after a restart a page shows what it showed before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Final

from server import queries, released
from server.console.chart import charts
from server.console.following import Drawing, Reader, follow
from server.console.hub import Hub
from server.console.lanes import RunPicture, picture
from server.console.pages import Pages
from server.console.spaces import names_for
from server.console.words import Language, Words
from server.errors import NotKnown
from server.governance import Governance
from server.pki import Identity
from server.views import may_see_run

MAX_DRAWINGS: Final = 64
_Key = tuple[str, int, Language, str]


class Live:
    """Drawings of runs.

    Args:
        hub: what tells that a run changed; it must have been told of all since governance opened.
    """

    def __init__(
        self, *, governance: Governance, hub: Hub, pages: Pages, clock: Callable[[], datetime]
    ) -> None:
        self._governance = governance
        self._hub = hub
        self._pages = pages
        self._clock = clock
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
            opened = released.of_permits(connection, permits)
        return picture(view.row, attempts, receipts, opened, now=self._clock())

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
        if known is not None and known.holds(self._clock()):
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
        shown = {"told": told, "charts": charts(told.rounds, words), "names": names}
        return Drawing(
            parts={
                "headline": self._pages.text("run_headline.html", words, **shown),
                "run": self._pages.text("run_live.html", words, **shown),
            },
            ended=told.ended,
            until=told.until,
        )

    def events(self, reader: Reader, run: str, words: Words) -> AsyncIterator[str]:
        """What happens to a run, until it ended or the reader may no longer see it."""
        caller = reader.session.caller
        return follow(
            self._hub,
            run,
            reader,
            lambda: self.drawing(caller, run, words),
            clock=self._clock,
        )
