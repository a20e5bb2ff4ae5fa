"""The live part of a run's page: drawn once for all who watch it.

    event: headline   state and progress, one line, which screen readers announce
    event: lanes, figures, rounds   the rest

Who may see a run sees the same of it but for the names: the operator reads everybody's, the others
their own. One drawing for each language and reader of names serves all who watch. Whether a watcher
may see the run, and still stands, is asked again after each entry of the log; between entries
neither can change. All of it is read from the registry, which is the log's projection: after a
restart a page shows what it showed before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from datetime import datetime
from typing import Final

from server.console.chart import charts
from server.console.door import Door
from server.console.following import Drawing, Reader, follow
from server.console.hub import Hub
from server.console.lanes import RunPicture
from server.console.pages import Pages
from server.console.run_reading import RunReading
from server.console.shared import Shared
from server.console.spaces import names_for
from server.console.words import Words
from server.governance import Governance
from server.pki import Identity

MAX_DRAWINGS: Final = 64  # about 80 kB each
PARTS: Final = ("headline", "lanes", "figures", "rounds")


class Live:
    """Drawings of runs.

    Args:
        hub: what tells that a run changed; it must have been told of all since governance opened.
    """

    def __init__(
        self,
        *,
        governance: Governance,
        hub: Hub,
        pages: Pages,
        door: Door,
        clock: Callable[[], datetime],
    ) -> None:
        self._governance = governance
        self._hub = hub
        self._pages = pages
        self._door = door
        self._clock = clock
        self.reading = RunReading(governance, clock)
        self._drawings: Shared[Drawing] = Shared(MAX_DRAWINGS)
        self._checked: Shared[bool] = Shared()

    def drawing(self, caller: Identity, run: str, words: Words) -> Drawing:
        """The live part as it is now.

        Raises:
            NotKnown: no such run that the caller may see.
        """
        key, version = _key(caller, run, words), self._hub.version(run)
        known = self._kept(key, version)
        if known is not None:
            self.reading.check(caller, run)
            return known
        made = self._draw(caller, run, words)
        return self._drawings.keep(key, (version, self._late(key, version)), made)

    def _draw(self, caller: Identity, run: str, words: Words) -> Drawing:
        names = names_for(self._governance, caller)
        return self.draw(self.reading.picture(caller, run), words, names)

    def draw(self, told: RunPicture, words: Words, names: Mapping[str, str]) -> Drawing:
        """The live part of a picture.

        Args:
            names: what to call participants; an id that is not there is shown as it is.
        """
        shown = {"told": told, "charts": charts(told.rounds, words), "names": names}
        return Drawing.of(
            {name: self._pages.text(f"run_{name}.html", words, **shown) for name in PARTS},
            ended=told.ended,
            until=told.until,
        )

    def events(self, reader: Reader, run: str, words: Words) -> AsyncIterator[bytes]:
        """What happens to a run, until it ended or the reader may no longer see it."""
        return follow(
            self._hub,
            run,
            reader,
            lambda: self._now(reader.session.caller, run, words),
            clock=self._clock,
        )

    async def _now(self, caller: Identity, run: str, words: Words) -> Drawing:
        """As `drawing`, made once for all who ask for the same; a RequestError for who may not."""
        newest = self._hub.newest
        who = caller.role, caller.participant
        await self._checked.get((*who, run), newest, lambda: self._check(caller, run))
        key, version = _key(caller, run, words), self._hub.version(run)
        known = self._kept(key, version)
        if known is not None:
            return known
        return await self._drawings.get(
            key, (version, self._late(key, version)), lambda: self._draw(caller, run, words)
        )

    def _kept(self, key: Hashable, version: int) -> Drawing | None:
        """What was made of this version, if it still holds."""
        for late in (True, False):
            known = self._drawings.kept(key, (version, late))
            if known is not None and known.holds(self._clock()):
                return known
        return None

    def _late(self, key: Hashable, version: int) -> bool:
        """Whether what was made of this version no longer holds: an open permit has ended."""
        return self._drawings.kept(key, (version, False)) is not None

    def _check(self, caller: Identity, run: str) -> bool:
        self._door.check(caller, "List")
        self.reading.check(caller, run)
        return True


def _key(caller: Identity, run: str, words: Words) -> tuple[str, str, str]:
    """Who shares a drawing: those who may read the same names, in one language."""
    reader = caller.participant if caller.role in ("operator", "node", "consumer") else ""
    return run, words.language, reader
