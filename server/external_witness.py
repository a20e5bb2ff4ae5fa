"""Asking a witness elsewhere to cosign the log's heads (C2SP tlog-witness, add-checkpoint).

Such a witness stands with a URL in the operator's policy file. It is called without redirects,
without a proxy of the environment, within seconds, and over TLS unless it is on this machine. What
it answers is bounded, and believed only as far as its signature goes.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
import threading
from collections.abc import Sequence
from typing import Final

import httpx

from ledger.errors import LedgerError, ProofError
from ledger.tlogpolicy import PolicyWitness
from ledger.witness import format_request, parse_size
from server.cosigning import Cosigning, Offered
from server.errors import RequestError, SpaceError

TIMEOUT_S: Final = 5.0
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 64 * 1024
_ATTEMPTS: Final = 3
_OK, _CONFLICT, _UNPROVEN = 200, 409, 422
_LOGGER = logging.getLogger(__name__)


def check_url(witness: PolicyWitness) -> None:
    """Returns only if this witness's URL may be called.

    Raises:
        SpaceError: no HTTPS, unless it is on this machine; or no URL at all.
    """
    try:
        url = httpx.URL(witness.url)
    except httpx.InvalidURL as error:
        raise SpaceError(f"witness {witness.name}: expected a URL, got: {error}") from error
    if url.host and (url.scheme == "https" or (url.scheme == "http" and _is_local(url.host))):
        return
    raise SpaceError(
        f"witness {witness.name}: expected an https URL (http only on this machine), got "
        f"{witness.url!r:.200}; correct the witness policy"
    )


class ExternalWitness:
    """One witness elsewhere, and the thread that asks it.

    Args:
        witness: from the operator's policy; its URL is the witness's submission prefix.
        cosigning: whose heads are sent, and who takes the answers.
        client: for tests; closed with this.

    Raises:
        SpaceError: its URL may not be called.
    """

    def __init__(
        self, witness: PolicyWitness, cosigning: Cosigning, client: httpx.Client | None = None
    ) -> None:
        check_url(witness)
        self._witness = witness
        self._cosigning = cosigning
        self._client = client or httpx.Client(
            verify=ssl.create_default_context(),
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
        )
        self._url = f"{witness.url.rstrip('/')}/add-checkpoint"
        self._known = 0  # size that the witness has, as far as it was heard
        self._pause_s = FIRST_PAUSE_S
        self._closed = threading.Event()
        self._heads = cosigning.watch(f"witness {witness.name}", size=0)
        self._thread = threading.Thread(target=self._work, name="witness", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more; safe to call again."""
        self._closed.set()
        self._heads.close()
        self._thread.join(2 * TIMEOUT_S)
        self._client.close()

    def _work(self) -> None:
        for offered in self._heads:
            try:
                self.ask(offered)
                self._pause_s = FIRST_PAUSE_S
            except (httpx.HTTPError, LedgerError, RequestError) as error:
                _LOGGER.warning(
                    "witness %s did not cosign size %d: %s",
                    self._witness.name,
                    offered.size,
                    error or type(error).__name__,
                )
                if self._closed.wait(self._pause_s):
                    return
                self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
                self._heads.again(offered)

    def ask(self, offered: Offered) -> None:
        """Have one head cosigned, from whatever size the witness knows.

        Raises:
            httpx.HTTPError: no answer.
            LedgerError: an answer of another form, or a status that is none of the protocol's.
            RequestError: a cosignature that does not hold.
        """
        for _ in range(_ATTEMPTS):
            request = self._cosigning.request(self._known, offered)
            status, body = self._post(format_request(request))
            if status == _OK:
                self._cosigning.take(self._witness.verifier, offered.size, body)
                self._known = offered.size
                return
            if status != _CONFLICT:
                break
            known = parse_size(body)
            if known > offered.size:
                _LOGGER.critical(
                    "witness %s cosigned a head of %d entries, this one has %d: if the log holds "
                    "no more, it was put back to an older state",
                    self._witness.name,
                    known,
                    offered.size,
                )
                return
            self._known = known
        if status == _UNPROVEN:
            _LOGGER.critical(
                "witness %s holds that the log was forked before size %d",
                self._witness.name,
                offered.size,
            )
        text = body[:200].decode("utf-8", "replace")
        raise ProofError(f"expected 200 or a conflict once, got {status}: {text!r}")

    def _post(self, data: bytes) -> tuple[int, bytes]:
        body = bytearray()
        with self._client.stream("POST", self._url, content=data) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise ProofError(f"expected at most {MAX_ANSWER_BYTES} bytes, got more")
        return response.status_code, bytes(body)


def ask_witnesses(
    witnesses: Sequence[PolicyWitness], cosigning: Cosigning
) -> list[ExternalWitness]:
    """Those of a policy's witnesses that have a URL, being asked from now on; close each.

    Raises:
        SpaceError: a URL that may not be called; nothing was started.
    """
    called = [witness for witness in witnesses if witness.url]
    for witness in called:
        check_url(witness)
    return [ExternalWitness(witness, cosigning) for witness in called]


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
