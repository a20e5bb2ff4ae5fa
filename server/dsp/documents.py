"""What goes out: DSP 2025-1 documents, each valid by the protocol's JSON Schemas.

Where the protocol has no place for something, it stands under a full IRI of ours (`EXTENSION`),
which other connectors pass over: a consumer without a callback reads offer and agreement there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from policies.canonical import Json
from policies.odrl import CONTEXT
from server.dsp.rows import NegotiationRow, TransferRow

BASE: Final = "/dsp/2025-1"
FORMAT: Final = "FederatedTraining"
EXTENSION: Final = "https://w3id.org/tdspace/1#"
NONE: Final = "urn:tdspace:none"  # stands for a pid that nobody gave yet
_CONTEXTS: Final[list[Json]] = [CONTEXT]

Out = dict[str, Json]


def versions(service_id: str) -> Out:
    """What `/.well-known/dspace-version` answers."""
    return {
        "protocolVersions": [
            {"version": "2025-1", "path": BASE, "binding": "HTTPS", "serviceId": service_id}
        ]
    }


def dataset(product: str, *, title: str, offers: Sequence[Out], service: Json) -> Out:
    """A data product with its offers.

    Args:
        offers: in normal form; `@context` stands at the root only, and `target` nowhere.
        service: the DataService, or its id where the root lists it.
    """
    return {
        "@id": product,
        "@type": "Dataset",
        "title": title,
        "hasPolicy": [nested(offer) for offer in offers],
        "distribution": [{"@type": "Distribution", "format": FORMAT, "accessService": service}],
    }


def data_service(service_id: str, url: str) -> Out:
    """Where contracts are negotiated."""
    return {"@id": service_id, "@type": "DataService", "endpointURL": url}


def root(document: Out) -> Out:
    """A document with the protocol's context."""
    return {"@context": _CONTEXTS, **document}


def catalog(id: str, *, participant: str, service: Out, datasets: Sequence[Out]) -> Out:
    """The root catalogue; without datasets the property is left out, as the schema wants."""
    found: Out = {
        "@id": id,
        "@type": "Catalog",
        "participantId": participant,
        "service": [service],
    }
    if datasets:
        found["dataset"] = list(datasets)
    return root(found)


def negotiation(provider_pid: str, consumer_pid: str, state: str, extra: Mapping[str, Json]) -> Out:
    """A ContractNegotiation; `extra` by names that `EXTENSION` makes IRIs of."""
    more = {EXTENSION + name: value for name, value in extra.items()}
    return _process("ContractNegotiation", provider_pid, consumer_pid, state=state) | more


def negotiation_document(row: NegotiationRow) -> Out:
    """A negotiation; the offer on the table, the agreement and its envelope under our IRIs."""
    extra: dict[str, Json] = {}
    if row.state == "OFFERED":
        extra["offer"] = with_target(json.loads(row.document), row.product)
    if row.agreement_document is not None and row.envelope is not None:
        extra["agreement"] = row.agreement_document
        extra["signature"] = json.loads(row.envelope)
    return negotiation(row.id, row.consumer_pid or NONE, row.state, extra)


def transfer_document(row: TransferRow) -> Out:
    """A transfer process."""
    return transfer(row.id, row.consumer_pid, row.state)


def transfer(provider_pid: str, consumer_pid: str, state: str) -> Out:
    """A TransferProcess."""
    return _process("TransferProcess", provider_pid, consumer_pid, state=state)


def error(
    kind: Literal["ContractNegotiationError", "TransferError"],
    provider_pid: str,
    consumer_pid: str,
    *,
    code: str,
    reason: str,
) -> Out:
    """Why a message was refused; the state is what it was."""
    return _process(kind, provider_pid, consumer_pid, code=code, reason=[reason])


def catalog_error(*, code: str, reason: str) -> Out:
    """Why a catalogue request was refused."""
    return root({"@type": "CatalogError", "code": code, "reason": [reason]})


def offer_message(provider_pid: str, consumer_pid: str, offer: Out, target: str) -> Out:
    """The provider's offer in a negotiation."""
    inner = with_target(offer, target)
    return _process("ContractOfferMessage", provider_pid, consumer_pid, offer=inner)


def first_offer_message(provider_pid: str, offer: Out, target: str, *, callback: str) -> Out:
    """The offer by which the provider opens a negotiation; the consumer then names it.

    Args:
        callback: base of the provider's own paths.
    """
    return root(
        {
            "@type": "ContractOfferMessage",
            "providerPid": provider_pid,
            "offer": with_target(offer, target),
            "callbackAddress": callback,
        }
    )


def agreement_message(provider_pid: str, consumer_pid: str, agreement: Out) -> Out:
    """The provider agrees."""
    return _process(
        "ContractAgreementMessage", provider_pid, consumer_pid, agreement=nested(agreement)
    )


def event_message(provider_pid: str, consumer_pid: str, event: str) -> Out:
    """FINALIZED from the provider, ACCEPTED from the consumer."""
    return _process("ContractNegotiationEventMessage", provider_pid, consumer_pid, eventType=event)


def process_message(kind: str, provider_pid: str, consumer_pid: str, reason: str = "") -> Out:
    """A message about a process that exists: verification, start, suspension, end."""
    more: Out = {"code": "tdspace", "reason": [reason]} if reason else {}
    return _process(kind, provider_pid, consumer_pid) | more


def request_message(
    consumer_pid: str, offer: Out, target: str, *, provider_pid: str = "", callback: str = ""
) -> Out:
    """A ContractRequestMessage, by which a consumer opens a negotiation or answers in one."""
    message: Out = {"@type": "ContractRequestMessage", "consumerPid": consumer_pid}
    message["offer"] = with_target(offer, target)
    if provider_pid:
        return root(message | {"providerPid": provider_pid})
    return root(message | {"callbackAddress": callback})


def transfer_request(consumer_pid: str, agreement: str, callback: str) -> Out:
    """A TransferRequestMessage."""
    return root(
        {
            "@type": "TransferRequestMessage",
            "consumerPid": consumer_pid,
            "agreementId": agreement,
            "format": FORMAT,
            "callbackAddress": callback,
        }
    )


def with_target(offer: Out, target: str) -> Out:
    """An offer as messages have it."""
    return nested(offer) | {"target": target}


def nested(policy: Out) -> Out:
    """A policy inside a document: without a context of its own."""
    return {key: value for key, value in policy.items() if key != "@context"}


def _process(kind: str, provider_pid: str, consumer_pid: str, **more: Json) -> Out:
    return root({"@type": kind, "providerPid": provider_pid, "consumerPid": consumer_pid, **more})
