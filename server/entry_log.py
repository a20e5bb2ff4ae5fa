"""Lines in the program's log for what the space's log says of runs: one for each such entry.

With the entry's own ids (run, round, kind, permit, pseudonym, code) and no text of anybody's: who
wants the reasons finds them in the entry, whose index is told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from policies.entries import parse_entry
from policies.errors import PolicyError
from server.observing import Call, Fact

LOGGER = logging.getLogger(__name__)
_SAID: Final[Mapping[str, str]] = {
    "RunOpened": "run opened",
    "RunResumed": "run resumed",
    "RunEnded": "run ended",
    "RoundDecided": "round decided",
    "PermitIssued": "permit issued",
    "ReceiptAccepted": "receipt accepted",
    "ReceiptRefused": "receipt refused",
    "MasksReleased": "masks released",
    "RoundClosed": "round closed",
    "RoundAbandoned": "round abandoned",
    "ConsentWithdrawn": "consent withdrawn",
    "TransferStep": "transfer changed",
}
_FIELDS: Final[Mapping[str, str]] = {
    "run": "run",
    "flower_run": "flower_run",
    "round": "round",
    "kind": "kind",
    "permit_id": "permit",
    "participant": "participant",
    "product": "product",
    "agreement": "agreement",
    "app": "app",
    "code": "code",
}


class EntryLog:
    """A `server.observing.Observer` that writes to the program's log."""

    def call(self, call: Call) -> AbstractContextManager[None]:
        """See `server.observing.Observer`: calls have lines only where they are refused."""
        return nullcontext()

    def append(self, entries: int) -> AbstractContextManager[None]:
        """See `server.observing.Observer`: no line."""
        return nullcontext()

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """See `server.observing.Observer`."""
        if kind not in _SAID or not LOGGER.isEnabledFor(logging.INFO):
            return
        try:
            body = parse_entry(data).body
        except PolicyError:  # the journal applied it: not ours to judge
            return
        LOGGER.info("%s (entry %d)", _SAID[kind], index, extra=_fields(kind, body))

    def answered(self, status: int, seconds: float) -> None:
        """See `server.observing.Observer`: pages have no lines."""


def _fields(kind: str, body: Mapping[str, Any]) -> dict[str, Fact]:
    found = {
        field: body[name]
        for name, field in _FIELDS.items()
        if isinstance(body.get(name), str | int)
    }
    if kind == "PermitIssued":
        found["permit"] = str(body["id"])
    return found
