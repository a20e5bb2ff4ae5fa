"""The example messages of the Dataspace Protocol 2025-1 against its schemas, and faults in both."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from dsp_schemas import BASE, FOLDER, NotDsp, needs_dsp, schemas, validate_dsp
from vectors_folder import vectors

EXAMPLES = sorted(vectors(FOLDER).glob("*/example/*.json"))
KINDS = {  # where an example's name is not its schema's
    "nested-catalog": "catalog",
    "catalogservice-did-service": "did-service",
    "dataservice-did-service": "did-service",
    "contract-agreement-message-full": "contract-agreement-message",
    "contract-offer-message_initial": "contract-offer-message",
    "contract-request-message_initial": "contract-request-message",
}
pytestmark = needs_dsp


def kind_of(path: Path) -> str:
    return KINDS.get(path.stem, path.stem)


def example(name: str) -> Any:
    [path] = [path for path in EXAMPLES if path.stem == name]
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_examples_are_all_there() -> None:
    assert len(EXAMPLES) == 27
    assert {kind_of(path) for path in EXAMPLES} <= schemas().keys()


@pytest.mark.parametrize(
    "path",
    [path for path in EXAMPLES if path.stem != "dataservice-did-service"],
    ids=lambda path: path.stem,
)
def test_an_example_is_of_its_kind(path: Path) -> None:
    validate_dsp(kind_of(path), json.loads(path.read_text(encoding="utf-8")))


def test_one_example_contradicts_its_schema_in_one_place() -> None:
    # The schema asks every service for an address that ends in /catalog, also a DataService, whose
    # example rightly gives the address of the version document. It is no message of the protocol.
    service = example("dataservice-did-service")
    with pytest.raises(NotDsp, match=r"^did-service: \$\.serviceEndpoint: [^;]*/catalog[^;]*$"):
        validate_dsp("did-service", service)
    validate_dsp("did-service", service | {"serviceEndpoint": "https://bar.example.com/catalog"})


@pytest.mark.parametrize("kind", ["transfer-error", "transfer-suspension-message"])
def test_a_reference_that_lacks_its_slash_is_mended_not_ignored(kind: str) -> None:
    message = example(kind)
    del message["consumerPid"]
    with pytest.raises(NotDsp, match="consumerPid"):
        validate_dsp(kind, message)


@pytest.mark.parametrize(
    ("right", "accepted"),
    [
        ("text", True),
        ({"@value": "50", "@type": "xsd:integer"}, True),
        (["a", "b"], True),
        (50, False),
        (True, False),
    ],
)
def test_a_right_operand_is_a_string_an_object_or_an_array(right: object, accepted: bool) -> None:
    message = copy.deepcopy(example("contract-offer-message"))
    constraint = {"leftOperand": "count", "operator": "lteq", "rightOperand": right}
    message["offer"]["permission"][0]["constraint"] = [constraint]
    if accepted:
        validate_dsp("contract-offer-message", message)
    else:
        with pytest.raises(NotDsp, match=r"\$\.offer"):
            validate_dsp("contract-offer-message", message)


def test_an_offer_in_a_catalogue_names_no_target() -> None:
    message = copy.deepcopy(example("catalog"))
    message["dataset"][0]["hasPolicy"][0]["target"] = "urn:uuid:1"
    with pytest.raises(NotDsp, match="hasPolicy"):
        validate_dsp("catalog", message)


def test_every_schema_has_the_address_that_the_others_refer_to() -> None:
    assert all(schema["$id"].startswith(BASE) for schema in schemas().values())
