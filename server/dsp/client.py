"""The consumer's side of the Dataspace Protocol: a client that believes signatures, not servers.

It trusts certificates of the space's CA only, takes no proxy from the environment, follows no
redirect and bounds every answer. What it signs, it has compared with what it asked for.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.canonical import Json, canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.odrl import Offer
from server.dsp import documents
from server.dsp.consumer import Negotiation, verification
from server.dsp.documents import BASE, EXTENSION, Out
from server.dsp.messages import parse_message_offer
from server.errors import GovernanceRefused, GovernanceUnavailable

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 8 << 20
MAX_PAGES: Final = 1000
# Nobody is called back by default: the provider does so only where its operator allows it.
NO_CALLBACK: Final = "https://callback.invalid/"


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer process as the provider tells it."""

    provider_pid: str
    consumer_pid: str
    state: str


class ContractsClient:
    """One connection to a provider's endpoint. A context manager.

    Every call raises `GovernanceRefused` with the provider's reason (`code` is the HTTP status), or
    `GovernanceUnavailable` where no proper answer came.

    Args:
        address: host:port.
        ca_pem: the only CA that may have issued the endpoint's certificate.
        token: as `IssueToken` gave it; it is sent to this address only.
    """

    def __init__(self, *, address: str, ca_pem: str, token: str) -> None:
        self._address = address
        self._client = httpx.Client(
            base_url=f"https://{address}",
            verify=ssl.create_default_context(cadata=ca_pem),
            headers={"authorization": f"Bearer {token}", "accept": "application/json"},
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- catalogue -----------------------------------------------------------------------------

    def versions(self) -> list[Json]:
        """The protocol versions that the endpoint speaks."""
        found = self._ask("GET", "/.well-known/dspace-version").get("protocolVersions")
        return found if isinstance(found, list) else []

    def datasets(self) -> list[dict[str, Json]]:
        """Everything that is offered, from all pages."""
        found: list[dict[str, Json]] = []
        request = documents.root({"@type": "CatalogRequestMessage"})
        for page in range(MAX_PAGES):
            path = f"{BASE}/catalog/request" + (f"?page={page}" if page else "")
            listed = self._ask("POST", path, request).get("dataset", [])
            new = (
                [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            )
            if not new:
                break
            found += new
        return found

    def dataset(self, product: str) -> dict[str, Json]:
        """One data product with its offers."""
        return self._ask("GET", f"{BASE}/catalog/datasets/{quote(product, safe='')}")

    # -- negotiations --------------------------------------------------------------------------

    def request(
        self, consumer_pid: str, offer: Offer, product: str, *, callback: str = NO_CALLBACK
    ) -> Negotiation:
        """Open a negotiation over an offer. The same again changes nothing.

        Args:
            consumer_pid: new, and the consumer's own name for it.
            offer: as it is published, or with changes to it.
        """
        message = documents.request_message(
            consumer_pid, offer.to_json(), product, callback=callback
        )
        return _negotiation(self._ask("POST", f"{BASE}/negotiations/request", message))

    def counter(self, known: Negotiation, offer: Offer, product: str) -> Negotiation:
        """Answer the provider's offer with another one, or with changes to it."""
        message = documents.request_message(
            known.consumer_pid, offer.to_json(), product, provider_pid=known.provider_pid
        )
        return self._say(known, "request", message)

    def negotiation(self, provider_pid: str) -> Negotiation:
        """How a negotiation stands."""
        path = f"{BASE}/negotiations/{quote(provider_pid, safe=':')}"
        return _negotiation(self._ask("GET", path))

    def accept(self, known: Negotiation) -> Negotiation:
        """Accept the provider's offer."""
        message = documents.event_message(known.provider_pid, known.consumer_pid, "ACCEPTED")
        return self._say(known, "events", message)

    def verify(
        self, known: Negotiation, *, key: Ed25519PrivateKey, participant: str
    ) -> Negotiation:
        """Sign the agreement of a negotiation that `check_agreement` has passed."""
        assert known.agreement is not None  # check_agreement has seen it
        message = verification(known, document=known.agreement, key=key, participant=participant)
        return self._say(known, "agreement/verification", message)

    def terminate(self, known: Negotiation, reason: str = "") -> Negotiation:
        """End a negotiation."""
        kind = "ContractNegotiationTerminationMessage"
        message = documents.process_message(kind, known.provider_pid, known.consumer_pid, reason)
        return self._say(known, "termination", message)

    # -- transfers -----------------------------------------------------------------------------

    def request_transfer(
        self, consumer_pid: str, agreement: str, *, callback: str = NO_CALLBACK
    ) -> Transfer:
        """Ask for a transfer process; a run that is opened under the agreement starts it."""
        message = documents.transfer_request(consumer_pid, agreement, callback)
        return _transfer(self._ask("POST", f"{BASE}/transfers/request", message))

    def transfer(self, provider_pid: str) -> Transfer:
        """How a transfer stands."""
        return _transfer(self._ask("GET", f"{BASE}/transfers/{quote(provider_pid, safe=':')}"))

    def move(self, known: Transfer, verb: str, reason: str = "") -> Transfer:
        """`start`, `suspension`, `completion` or `termination` of a transfer."""
        kind = f"Transfer{verb.capitalize()}Message"
        message = documents.process_message(kind, known.provider_pid, known.consumer_pid, reason)
        path = f"{BASE}/transfers/{quote(known.provider_pid, safe=':')}/{verb}"
        return _transfer(self._ask("POST", path, message))

    # -- inside --------------------------------------------------------------------------------

    def _say(self, known: Negotiation, verb: str, message: Out) -> Negotiation:
        path = f"{BASE}/negotiations/{quote(known.provider_pid, safe=':')}/{verb}"
        return _negotiation(self._ask("POST", path, message))

    def _ask(self, method: str, path: str, message: Out | None = None) -> dict[str, Any]:
        content = canonical_bytes(message) if message is not None else None
        headers = {"content-type": "application/json"} if message is not None else {}
        try:
            with self._client.stream(method, path, content=content, headers=headers) as answer:
                data = bytearray()
                for part in answer.iter_bytes():
                    data += part
                    if len(data) > MAX_ANSWER_BYTES:
                        raise self._improper(f"more than {MAX_ANSWER_BYTES} bytes")
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._improper(f"{type(error).__name__}: {error}") from error
        return self._read(bytes(data), status)

    def _read(self, data: bytes, status: int) -> dict[str, Any]:
        try:
            value = parse_json(data, max_bytes=MAX_ANSWER_BYTES) if data else {}
        except DocumentError as error:
            raise self._improper(str(error)) from error
        if not isinstance(value, dict):
            raise self._improper("no JSON object")
        if status in (200, 201):
            return value
        if status == 404:
            raise GovernanceRefused("404", "not known there, or not yours, or the token expired")
        if not 400 <= status < 500:
            raise self._improper(f"status {status}")
        reasons = value.get("reason", [])
        text = "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""
        raise GovernanceRefused(str(status), text or "without a reason")

    def _improper(self, got: str) -> GovernanceUnavailable:
        return GovernanceUnavailable(
            f"contracts at {self._address}: expected an answer of the Dataspace Protocol, got "
            f"{got:.300}; is `tds serve` running, and is this the right address?"
        )


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise GovernanceUnavailable(
            f"contracts: expected an answer with {name}, got {type(found).__name__}"
        )
    return found


def _negotiation(value: dict[str, Any]) -> Negotiation:
    offer = value.get(EXTENSION + "offer")
    agreement = value.get(EXTENSION + "agreement")
    signature = value.get(EXTENSION + "signature")
    product, on_table = parse_message_offer(offer) if isinstance(offer, dict) else (None, None)
    return Negotiation(
        provider_pid=_text(value, "providerPid"),
        consumer_pid=_text(value, "consumerPid"),
        state=_text(value, "state"),
        product=product,
        offer=on_table,
        agreement=agreement if isinstance(agreement, str) else None,
        envelope=canonical_bytes(signature) if isinstance(signature, dict) else None,
    )


def _transfer(value: dict[str, Any]) -> Transfer:
    return Transfer(
        provider_pid=_text(value, "providerPid"),
        consumer_pid=_text(value, "consumerPid"),
        state=_text(value, "state"),
    )
