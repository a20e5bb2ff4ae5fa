"""Offers, negotiations and transfers over a `Site`: one owner, one consumer, no network."""

from __future__ import annotations

import copy
import json
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from server_site import CONSUMER, OPERATOR, SPACE, Node, Site

from policies.canonical import canonical_bytes, digest_of, parse_json
from policies.envelope import sign_envelope
from policies.fields import instant
from policies.odrl import CONTEXT, PROFILE, Offer, agreement_from_offer, parse_offer
from policies.statements import AGREEMENT_TYPE, OFFER_TYPE, VERIFICATION_TYPE
from server.dsp import documents
from server.dsp.client import ContractsClient
from server.dsp.endpoint import Endpoint, serve_contracts
from server.dsp.messages import (
    SIGNATURE,
    AgreementVerification,
    ContractRequest,
    NegotiationEvent,
    NegotiationTermination,
    TransferRequest,
    parse_message,
)
from server.dsp.rows import NegotiationRow, TransferRow
from server.errors import RequestError
from server.pki import Identity
from server.space import load_statement_key

OTHER = Identity(space=SPACE, role="consumer", participant="rival")
PID = "urn:uuid:mine"  # what the consumer calls a negotiation that the owner opened
CALLBACK = "https://consumer.example/dsp"


def until(moment: str, operator: str = "lteq") -> dict[str, Any]:
    right = {"@value": moment, "@type": "xsd:dateTime"}
    return {"leftOperand": "dateTime", "operator": operator, "rightOperand": right}


def offer(node: Node, id: str, *constraints: dict[str, Any], **changes: Any) -> Offer:
    rule: dict[str, Any] = {"action": "use"}
    if constraints:
        rule["constraint"] = list(constraints)
    document = {
        "@context": [CONTEXT],
        "@id": id,
        "@type": "Offer",
        "profile": PROFILE,
        "conflict": "prohibit",
        "assigner": node.name,
        "permission": [rule],
    }
    return parse_offer(canonical_bytes(document | changes))


