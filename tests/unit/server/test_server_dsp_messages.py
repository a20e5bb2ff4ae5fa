"""Intake of messages: what is taken, and each single fault with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dsp_vectors import VERSIONS, check, examples, needs_vectors
from hypothesis import given
from hypothesis import strategies as st

from policies.canonical import canonical_bytes
from policies.errors import DocumentError
from policies.odrl import CONTEXT, PROFILE, parse_offer
from server.dsp import documents
from server.dsp.messages import (
    MAX_BODY_BYTES,
    SIGNATURE,
    AgreementVerification,
    CatalogRequest,
    ContractRequest,
    Message,
    NegotiationEvent,
    NegotiationTermination,
    TransferCompletion,
    TransferRequest,
    TransferStart,
    TransferSuspension,
    TransferTermination,
    digest_json,
    parse_message,
    parse_message_offer,
)

PIDS = {"providerPid": "urn:uuid:1", "consumerPid": "urn:uuid:2"}
OFFER: dict[str, Any] = {
    "@id": "offer-1",
    "@type": "Offer",
    "profile": PROFILE,
    "conflict": "prohibit",
    "permission": [{"action": "use"}],
    "target": "clinic/records",
}
VALID: dict[type[Message], dict[str, Any]] = {
    CatalogRequest: {"@type": "CatalogRequestMessage"},
    ContractRequest: {
        "@type": "ContractRequestMessage",
        "consumerPid": "urn:uuid:2",
        "callbackAddress": "https://consumer.example/dsp",
        "offer": OFFER,
    },
    NegotiationEvent: {
        "@type": "ContractNegotiationEventMessage",
        "eventType": "ACCEPTED",
        **PIDS,
    },
    AgreementVerification: {
        "@type": "ContractAgreementVerificationMessage",
        SIGNATURE: {"payload": ""},
        **PIDS,
    },
    NegotiationTermination: {"@type": "ContractNegotiationTerminationMessage", **PIDS},
    TransferRequest: {
        "@type": "TransferRequestMessage",
        "consumerPid": "urn:uuid:2",
        "agreementId": "agreement-1",
        "format": "FederatedTraining",
        "callbackAddress": "https://consumer.example/dsp",
    },
    TransferStart: {"@type": "TransferStartMessage", **PIDS},
    TransferSuspension: {"@type": "TransferSuspensionMessage", **PIDS},
    TransferCompletion: {"@type": "TransferCompletionMessage", **PIDS},
    TransferTermination: {"@type": "TransferTerminationMessage", **PIDS},
}
KINDS = sorted(VALID, key=lambda kind: kind.__name__)


def message(kind: type[Message], **changes: Any) -> bytes:
    value = {"@context": [CONTEXT], **VALID[kind], **changes}
    return json.dumps({key: item for key, item in value.items() if item is not ...}).encode()


def refused(kind: type[Message], data: bytes) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse_message(kind, data)
    return caught.value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_message_is_taken_and_is_one_of_the_protocol(kind: type[Message]) -> None:
    data = message(kind)
    check(json.loads(data))
    assert digest_json(parse_message(kind, data)) == json.loads(data)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"@type": "Unheard"}, "$.@type"),
        ({"@type": ...}, "$.@type"),
        ({"@context": ...}, "$.@context"),
        ({"@context": CONTEXT}, "$.@context"),
        ({"@context": []}, "$.@context"),
        ({"@context": ["https://w3id.org/dspace/2024/1/context.json"]}, "$.@context"),
        ({"@context": [CONTEXT, {"x": "y"}]}, "$.@context[1]"),
        ({"@context": [CONTEXT] * 17}, "$.@context"),
        ({"unheard": 1}, "$.unheard"),
        ({"dspace:consumerPid": "urn:uuid:2"}, "$.dspace:consumerPid"),
    ],
)
def test_what_no_message_may_have(kind: type[Message], changes: Any, where: str) -> None:
    assert refused(kind, message(kind, **changes)).where == where


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_further_contexts_are_taken_as_the_schema_has_it(kind: type[Message]) -> None:
    parse_message(kind, message(kind, **{"@context": ["https://example.org/more", CONTEXT]}))


@pytest.mark.parametrize(
    ("kind", "changes", "where"),
    [
        (CatalogRequest, {"filter": ["x"]}, "$.filter"),
        (ContractRequest, {"consumerPid": "two words"}, "$.consumerPid"),
        (ContractRequest, {"consumerPid": "x" * 256}, "$.consumerPid"),
        (ContractRequest, {"consumerPid": "ｕｒｎ"}, "$.consumerPid"),
        (ContractRequest, {"consumerPid": 7}, "$.consumerPid"),
        (ContractRequest, {"callbackAddress": ...}, "$"),
        (ContractRequest, {"callbackAddress": None}, "$.callbackAddress"),
        (ContractRequest, {"providerPid": None}, "$.providerPid"),
        (ContractRequest, {"providerPid": ""}, "$.providerPid"),
        (AgreementVerification, {SIGNATURE: None}, f"$.{SIGNATURE}"),
        (ContractRequest, {"providerPid": "urn:uuid:1"}, "$"),
        (ContractRequest, {"callbackAddress": "file:///etc/passwd"}, "$.callbackAddress"),
        (ContractRequest, {"callbackAddress": "https://a b"}, "$.callbackAddress"),
        *(
            (kind, {"callbackAddress": "https://" + rest}, "$.callbackAddress")
            for kind in (ContractRequest, TransferRequest)
            for rest in (
                "consumer.example/dsp/../inside",
                "consumer.example/dsp/%2E%2e/inside",
                "consumer.example/dsp/..\\inside",
                "consumer.example/./dsp",
                "consumer.example/dsp?to=",
                "consumer.example/dsp#to",
                "somebody@consumer.example/dsp",
                "/dsp",
                "[::1/dsp",
            )
        ),
        (ContractRequest, {"offer": "offer-1"}, "$.offer"),
        (NegotiationEvent, {"eventType": "AGREED"}, "$.eventType"),
        (AgreementVerification, {SIGNATURE: "x"}, f"$.{SIGNATURE}"),
        (NegotiationTermination, {"reason": []}, "$.reason"),
        (NegotiationTermination, {"reason": ["x" * 5000]}, "$.reason"),
        (NegotiationTermination, {"code": "x" * 65}, "$.code"),
        (TransferRequest, {"agreementId": ...}, "$.agreementId"),
        (TransferRequest, {"dataAddress": {"@type": "DataAddress"}}, "$.dataAddress"),
        (TransferStart, {"dataAddress": {"@type": "DataAddress"}}, "$.dataAddress"),
    ],
)
def test_what_this_message_may_not_have(kind: type[Message], changes: Any, where: str) -> None:
    assert refused(kind, message(kind, **changes)).where == where


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b'{"@type": "a", "@type": "b"}',
        b'{"a": NaN}',
        b'{"a": 1.5}',
        b'{"a": 99999999999999999999}',
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 10_000,
        b" " * (MAX_BODY_BYTES + 1),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_json_of_ours(data: bytes) -> None:
    for kind in KINDS:
        refused(kind, data)


def test_an_offer_names_its_target_and_is_of_the_profile() -> None:
    target, offer = parse_message_offer(OFFER)
    rest = {key: value for key, value in OFFER.items() if key != "target"}
    assert (target, offer) == ("clinic/records", parse_offer(canonical_bytes(rest)))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"target": ""}, "$.offer.target"),
        ({"target": None}, "$.offer.target"),
        ({"conflict": "perm"}, "$.offer.conflict"),
        ({"profile": "https://example.org"}, "$.offer.profile"),
        ({"permission": [{"action": "sell"}]}, "$.offer.permission[0].action"),
        ({"assignee": "consortium"}, "$.offer.assignee"),
        (
            {"permission": [{"action": "use", "target": "clinic/records"}]},
            "$.offer.permission[0].target",
        ),
    ],
)
def test_an_offer_that_is_refused(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_message_offer(OFFER | changes)
    assert caught.value.where == where


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@given(kind=st.sampled_from(KINDS), data=st.binary(max_size=200) | _JSON.map(json.dumps))
def test_whatever_comes_is_refused_with_our_own_error(kind: type[Message], data: Any) -> None:
    refused(kind, data if isinstance(data, bytes) else data.encode())


@given(kind=st.sampled_from(KINDS), data=st.data())
def test_one_field_of_another_form_is_refused_or_taken_as_it_is(
    kind: type[Message], data: st.DataObject
) -> None:
    whole = {"@context": [CONTEXT], **VALID[kind]}
    key = data.draw(st.sampled_from(sorted(whole)))
    changed = json.dumps(whole | {key: data.draw(_JSON)}).encode()
    try:
        found = parse_message(kind, changed)
    except DocumentError:
        return
    # Defaults are left out: `filter: []` and no filter are one message.
    defaults = {"filter": [], "code": "", "reason": [], SIGNATURE: {}}
    assert defaults | json.loads(changed) == defaults | digest_json(found)  # type: ignore[operator]


@needs_vectors
def test_the_protocols_own_examples_validate() -> None:
    paths = examples()
    assert len(paths) > 20
    for path in paths:
        document = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "protocol-version.json":
            check(document, VERSIONS)
        elif "@type" in document:
            check(document)


@needs_vectors
def test_what_we_write_validates() -> None:
    offer = {key: value for key, value in OFFER.items() if key != "target"}
    service = documents.data_service("urn:s", "https://space.example/dsp/2025-1")
    one = documents.dataset("clinic/records", title="Records", offers=[offer], service="urn:s")
    agreement = offer | {"@type": "Agreement", "target": "t", "assigner": "a", "assignee": "b"}
    pids = ("urn:p", "urn:c")
    check(documents.versions("urn:s"), VERSIONS)
    for document in (
        documents.root(one),
        documents.catalog("urn:c", participant="operator", service=service, datasets=[one]),
        documents.catalog("urn:c", participant="operator", service=service, datasets=[]),
        documents.catalog_error(code="400", reason="no"),
        documents.negotiation(*pids, "AGREED", {"agreement": agreement}),
        documents.transfer(*pids, "STARTED"),
        documents.error("ContractNegotiationError", *pids, code="400", reason="no"),
        documents.error("TransferError", *pids, code="400", reason="no"),
        documents.offer_message(*pids, offer, "clinic/records"),
        documents.first_offer_message("urn:p", offer, "t", callback="https://space.example"),
        documents.agreement_message(*pids, agreement),
        documents.event_message(*pids, "FINALIZED"),
        documents.request_message("urn:c", offer, "t", callback="https://consumer.example"),
        documents.request_message("urn:c", offer, "t", provider_pid="urn:p"),
        documents.transfer_request("urn:c", "agreement-1", "https://consumer.example"),
        documents.process_message("ContractAgreementVerificationMessage", *pids),
        documents.process_message("ContractNegotiationTerminationMessage", *pids, "no"),
        documents.process_message("TransferStartMessage", *pids),
        documents.process_message("TransferSuspensionMessage", *pids, "withdrawn"),
        documents.process_message("TransferCompletionMessage", *pids),
        documents.process_message("TransferTerminationMessage", *pids, "enough"),
    ):
        check(document)
