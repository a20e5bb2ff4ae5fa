"""Telling consumers what the provider did, where their operator's side said that it may be told.

A message's `callbackAddress` is a stranger's wish: calling it unseen would let anybody aim requests
from inside the operator's network. So a participant is called only at addresses that begin with the
base the operator configured for it (`space.json`, `callbacks`), without redirects, without a proxy
of the environment, within seconds, and at most twice. Who is not called asks with GET, which is
what counts in any case: nothing is sent before its entry is durable, and nothing depends on it. Of
what a consumer answers, only its own name for a negotiation that an owner opened is kept.
"""

from __future__ import annotations

import base64
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
from pydantic import TypeAdapter, ValidationError

from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from server.disclosing import Disclosing
from server.dsp import documents, store
from server.dsp.documents import EXTENSION, Out
from server.dsp.messages import Pid
from server.dsp.rows import NegotiationRow, TransferRow
from server.errors import RequestError
from server.journal import Journal

TIMEOUT_S: Final = 5.0
ATTEMPTS: Final = 2
PAUSE_S: Final = 1.0
MAX_QUEUED: Final = 1000
MAX_ANSWER_BYTES: Final = 16_384
_PID: Final[TypeAdapter[str]] = TypeAdapter(Pid)
_LOGGER = logging.getLogger(__name__)

Body = Mapping[str, Any]

_TRANSFERS: Final[Mapping[str, tuple[str, str]]] = {
    "STARTED": ("TransferStartMessage", "start"),
    "SUSPENDED": ("TransferSuspensionMessage", "suspension"),
    "COMPLETED": ("TransferCompletionMessage", "completion"),
    "TERMINATED": ("TransferTerminationMessage", "termination"),
}


class Callbacks:
    """A queue and the one thread that empties it.

    Args:
        url: base of our own paths, for consumers that are told of a negotiation first.
        bases: by participant, the URL its callback addresses must begin with.
        ca_pem: the space's CA; certificates of others are not accepted.
        pause: waits that many seconds before the second attempt.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        texts: Disclosing,
        url: str,
        bases: Mapping[str, str],
        ca_pem: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._journal = journal
        self._texts = texts
        self._url = url
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
        base = self._may_call(row) if row is not None else None
        if row is None or base is None:
            return
        reason = self._texts.text(body.get("said")) or body.get("reason", "")
        if isinstance(row, TransferRow):
            self._tell(row, base, *transfer_push(row, body, reason))
        elif body["before"] is None:
            push = first_offer_push(row, body, callback=self._url)
            self._name(row, self._tell(row, base, *push, asking=True))
        elif row.consumer_pid is not None:
            self._tell(row, base, *negotiation_push(row, row.consumer_pid, body, reason))

    def _tell(
        self,
        row: NegotiationRow | TransferRow,
        base: str,
        path: str,
        message: Out,
        *,
        asking: bool = False,
    ) -> bytes:
        """Nothing, or, where it is asked for, what the consumer answers as it takes the message."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, answer = self._post(f"{base}/{path}", message, asking=asking)
            except httpx.TransportError:
                if attempt == ATTEMPTS:
                    raise
            else:
                if status < 500:
                    _LOGGER.info("callback to %s about %s: %d", row.consumer, row.id, status)
                    return answer if status < 300 else b""
            self._pause(PAUSE_S)
        _LOGGER.warning("callback to %s about %s was not taken", row.consumer, row.id)
        return b""

    def _post(self, url: str, message: Out, *, asking: bool) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"}
        body = canonical_bytes(message)
        answer = bytearray()
        with self._client.stream("POST", url, content=body, headers=headers) as response:
            # An answer may be of any size and take any time: what is of no use is not read.
            end = time.monotonic() + TIMEOUT_S
            for part in response.iter_raw() if asking else ():
                answer += part
                if len(answer) > MAX_ANSWER_BYTES or time.monotonic() > end:
                    break
            return response.status_code, bytes(answer)

    def _name(self, row: NegotiationRow, answer: bytes) -> None:
        """Keep what the consumer calls the negotiation; beside the log, for it says so once more
        in its first message, and only that counts."""
        try:
            value = parse_json(answer, max_bytes=MAX_ANSWER_BYTES)
            named = value if isinstance(value, dict) else {}
            pid = _PID.validate_python(named.get("consumerPid"))
        except (DocumentError, ValidationError):
            return
        if named.get("providerPid") != row.id or pid == documents.NONE:
            return
        self._journal.side(lambda connection: store.set_consumer_pid(connection, row, pid))

    def _may_call(self, row: NegotiationRow | TransferRow) -> str | None:
        """The address to call, where that is allowed."""
        base = self._bases.get(row.consumer, "").rstrip("/")
        callback = row.callback.rstrip("/")
        if isinstance(row, NegotiationRow) and row.opened_by == "provider":
            callback = base  # the consumer was not asked where; the operator has said it
        allowed = bool(base) and (callback == base or callback.startswith(base + "/"))
        return callback if allowed else None


def first_offer_push(row: NegotiationRow, body: Body, *, callback: str) -> tuple[str, Out]:
    """As `negotiation_push`, for the offer that opens a negotiation.

    Args:
        callback: base of our own paths.
    """
    offer = json.loads(body["document"])
    message = documents.first_offer_message(row.id, offer, row.product, callback=callback)
    return "negotiations/offers", message


def negotiation_push(
    row: NegotiationRow, consumer_pid: str, body: Body, reason: str
) -> tuple[str, Out]:
    """Path below the callback address, and message, for a step of the provider.

    Args:
        body: of the step's entry: the row may have moved on.
        reason: in the owner's words; the entry only commits to them.
    """
    path = f"negotiations/{quote(consumer_pid, safe=':')}"
    pids = (row.id, consumer_pid)
    if body["state"] == "OFFERED":
        message = documents.offer_message(*pids, json.loads(body["document"]), row.product)
        return f"{path}/offers", message
    if body["state"] == "AGREED":
        signature = json.loads(base64.b64decode(body["envelope"]))
        message = documents.agreement_message(*pids, json.loads(body["agreement_document"]))
        return f"{path}/agreement", message | {EXTENSION + "signature": signature}
    if body["state"] == "FINALIZED":
        return f"{path}/events", documents.event_message(*pids, "FINALIZED")
    kind = "ContractNegotiationTerminationMessage"
    return f"{path}/termination", documents.process_message(kind, *pids, reason)


def transfer_push(row: TransferRow, body: Body, reason: str) -> tuple[str, Out]:
    """As `negotiation_push`."""
    kind, verb = _TRANSFERS[body["state"]]
    why = reason if verb in ("suspension", "termination") else ""
    message = documents.process_message(kind, row.id, row.consumer_pid, why)
    return f"transfers/{quote(row.consumer_pid, safe=':')}/{verb}", message
