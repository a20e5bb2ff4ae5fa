"""The JSON Schemas of the Dataspace Protocol 2025-1, for every test that sends or reads a message.

from dsp_schemas import needs_dsp, validate_dsp

@needs_dsp
def test_...() -> None:
    validate_dsp("contract-offer-message", message)
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft201909Validator
from referencing import Registry
from referencing.jsonschema import DRAFT201909
from vectors_folder import needs, vectors

FOLDER = "dsp-2025-1"
BASE = "https://w3id.org/dspace/2025/1/"

needs_dsp = needs(FOLDER)


class NotDsp(AssertionError):
    """A message that its schema refuses; the text names the place and what was expected there."""


def validate_dsp(kind: str, message: object) -> None:
    """Check a whole message; a bare offer inside one fails the schemas' own `oneOf`.

    Args:
        kind: the schema's file name without `-schema.json`, such as `contract-offer-message`,
            `catalog`, `transfer-process` or `protocol-version`.
        message: as `json.loads` gives it.

    Raises:
        NotDsp: the message is not of this kind.
        KeyError: there is no such schema.
    """
    found = [
        f"{error.json_path}: {error.message[:300]}"
        for error in _validator(kind).iter_errors(message)
    ]
    if found:
        raise NotDsp(f"{kind}: " + "; ".join(found))


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the kind that `validate_dsp` knows it under."""
    found = {}
    for path in sorted(vectors(FOLDER).rglob("*-schema.json")):
        # Three schemas lack the slash of a JSON pointer: "#definitions/" is an anchor of no schema.
        text = path.read_text(encoding="utf-8").replace("#definitions/", "#/definitions/")
        found[path.name.removesuffix("-schema.json")] = json.loads(text)
    return found


@cache
def _registry() -> Registry[Any]:
    pairs = [(schema["$id"], DRAFT201909.create_resource(schema)) for schema in schemas().values()]
    registry: Registry[Any] = Registry().with_resources(pairs)
    return registry.crawl()


@cache
def _validator(kind: str) -> Draft201909Validator:
    return Draft201909Validator(schemas()[kind], registry=_registry())
