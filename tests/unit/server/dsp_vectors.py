"""The schemas and examples of DSP 2025-1, where somebody put them beside the checkout.

`TDS_VECTORS` names the folder with `dsp-2025-1` in it; else it is `../shared/vectors`. They are the
Eclipse Foundation's and no part of this project. Where the folder is, the tests must pass.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft201909Validator
from referencing import Registry, Resource

CHECKOUT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("TDS_VECTORS") or CHECKOUT.parent / "shared" / "vectors")
DSP = FOLDER / "dsp-2025-1"

needs_vectors = pytest.mark.skipif(
    not DSP.is_dir(),
    reason=f"no schemas of DSP 2025-1 in {DSP}; TDS_VECTORS names another folder for them",
)

SCHEMAS = {
    "Catalog": "catalog/catalog-schema.json",
    "CatalogError": "catalog/catalog-error-schema.json",
    "CatalogRequestMessage": "catalog/catalog-request-message-schema.json",
    "Dataset": "catalog/dataset-schema.json",
    "DatasetRequestMessage": "catalog/dataset-request-message-schema.json",
    "ContractAgreementMessage": "negotiation/contract-agreement-message-schema.json",
    "ContractAgreementVerificationMessage": (
        "negotiation/contract-agreement-verification-message-schema.json"
    ),
    "ContractNegotiation": "negotiation/contract-negotiation-schema.json",
    "ContractNegotiationError": "negotiation/contract-negotiation-error-schema.json",
    "ContractNegotiationEventMessage": (
        "negotiation/contract-negotiation-event-message-schema.json"
    ),
    "ContractNegotiationTerminationMessage": (
        "negotiation/contract-negotiation-termination-message-schema.json"
    ),
    "ContractOfferMessage": "negotiation/contract-offer-message-schema.json",
    "ContractRequestMessage": "negotiation/contract-request-message-schema.json",
    "TransferCompletionMessage": "transfer/transfer-completion-message-schema.json",
    "TransferError": "transfer/transfer-error-schema.json",
    "TransferProcess": "transfer/transfer-process-schema.json",
    "TransferRequestMessage": "transfer/transfer-request-message-schema.json",
    "TransferStartMessage": "transfer/transfer-start-message-schema.json",
    "TransferSuspensionMessage": "transfer/transfer-suspension-message-schema.json",
    "TransferTerminationMessage": "transfer/transfer-termination-message-schema.json",
}
VERSIONS = "common/protocol-version-schema.json"


@cache
def _registry() -> Registry[Any]:
    texts = [path.read_text(encoding="utf-8") for path in DSP.rglob("*-schema.json")]
    # Three of the transfer schemas point to "#definitions/…", which is no JSON pointer.
    schemas = [json.loads(text.replace("#definitions/", "#/definitions/")) for text in texts]
    return Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas
    )


@cache
def _validator(name: str) -> Draft201909Validator:
    identifier = f"https://w3id.org/dspace/2025/1/{name}"
    return Draft201909Validator({"$ref": identifier}, registry=_registry())


def check(document: Any, schema: str | None = None) -> None:
    """The document is valid by the schema of its `@type`; nothing without the vectors."""
    if not DSP.is_dir():
        return
    _validator(schema or SCHEMAS[document["@type"]]).validate(document)


def valid(response: httpx.Response, status: int = 200) -> Any:
    """The document of an answer, which must be one of the protocol."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    check(document)
    return document


def examples() -> list[Path]:
    """The protocol's own examples; none without the vectors."""
    return sorted(DSP.rglob("example/*.json"))
