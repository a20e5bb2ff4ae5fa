"""The space's page: drawn once for all who watch it, looked at every other second.

    event: drawing   the drawing, with a sentence for who does not see it
    event: lists     products and participants
    event: log       the log's head

No entry of the log tells who is connected or who cosigned, so that pages look by themselves; where
nothing changed they are sent nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from datetime import datetime
from typing import Final

from server.console.door import Door
from server.console.drawing import PHONE, draw
from server.console.following import Drawing, Reader, follow
from server.console.hub import SPACE, Hub
from server.console.pages import Pages
from server.console.shared import Shared
from server.console.spaces import Spaces, drawn, title_of
from server.console.words import Words
from server.pki import Identity

MAX_LINES: Final = 200
MAX_DRAWINGS: Final = 64
LOOK_S: Final = 2.0
PARTS: Final = ("drawing", "lists", "log")


class SpaceLive:
    """Drawings of the space.

    Args:
        name: of the space.
    """

    def __init__(
        self,
        *,
        spaces: Spaces,
        hub: Hub,
        pages: Pages,
        name: str,
        door: Door,
        clock: Callable[[], datetime],
    ) -> None:
        self._spaces = spaces
        self._hub = hub
        self._pages = pages
        self._name = name
        self._door = door
        self._clock = clock
        self._versions: Shared[Hashable] = Shared()
        self._drawings: Shared[Drawing] = Shared(MAX_DRAWINGS)
        self._checked: Shared[bool] = Shared()

    def drawing(self, caller: Identity, words: Words) -> Drawing:
        """The parts of the page as they are now, as this caller may see them."""
        key, version = _key(caller, words), (self._hub.newest, self._spaces.version())
        known = self._drawings.kept(key, version)
        if known is None:
            known = self._drawings.keep(key, version, self._draw(caller, words))
        return known

    def _draw(self, caller: Identity, words: Words) -> Drawing:
        view = self._spaces.view(caller)
        people = drawn(view, words)
        nodes = [one for one in people if one.role == "node"]
        said = words(
            "space-drawing",
            nodes=len(nodes),
            regions=len({one.region for one in nodes}),
            up=sum(1 for one in nodes if one.up),
        )
        title = words("space-title", name=self._name)
        shown = {
            "view": view,
            "people": [one for one in people if one.role != "log"],
            "most": MAX_LINES,
            "said": said,
            "titles": {one["participant"]: title_of(one) for one in view.people},
            "sectors": {one["participant"]: one["sector"] for one in view.people},
            "wide": draw(people, say=words, title=title, text=said),
            "narrow": draw(people, say=words, title=title, text=said, sheet=PHONE),
        }
        return Drawing.of(
            {part: self._pages.text(f"space_{part}.html", words, **shown) for part in PARTS}
        )

    def events(self, reader: Reader, words: Words) -> AsyncIterator[bytes]:
        """What changes, until the reader is no longer signed in."""
        return follow(
            self._hub,
            SPACE,
            reader,
            lambda: self._now(reader.session.caller, words),
            clock=self._clock,
            look_s=LOOK_S,
        )

    async def _now(self, caller: Identity, words: Words) -> Drawing:
        """As `drawing`, made once for all who ask for the same; a RequestError for who may not."""
        newest = self._hub.newest
        who = caller.role, caller.participant
        await self._checked.get(who, newest, lambda: self._check(caller))
        tick = int(asyncio.get_running_loop().time() / LOOK_S)
        version = await self._versions.get("", (tick, newest), self._spaces.version)
        reader = caller.participant if caller.role in ("operator", "node", "consumer") else ""
        key = words.language, reader
        return await self._drawings.get(key, (newest, version), lambda: self.drawing(caller, words))

    def _check(self, caller: Identity) -> bool:
        self._door.check(caller, "List")
        return True


def _key(caller: Identity, words: Words) -> tuple[str, str]:
    """Who shares a drawing: those who may read the same names, in one language."""
    reader = caller.participant if caller.role in ("operator", "node", "consumer") else ""
    return words.language, reader
