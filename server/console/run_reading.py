"""Reading a run for its page: what is over is read and told once, however often it is drawn."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from server import queries, released
from server.console.lanes import RunPicture, Told, picture, tell
from server.console.privacy import spent_after
from server.errors import NotKnown
from server.governance import Governance
from server.pki import Identity
from server.rows import RunRow
from server.views import may_see_run

MAX_KEPT_ATTEMPTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Over:
    """The first attempts of a run, all over; `last` is the newest one's row."""

    told: tuple[Told, ...] = ()
    last: int = -1


class RunReading:
    """Pictures of runs, from the registry, which is the log's projection."""

    def __init__(self, governance: Governance, clock: Callable[[], datetime]) -> None:
        self._governance = governance
        self._clock = clock
        self._lock = threading.Lock()
        self._over: OrderedDict[str, _Over] = OrderedDict()

    def check(self, caller: Identity, run: str) -> None:
        """Returns only if the caller may see the run.

        Raises:
            NotKnown: no such run that the caller may see.
        """
        with self._governance.reading() as connection:
            _seen(connection, caller, run)

    def row(self, caller: Identity, run: str) -> RunRow:
        """The run, with its reason as people wrote it; NotKnown as `check`."""
        with self._governance.reading() as connection:
            return self._row(connection, caller, run)

    def picture(self, caller: Identity, run: str) -> RunPicture:
        """The run as it is now; NotKnown as `check`."""
        with self._lock:
            before = self._over.get(run, _Over())
        with self._governance.reading() as connection:
            row = self._row(connection, caller, run)
            told, over = self._read(connection, row, before)
        self._keep(run, over)
        return picture(row, told)

    def _row(self, connection: Connection, caller: Identity, run: str) -> RunRow:
        row = _seen(connection, caller, run)
        return replace(row, reason=self._governance.disclosing.text(row.said) or row.reason)

    def _read(self, connection: Connection, run: RunRow, before: _Over) -> tuple[list[Told], _Over]:
        """All attempts, told, and those at the beginning that are over."""
        attempts = queries.rounds(connection, run.id, after=before.last)
        permits = [one.permit_id for one in attempts if one.permit_id]
        receipts = queries.receipts(connection, permits)
        opened = released.of_permits(connection, permits)
        spent, now = spent_after(json.loads(run.spec)), self._clock()
        told, over = [*before.told], before
        given = sum(1 for one in told if one.permitted)
        for attempt in attempts:
            id = attempt.permit_id or ""
            given += bool(id)
            own = [one for one in receipts if one.permit_id == id] if id else []
            told.append(tell(attempt, own, opened.get(id), spent=spent(given), now=now))
            if told[-1].over and len(over.told) == len(told) - 1:
                over = _Over((*over.told, told[-1]), attempt.id)
        return told, over

    def _keep(self, run: str, over: _Over) -> None:
        with self._lock:
            self._over.pop(run, None)
            self._over[run] = over
            while sum(len(one.told) for one in self._over.values()) > MAX_KEPT_ATTEMPTS:
                self._over.popitem(last=False)


def _seen(connection: Connection, caller: Identity, run: str) -> RunRow:
    row = queries.run(connection, run)
    if row is None or not may_see_run(connection, caller, row):
        raise NotKnown(f"run {run!r:.80}: expected the id of a run")
    return row
