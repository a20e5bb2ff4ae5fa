"""Telling consumers what the provider did, where their operator's side said that it may be told.

A message's `callbackAddress` is a stranger's wish: calling it unseen would let anybody aim requests
from inside the operator's network. So a participant is called only at addresses that begin with the
base the operator configured for it (`space.json`, `callbacks`), without redirects, without a proxy
of the environment, within seconds, and at most twice. Who is not called asks with GET, which is
what counts in any case: nothing is sent before its entry is durable, and nothing depends on it.
"""

from __future__ import annotations

import json
import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import httpx

from policies.canonical import canonical_bytes, parse_canonical
from server.dsp import documents, store
from server.dsp.documents import EXTENSION, Out
from server.dsp.rows import NegotiationRow, TransferRow
from server.errors import RequestError
from server.journal import Journal

TIMEOUT_S: Final = 5.0
ATTEMPTS: Final = 2
PAUSE_S: Final = 1.0
MAX_QUEUED: Final = 1000
_LOGGER = logging.getLogger(__name__)

_TRANSFERS: Final[Mapping[str, tuple[str, str]]] = {
    "STARTED": ("TransferStartMessage", "start"),
    "SUSPENDED": ("TransferSuspensionMessage", "suspension"),
    "COMPLETED": ("TransferCompletionMessage", "completion"),
    "TERMINATED": ("TransferTerminationMessage", "termination"),
}


class Callbacks:
    """A queue and the one thread that empties it.

    Args:
        bases: by participant, the URL its callback addresses must begin with.
        ca_pem: the space's CA; certificates of others are not accepted.
        pause: waits that many seconds before the second attempt.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        bases: Mapping[str, str],
        ca_pem: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._journal = journal
        self._bases = dict(bases)
        self._pause = pause
        self._queue: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue(MAX_QUEUED)
        self._closed = threading.Event()
        self._client = httpx.Client(
            verify=ssl.create_default_context(cadata=ca_pem),
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
        )
        self._thread = threading.Thread(target=self._work, name="callbacks", daemon=True)
        self._thread.start()

    def on_applied(self, _index: int, kind: str, data: bytes) -> None:
        """The journal's listener: note the provider's steps."""
        if not self._bases or kind not in ("NegotiationStep", "TransferStep"):
            return
        body = json.loads(data)["body"]
        if body["by"] != "provider":
            return
        try:
            self._queue.put_nowait((kind, body))
        except queue.Full:
            _LOGGER.warning("callbacks: more than %d wait; one was left out", MAX_QUEUED)

    def close(self) -> None:
        """Deliver nothing more; safe to call again."""
        self._closed.set()
        with suppress(queue.Full):  # then the worker is awake, and sees that it shall stop
            self._queue.put_nowait(None)
        self._thread.join(2 * TIMEOUT_S)
        self._client.close()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None and not self._closed.is_set():
            try:
                self._deliver(*item)
            except (RequestError, httpx.HTTPError, httpx.InvalidURL) as error:
                _LOGGER.warning("callback was not delivered: %s", error)

    def _deliver(self, kind: str, body: dict[str, Any]) -> None:
        row: NegotiationRow | TransferRow | None
        with self._journal.reading() as connection:
            if kind == "NegotiationStep":
                row = store.negotiation(connection, body["negotiation"])
            else:
                row = store.transfer(connection, body["transfer"])
        if row is None or not self._may_call(row):
            return
        path, message = (
            negotiation_push(row, body["state"])
            if isinstance(row, NegotiationRow)
            else transfer_push(row, body["state"])
        )
        url = f"{row.callback.rstrip('/')}/{path}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status = self._post(url, message)
            except httpx.TransportError:
                if attempt == ATTEMPTS:
                    raise
            else:
                if status < 500:
                    _LOGGER.info("callback to %s about %s: %d", row.consumer, row.id, status)
                    return
            self._pause(PAUSE_S)
        _LOGGER.warning("callback to %s about %s was not taken", row.consumer, row.id)

    def _post(self, url: str, message: Out) -> int:
        headers = {"content-type": "application/json"}
        body = canonical_bytes(message)
        # The answer's body is nobody's business here, and may be of any size: it is not read.
        with self._client.stream("POST", url, content=body, headers=headers) as response:
            return response.status_code

    def _may_call(self, row: NegotiationRow | TransferRow) -> bool:
        base = self._bases.get(row.consumer, "").rstrip("/")
        return bool(base) and (
            row.callback.rstrip("/") == base or row.callback.startswith(base + "/")
        )


def negotiation_push(row: NegotiationRow, state: str) -> tuple[str, Out]:
    """Path below the callback address, and message, for the provider's step to `state`."""
    path = f"negotiations/{quote(row.consumer_pid, safe=':')}"
    pids = (row.id, row.consumer_pid)
    if state == "OFFERED":
        message = documents.offer_message(*pids, json.loads(row.document), row.product)
        return f"{path}/offers", message
    if state == "AGREED" and row.agreement_document is not None and row.envelope is not None:
        signature = parse_canonical(row.envelope, max_bytes=len(row.envelope))
        message = documents.agreement_message(*pids, json.loads(row.agreement_document))
        return f"{path}/agreement", message | {EXTENSION + "signature": signature}
    if state == "FINALIZED":
        return f"{path}/events", documents.event_message(*pids, "FINALIZED")
    kind = "ContractNegotiationTerminationMessage"
    return f"{path}/termination", documents.process_message(kind, *pids, row.reason)


def transfer_push(row: TransferRow, state: str) -> tuple[str, Out]:
    """As `negotiation_push`."""
    kind, verb = _TRANSFERS[state]
    reason = row.reason if verb in ("suspension", "termination") else ""
    message = documents.process_message(kind, row.id, row.consumer_pid, reason)
    return f"transfers/{quote(row.consumer_pid, safe=':')}/{verb}", message
