"""The profile as a JSON-LD vocabulary, made from the tables: `profile.jsonld` is its output.

ODRL 2.2 (Information Model, section 3) asks of a profile that its new terms are declared and stand
in the right places of ODRL's own; the vocabulary says so in RDF, for tools that read RDF.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from policies.canonical import Json
from policies.operands import ACTIONS, ODRL, OPERANDS, PROFILE, PURPOSES, XSD
from policies.relations import ENVIRONMENTS, PRIVACY_UNITS, Purposes
from policies.rows import Kind

_RANGES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NAME: "xsd:string",
        Kind.NAMES: "xsd:string",
        Kind.INTEGER: "xsd:integer",
        Kind.DECIMAL: "xsd:decimal",
        Kind.DURATION: "xsd:duration",
        Kind.INSTANT: "xsd:dateTime",
    }
)
_CONTEXT: dict[str, Json] = {
    "odrl": ODRL,
    "xsd": XSD,
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "tds": f"{PROFILE}#",
    "includedIn": {"@id": "odrl:includedIn", "@type": "@id"},
    "broader": {"@id": "skos:broader", "@type": "@id"},
    "range": {"@id": "rdfs:range", "@type": "@id"},
    "label": "rdfs:label",
    "note": "skos:note",
    "scopeNote": "skos:scopeNote",
    "operators": "tds:operators",
    "due": "tds:due",
}


def profile_jsonld() -> dict[str, Json]:
    """The whole vocabulary; terms of ODRL's own are described, not redefined."""
    graph: list[Json] = [{"@id": PROFILE, "@type": "odrl:Profile", "label": "tdspace, version 1"}]
    graph += [_action(term) for term in ACTIONS]
    graph += [_operand(term) for term in OPERANDS]
    graph += _concepts("purpose", PURPOSES)
    graph += _concepts("executionEnvironment", ENVIRONMENTS)
    graph += _concepts("privacyUnit", PRIVACY_UNITS)
    return {"@context": _CONTEXT, "@graph": graph}


def _short(iri: str) -> str:
    prefix = "odrl:" if iri.startswith(ODRL) else "tds:"
    return prefix + iri.removeprefix(ODRL).removeprefix(f"{PROFILE}#")


def _action(term: str) -> dict[str, Json]:
    row = ACTIONS[term]
    found: dict[str, Json] = {"@id": _short(row.iri), "@type": "odrl:Action", "label": term}
    if row.included_in is not None:
        found["includedIn"] = _short(ACTIONS[row.included_in].iri)
    if row.duty is not None:
        found["due"] = "before the use" if row.duty == "pre" else "after the use"
    return found


def _operand(term: str) -> dict[str, Json]:
    row = OPERANDS[term]
    found: dict[str, Json] = {
        "@id": _short(row.iri),
        "@type": "odrl:LeftOperand",
        "label": term,
        "range": _RANGES[row.kind],
        "operators": list(row.operators),
        "note": row.source,
    }
    if row.unit:
        found["scopeNote"] = row.unit
    return found


def _concepts(of: str, table: Purposes) -> list[Json]:
    found: list[Json] = []
    for name, wider in table.items():
        concept: dict[str, Json] = {
            "@id": f"tds:{of}/{name}",
            "@type": "skos:Concept",
            "label": name,
        }
        if wider is not None:
            concept["broader"] = f"tds:{of}/{wider}"
        found.append(concept)
    return found
