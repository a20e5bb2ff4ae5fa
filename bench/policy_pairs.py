"""Pairs of policies with twenty rules each: ten permissions of five constraints, ten prohibitions.

A permission is for one use each time, with a time, a count, a place and, in every other one, a
choice of purposes; the prohibitions exclude recipients, places and times.
"""

from __future__ import annotations

import json
from typing import Any

from policies.authoring import compare
from policies.odrl import CONTEXT, PROFILE, Offer, parse_offer

PURPOSES = ["diagnosis-support", "drug-safety", "credit-scoring", "fraud-detection", "marketing"]
ACTIONS = ["train", "evaluate", "infer", "derive", "distribute"]
PLACES = ["CN", "CN-GD", "CN-SH", "HK", "MO"]


def constraint(left: str, operator: str, right: Any) -> dict[str, Any]:
    """One comparison."""
    if isinstance(right, int):
        right = {"@value": str(right), "@type": "xsd:integer"}
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def permission(number: int, counts: tuple[int, int]) -> dict[str, Any]:
    """One of ten, each with an action, a purpose and a place of its own."""
    purpose = constraint("purpose", "isA", PURPOSES[number % 5])
    other = constraint("purpose", "isA", PURPOSES[(number + 2) % 5])
    return {
        "action": ACTIONS[number // 2],
        "constraint": [
            {"or": [purpose, other]} if number % 2 else purpose,
            constraint("dateTime", "lt", f"2027-{number + 1:02d}-01T00:00:00Z"),
            constraint("count", "gteq", counts[0]),
            constraint("count", "lteq", counts[1] + number),
            constraint("spatial", "isPartOf", PLACES[number % 5]),
        ],
    }


def prohibition(number: int, recipients: str) -> dict[str, Any]:
    """One of ten."""
    return {
        "action": "use" if number % 3 == 0 else ACTIONS[number % 5],
        "constraint": [
            constraint("recipient", "isAnyOf", [f"{recipients}-{number}", f"{recipients}-x"]),
            constraint("spatial", "isPartOf", PLACES[(number + 1) % 5]),
        ],
    }


def offer(
    name: str,
    *,
    counts: tuple[int, int] = (1, 100),
    recipients: str = "rival",
    banned: int | None = None,
) -> Offer:
    """Twenty rules; `banned` makes the last prohibition one of uses beyond that number."""
    prohibitions = [prohibition(number, recipients) for number in range(10)]
    if banned is not None:
        beyond = constraint("count", "gt", banned)
        prohibitions[-1] = {"action": "use", "constraint": [beyond]}
    policy = {
        "@context": [CONTEXT],
        "@id": f"urn:{name}",
        "@type": "Offer",
        "profile": PROFILE,
        "conflict": "prohibit",
        "permission": [permission(number, counts) for number in range(10)],
        "prohibition": prohibitions,
    }
    return parse_offer(json.dumps(policy).encode())


BASE = offer("base")
PAIRS: dict[str, tuple[Offer, Offer, str]] = {
    "the same twice": (BASE, offer("again"), "compatible"),
    "one forbids what the other permits": (BASE, offer("strict", banned=50), "conflict"),
    "others excluded": (BASE, offer("others", recipients="stranger"), "conflict"),
    "nothing in common": (BASE, offer("late", counts=(200, 300)), "conflict"),
}


def check(name: str) -> None:
    """Compare a pair.

    Raises:
        SystemExit: the verdict is not the right one.
    """
    one, other, verdict = PAIRS[name]
    found = compare(one, other).verdict
    if found != verdict:
        raise SystemExit(f"{name}: expected {verdict}, got {found}")
