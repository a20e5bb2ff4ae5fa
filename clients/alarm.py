"""What a node does when the space's log shows two faces: keep, log, tell; in this order.

1. both signed heads are evidence in the node's folder (clients.evidence);
2. `ForkSeen` in the node's own log;
3. governance is told, as often as needed: it may be down, or be the one that forks.

A crash between two steps is made up for by `settle`, at the next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from clients.errors import ClientError, GovernanceError
from clients.evidence import Evidence, keep_evidence, read_evidence
from clients.journal import Journal
from clients.records import Fork
from ledger.errors import LedgerError
from ledger.note import NoteVerifier, only_by
from policies.errors import PolicyError
from policies.fields import instant

LOGGER = logging.getLogger(__name__)


class ReportPort(Protocol):
    """Who is told; `clients.governance.GovernanceClient` is one, tests have another."""

    def report_fork(self, *, kind: str, seen: str, came: str, text: str) -> None:
        """Two signed heads; GovernanceError if it was not heard."""


class ForkAlarm:
    """Keeps, logs and tells. Safe to share between threads.

    Args:
        folder: the node's `evidence/`.
        journal: into the node's own log.
        space_log: whose signature alone goes with the heads into entry and report.
        governance: who is told.
        clock: aware UTC now.
    """

    def __init__(
        self,
        *,
        folder: Path,
        journal: Journal,
        space_log: NoteVerifier,
        governance: ReportPort,
        clock: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._space_log = space_log
        self._governance = governance
        self._clock = clock
        self._turn = threading.Lock()
        self._told: set[str] = set()

    def raised(self, fork: Fork) -> None:
        """Take note of a fork. What cannot be written is in the program's log at least."""
        LOGGER.critical("the space's log is not to be trusted (%s): %s", fork.kind, fork.text)
        try:
            with self._turn:
                kept = keep_evidence(self._folder, fork, time=instant(self._clock()))
                if kept is None:
                    LOGGER.critical("evidence: enough is kept; these two heads are not")
                    return
                self._log(kept)
        except (ClientError, LedgerError, PolicyError) as error:
            LOGGER.critical("evidence could not be kept or logged: %s", error)
            return
        self.tell()

    def settle(self) -> None:
        """Log what a crash kept from the own log; at start, before anything else.

        Raises:
            ClientError, LedgerError: it cannot be read, or not be logged.
        """
        with self._turn:
            for kept in read_evidence(self._folder):
                self._log(kept)

    def tell(self) -> None:
        """Tell governance of what it has not heard from this process; the node calls it now and
        then. A failure is logged."""
        try:
            with self._turn:
                for kept in read_evidence(self._folder):
                    if kept.record.id not in self._told:
                        self._report(kept)
                        self._told.add(kept.record.id)
        except GovernanceError as error:
            LOGGER.warning("governance was not told of evidence against its log: %s", error)
        except (ClientError, LedgerError) as error:
            LOGGER.error("evidence cannot be read: %s", error)

    def _log(self, kept: Evidence) -> None:
        record = kept.record
        body = {
            "evidence": record.id,
            "kind": record.kind,
            "text": record.text,
            "seen": {
                "size": record.seen_size,
                "root": record.seen_root,
                "note": self._bare(kept.seen),
            },
            "came": {
                "size": record.came_size,
                "root": record.came_root,
                "note": self._bare(kept.came),
            },
        }
        self._journal.write(
            "ForkSeen", time=record.time, body=body, idempotency_key=f"fork:{record.id}"
        )

    def _report(self, kept: Evidence) -> None:
        self._governance.report_fork(
            kind=kept.record.kind,
            seen=self._bare(kept.seen),
            came=self._bare(kept.came),
            text=kept.record.text,
        )

    def _bare(self, note: str) -> str:
        return only_by(note, self._space_log)
