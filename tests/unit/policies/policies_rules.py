"""Short spellings of policies, for tables of cases."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

from policies.odrl import CONTEXT, PROFILE, Agreement, Offer, parse_agreement, parse_offer
from policies.operands import OPERANDS, Kind

_TYPES = {Kind.INTEGER: "integer", Kind.DECIMAL: "decimal", Kind.DURATION: "duration"}


def constraint(text: str) -> dict[str, Any]:
    """`purpose isA marketing`, `recipient isAnyOf a b`, `count lteq 5`."""
    left, operator, *right = text.split()
    kind = OPERANDS[left].kind
    if kind in _TYPES:
        value: Any = {"@value": right[0], "@type": f"xsd:{_TYPES[kind]}"}
    else:
        value = right if re.fullmatch("is(Any|All|None)Of", operator) else right[0]
    return {"leftOperand": left, "operator": operator, "rightOperand": value}


def logic(operator: str, *parts: str | dict[str, Any]) -> dict[str, Any]:
    return {operator: [constraint(one) if isinstance(one, str) else one for one in parts]}


def rule(
    action: str, *constraints: str | dict[str, Any], duty: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """A permission, a prohibition or a duty."""
    parts = [constraint(one) if isinstance(one, str) else one for one in constraints]
    return {"action": action, "constraint": parts} | ({"duty": duty} if duty else {})


def document(
    *permissions: dict[str, Any], no: list[dict[str, Any]] | None = None, **keys: Any
) -> dict[str, Any]:
    return {
        "@context": [CONTEXT],
        "@id": keys.pop("id", "urn:uuid:1"),
        "profile": PROFILE,
        "conflict": "prohibit",
        "permission": list(permissions),
        "prohibition": no or [],
        **keys,
    }


def offer(*permissions: dict[str, Any], **keys: Any) -> Offer:
    return parse_offer(json.dumps(document(*permissions, **keys) | {"@type": "Offer"}).encode())


def agreement(*permissions: dict[str, Any], **keys: Any) -> Agreement:
    parties = {
        "@type": "Agreement",
        "target": keys.pop("target", "t"),
        "assigner": "owner",
        "assignee": keys.pop("assignee", "consortium"),
        "timestamp": "2026-01-01T00:00:00Z",
    }
    return parse_agreement(json.dumps(document(*permissions, **keys) | parties).encode())


PIGEONS = ("count", "version", "payAmount", "epsilon", "recipient", "industry", "filingNumber")


def pigeons(holes: int) -> Offer:
    """Every operand has one of the values, and no two of them the same: a search without mercy."""
    values = range(1, holes + 1)
    housed = [logic("or", *(f"{pigeon} eq {value}" for value in values)) for pigeon in PIGEONS]
    crowded = [
        rule("use", f"{one} eq {value}", f"{other} eq {value}")
        for one, other in combinations(PIGEONS, 2)
        for value in values
    ]
    rest = crowded[50:]
    alternatives = [{"and": one["constraint"]} for one in rest]
    together = [rule("use", {"or": alternatives[at : at + 20]}) for at in range(0, len(rest), 20)]
    return offer(rule("use", *housed), no=[*crowded[:50], *together])


def many_places(number: int) -> Offer:
    """A list of places in pieces, each in a constraint of its own."""
    places = [f"CN-{index}" for index in range(number)]
    pieces = [places[at : at + 200] for at in range(0, number, 200)]
    return offer(
        rule("use", logic("or", *(f"spatial isAnyOf {' '.join(piece)}" for piece in pieces)))
    )