def changed(message: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """The message with these properties; without those that are None."""
    rest = {key: value for key, value in (message | changes).items() if value is not None}
    return canonical_bytes(rest)


class Contracts:
    """What the two parties do, in short."""

    def __init__(self, site: Site, owner: str = "alpha") -> None:
        self.site = site
        self.owner = site.nodes[owner]
        self._count = 0

    @property
    def _contracts(self) -> Any:
        return self.site.governance.contracts

    @property
    def key(self) -> Ed25519PrivateKey:
        return load_statement_key(self.site.space.consumer_folder)

    def new_id(self, what: str) -> str:
        self._count += 1
        return f"{what}-{self._count}"

    # -- the owner ---------------------------------------------------------------------------

    def offer_envelope(self, given: Offer | None, **changes: Any) -> bytes:
        key = changes.pop("key", self.owner.receipt)
        signed = {
            "version": 1,
            "participant": self.owner.name,
            "product": self.owner.product,
            "offer": given.id if given else "",
            "document": canonical_bytes(given.to_json()).decode() if given else "",
            "auto_agree": False,
            "negotiation": "",
            "time": instant(self.site.now),
        }
        return sign_envelope(signed | changes, payload_type=OFFER_TYPE, key=key)

    def publish(self, *constraints: dict[str, Any], **changes: Any) -> Offer:
        made = offer(self.owner, changes.pop("id", None) or self.new_id("offer"), *constraints)
        envelope = self.offer_envelope(made, **changes)
        self._contracts.offers.publish(self.owner.identity, envelope)
        return made

    def agreement_envelope(self, row: NegotiationRow, **changes: Any) -> bytes:
        key = changes.pop("key", self.owner.receipt)
        participant = changes.pop("participant", self.owner.name)
        made = agreement_from_offer(
            parse_offer(row.document.encode()),
            id=changes.pop("id", None) or self.new_id("agreed"),
            target=row.product,
            assigner=row.owner,
            assignee=row.consumer,
            timestamp=self.site.now,
        )
        document = canonical_bytes(made.to_json() | changes).decode()
        signed = {"version": 1, "participant": participant, "document": document}
        return sign_envelope(signed, payload_type=AGREEMENT_TYPE, key=key)

    def agree(self, row: NegotiationRow, **changes: Any) -> NegotiationRow:
        found: NegotiationRow = self._contracts.owners.agree(
            self.owner.identity, row.id, self.agreement_envelope(row, **changes)
        )
        return found

    def counter_offer(self, row: NegotiationRow, *constraints: Any, **changes: Any) -> Any:
        made = offer(self.owner, self.new_id("counter"), *constraints)
        envelope = self.offer_envelope(made, **({"negotiation": row.id} | changes))
        return self._contracts.owners.offer(self.owner.identity, row.id, envelope)

    def opening(self, given: Offer, **changes: Any) -> bytes:
        """The envelope of an offer to the consumer, by which a negotiation is opened."""
        values = {"consumer": "consortium", "negotiation": None} | changes
        if values["negotiation"] is None:
            parts = [
                values.get("participant", self.owner.name),
                values.get("product", self.owner.product),
                values["consumer"],
                values.get("offer", given.id),
            ]
            values["negotiation"] = f"urn:tdspace:negotiation:{digest_of(parts)[:32]}"
        return self.offer_envelope(given, **values)

    def open(self, *constraints: dict[str, Any], **changes: Any) -> NegotiationRow:
        made = offer(self.owner, changes.pop("id", None) or self.new_id("private"), *constraints)
        found: NegotiationRow = self._contracts.owners.open(
            self.owner.identity, self.opening(made, **changes)
        )
        return found

    def end(self, row: NegotiationRow, reason: str = "no") -> NegotiationRow:
        found: NegotiationRow = self._contracts.owners.end(self.owner.identity, row.id, reason)
        return found

    # -- the consumer ------------------------------------------------------------------------

    def request_message(self, given: Offer, **changes: Any) -> ContractRequest:
        pid = changes.pop("consumerPid", None) or self.new_id("urn:uuid")
        target = changes.pop("target", self.owner.product)
        message = documents.request_message(pid, given.to_json(), target, callback=CALLBACK)
        return parse_message(ContractRequest, changed(message, changes))

    def request(self, given: Offer, caller: Identity = CONSUMER, **changes: Any) -> NegotiationRow:
        message = self.request_message(given, **changes)
        found: NegotiationRow = self._contracts.negotiations.request(caller, message)
        return found

    def counter(self, row: NegotiationRow, given: Offer, **changes: Any) -> NegotiationRow:
        message = documents.request_message(
            row.consumer_pid or PID, given.to_json(), row.product, provider_pid=row.id
        )
        parsed = parse_message(ContractRequest, canonical_bytes(message | changes))
        found: NegotiationRow = self._contracts.negotiations.counter(CONSUMER, row.id, parsed)
        return found

    def event(self, row: NegotiationRow, event: str = "ACCEPTED", **changes: Any) -> Any:
        message = documents.event_message(row.id, row.consumer_pid or PID, event) | changes
        parsed = parse_message(NegotiationEvent, canonical_bytes(message))
        return self._contracts.negotiations.event(CONSUMER, row.id, parsed)

    def verification(self, row: NegotiationRow, **changes: Any) -> AgreementVerification:
        key = changes.pop("key", None) or self.key
        statement = {
            "version": 1,
            "participant": changes.pop("participant", "consortium"),
            "document": changes.pop("document", row.agreement_document),
        }
        envelope = sign_envelope(statement, payload_type=VERIFICATION_TYPE, key=key)
        message = documents.process_message(
            "ContractAgreementVerificationMessage", row.id, row.consumer_pid or PID
        ) | {SIGNATURE: json.loads(envelope)}
        return parse_message(AgreementVerification, changed(message, changes))

    def verify(
        self, row: NegotiationRow, caller: Identity = CONSUMER, **changes: Any
    ) -> NegotiationRow:
        message = self.verification(row, **changes)
        found: NegotiationRow = self._contracts.negotiations.verify(caller, row.id, message)
        return found

    def terminate(self, row: NegotiationRow, caller: Identity = CONSUMER) -> NegotiationRow:
        message = documents.process_message(
            "ContractNegotiationTerminationMessage", row.id, row.consumer_pid or PID, "no"
        )
        parsed = parse_message(NegotiationTermination, canonical_bytes(message))
        found: NegotiationRow = self._contracts.negotiations.terminate(caller, row.id, parsed)
        return found

    def get(self, row: NegotiationRow, caller: Identity = CONSUMER) -> NegotiationRow:
        found: NegotiationRow = self._contracts.negotiations.get(caller, row.id)
        return found

    def conclude(self, *constraints: dict[str, Any]) -> NegotiationRow:
        """From an offer to a finalized negotiation."""
        return self.verify(self.agree(self.request(self.publish(*constraints))))

    def in_state(self, state: str) -> NegotiationRow:
        """A negotiation that stands there."""
        row = self.request(self.publish())
        if state == "REQUESTED":
            return row
        if state in {"OFFERED", "ACCEPTED"}:
            row = self.counter_offer(row)
            return row if state == "OFFERED" else self.event(row)
        if state == "TERMINATED":
            return self.terminate(row)
        row = self.agree(row)
        return row if state == "AGREED" else self.verify(row)

    # -- transfers ---------------------------------------------------------------------------

    def transfer_message(self, agreement: str, **changes: Any) -> TransferRequest:
        pid = changes.pop("consumerPid", None) or self.new_id("urn:uuid:t")
        message = documents.transfer_request(pid, agreement, CALLBACK) | changes
        return parse_message(TransferRequest, canonical_bytes(message))

    def transfer(self, agreement: str, caller: Identity = CONSUMER, **changes: Any) -> TransferRow:
        message = self.transfer_message(agreement, **changes)
        found: TransferRow = self._contracts.transfers.request(caller, message)
        return found

    def transfers(self) -> list[Any]:
        found = self.site.governance.list(CONSUMER, "transfers")
        return [parse_json(one, max_bytes=1 << 20) for one in found]

    def act(self, caller: Identity, id: str, act: str) -> TransferRow:
        found: TransferRow = self._contracts.transfers.act(caller, id, act, "because")
        return found


def steps(site: Site) -> list[tuple[str | None, str, str]]:
    return [
        (e.body["before"], e.body["state"], e.body["by"])  # type: ignore[misc]
        for e in site.entries()
        if e.type == "NegotiationStep"
    ]


def refuses(
    dsp: Contracts, kind: type[RequestError], match: str, call: Callable[[], object]
) -> None:
    """The call is refused, and neither log nor registry moved."""
    size, state = dsp.site.log.size, listed(dsp.site)
    with pytest.raises(kind, match=match):
        call()
    assert (dsp.site.log.size, listed(dsp.site)) == (size, state)


def listed(site: Site) -> str:
    names = ("offers", "negotiations", "transfers", "agreements")
    return digest_of([[one.decode() for one in site.governance.list(OPERATOR, n)] for n in names])


@contextmanager
def copied(populated: Site, folder: Path) -> Iterator[Site]:
    """A copy of a site that a module may keep for itself."""
    shutil.copytree(populated.folder, folder)
    site = Site(folder, populated.now)
    site.superlink = copy.deepcopy(populated.superlink)
    site.nodes = dict(populated.nodes)
    site.tick(1)
    site.open()
    yield site
    site.close()


@dataclass
class Bed:
    """A space whose endpoint is served on loopback, and who calls it."""

    site: Site
    endpoint: Endpoint
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.endpoint.port}"

    def token(self, caller: Any) -> str:
        token: str = self.site.governance.contracts.tokens.issue(caller)[0]
        return token

    def http(self, caller: Any = CONSUMER, **headers: str) -> httpx.Client:
        """A plain client, as another connector would be one."""
        if caller is not None:
            headers = {"authorization": f"Bearer {self.token(caller)}"} | headers
        client = httpx.Client(
            base_url=f"https://{self.address}",
            verify=ssl.create_default_context(cadata=self.site.space.card.ca_pem),
            headers=headers,
            trust_env=False,
        )
        self.clients.append(client)
        return client

    def consumer(self, caller: Any = CONSUMER) -> ContractsClient:
        card = self.site.space.card
        return ContractsClient(address=self.address, ca_pem=card.ca_pem, token=self.token(caller))


@contextmanager
def serving(populated: Site, folder: Path) -> Iterator[Bed]:
    """A copy of a site whose endpoint is served."""
    with copied(populated, folder) as site:
        keys = site.space.folder / "governance"
        endpoint = serve_contracts(
            site.governance.contracts,
            address="127.0.0.1:0",
            certificate=keys / "tls.crt",
            key=keys / "tls.key",
            log_folder=site.space.log_folder,
        )
        made = Bed(site, endpoint)
        yield made
        for client in made.clients:
            client.close()
        endpoint.stop()
        endpoint.stop()  # safe to call again
