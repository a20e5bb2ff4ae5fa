"""The only way into a node's own log, for the process that holds it and for those that do not.

A node's own log has exactly one writer: the process that holds its lock. So whoever changes
something that the log must tell (approval, revocation, withdrawal) puts the entry into the node's
database in the transaction of the change itself, numbered; `Journal.drain`, in whichever process
holds the log, appends the entries in that order. A crash between append and removal appends nothing
twice: the number is the log's idempotency key.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from clients.identity import NodeIdentity, open_own_log
from ledger.checkpoint import Checkpoint, open_checkpoint
from ledger.errors import LogUnavailable
from ledger.note import NoteVerifier
from ledger.turns import Appended
from policies.entries import EntryType, entry_bytes
from policies.parts import log_lines

LOGGER = logging.getLogger(__name__)


class PendingEntries(Protocol):
    """Entries that wait for the log; `clients.state.NodeState` keeps them."""

    def pending_entries(self) -> list[tuple[int, bytes]]:
        """In order, each with its number."""

    def drop_entry(self, number: int) -> None:
        """The log holds this entry durably."""


class LogWriter(Protocol):
    """The node's own log, as far as the journal writes it; `ledger.log.Log` is one."""

    @property
    def size(self) -> int:
        """Number of published entries."""

    def append(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> Appended:
        """All or none, durable when it returns; LedgerError otherwise."""

    def checkpoint(self) -> str:
        """The newest signed checkpoint."""


class Journal:
    """The only way entries get into the node's own log. Safe to share between threads.

    Args:
        log: the node's own log, held by this process.
        state: whose pending entries go first.
        verifier: of the own log's checkpoints.
    """

    def __init__(self, *, log: LogWriter, state: PendingEntries, verifier: NoteVerifier) -> None:
        self._log = log
        self._state = state
        self._verifier = verifier
        self._order = threading.Lock()

    def write(
        self, kind: EntryType, *, time: str, body: object, idempotency_key: str | None = None
    ) -> int:
        """Append one entry, after all that is pending; durable when its index is returned.

        Raises:
            LedgerError: the log is unavailable or damaged, or the key was used for another entry.
        """
        entry = entry_bytes(kind, time=time, body=body)
        with self._order:
            self._drain()
            lines = log_lines(entry)
            appended = self._log.append(lines, idempotency_key=idempotency_key)
            return appended.first_index + len(lines) - 1

    def drain(self) -> int:
        """Append what other processes left in the state; returns how many entries that were."""
        with self._order:
            return self._drain()

    def head(self) -> Checkpoint:
        """Origin, size and root of the own log now."""
        return open_checkpoint(self._log.checkpoint(), self._verifier)

    def _drain(self) -> int:
        pending = self._state.pending_entries()
        for number, entry in pending:
            self._log.append(log_lines(entry), idempotency_key=f"journal-{number}")
            # A crash here: the entry is in the log and still pending; the key keeps it single.
            self._state.drop_entry(number)
        return len(pending)


def log_pending(identity: NodeIdentity, state: PendingEntries) -> bool:
    """Append what is pending to the node's own log; False if a running node does it instead.

    Raises:
        LedgerError: the log is damaged.
    """
    if not state.pending_entries():
        return True
    try:
        with open_own_log(identity) as log:
            Journal(log=log, state=state, verifier=identity.log_signer.verifier).drain()
    except LogUnavailable as error:
        LOGGER.info("entries stay pending for the process that holds the log: %s", error)
        return False
    return True
