"""Random policies, requests and states by seed: valid for intake, near its limits, often partial.

Values are drawn from small pools, so that equal, neighbouring and related ones meet.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

from policies.evaluate import Baseline, Request, State, Value
from policies.law import parse_baseline
from policies.odrl import CONTEXT, PROFILE, Agreement, parse_agreement
from policies.operands import ACTIONS, OPERANDS, Kind, Operand
from policies.relations import PURPOSES
from policies.rules import leaves

NAMES = {
    "purpose": [*PURPOSES, "unlisted"],
    "spatial": ["CN", "CN-GD", "CN-GD-SZ", "CN-G", "HK"],
    "executionEnvironment": ["process", "confined", "isolated"],
    "algorithm": ["0" * 64, "f" * 64],
}
PLAIN = ["a", "b", 'a"b\\', "*", "a*", "${a}", "数据", "urn:uuid:1"]
CHOICES = {  # the words that a row's pattern allows
    row.term: row.pattern.pattern.split("|")
    for row in OPERANDS.values()
    if row.kind is Kind.NAME
    and row.pattern
    and "|" in row.pattern.pattern
    and row.term not in NAMES
}
WHOLE = [0, 1, 2, 3, 86_400]
DURATIONS = ["PT0S", "PT1S", "PT2S", "P1D", "P1DT1H1M1S", "P999999D", "PT9007199254740991S"]
DECIMALS = ["0", "0.5", "0.500000000000000001", "0.499999999999999999", "1", "10.25", "9" * 18]
TIMES = ["2026-01-01T00:00:00Z", "2026-01-01T08:00:00.001+08:00", "1969-12-31T23:59:59.999Z"]
LOGIC = ["and", "or", "xone", "andSequence"]
DUTIES = [term for term, row in ACTIONS.items() if row.duty is not None]
RULE_ACTIONS = [term for term, row in ACTIONS.items() if row.asked or term == "use"]


def decimals_of(row: Operand) -> list[str]:
    """Right operands that a row takes."""
    return [text for text in DECIMALS if row.most is None or 0 < Decimal(text) <= row.most]


def names_of(row: Operand) -> list[str]:
    return NAMES.get(row.term) or CHOICES.get(row.term) or PLAIN


def right(random: Random, row: Operand, operator: str) -> Any:
    if row.kind in (Kind.NAME, Kind.NAMES):
        names = names_of(row)
        if operator in ("isAnyOf", "isAllOf", "isNoneOf"):
            return random.sample(names, random.randint(1, min(3, len(names))))
        return random.choice(names)
    if row.kind is Kind.INSTANT:
        return random.choice(TIMES)
    if row.kind is Kind.DECIMAL:
        return {"@value": random.choice(decimals_of(row)), "@type": "xsd:decimal"}
    if row.kind is Kind.DURATION:
        return {"@value": random.choice(DURATIONS), "@type": "xsd:duration"}
    return {"@value": str(random.choice(WHOLE)), "@type": "xsd:integer"}


def constraint(random: Random, *, cohort: bool, depth: int = 0) -> Any:
    if depth < 3 and random.random() < 0.25:
        operator = random.choice(LOGIC)
        inside = cohort and operator != "xone"
        parts = random.randint(1, 3)
        return {
            operator: [constraint(random, cohort=inside, depth=depth + 1) for _ in range(parts)]
        }
    row = random.choice([row for row in OPERANDS.values() if cohort or not row.cohort])
    operator = random.choice(row.operators)
    return {
        "leftOperand": row.term,
        "operator": operator,
        "rightOperand": right(random, row, operator),
    }


def constraints(random: Random, *, cohort: bool = False) -> list[Any]:
    return [constraint(random, cohort=cohort) for _ in range(random.choice([0, 1, 1, 1, 2]))]


def duty(random: Random) -> Any:
    action = random.choice(DUTIES)
    asks = ACTIONS[action].duty == "pre" and random.random() < 0.4
    return {"action": action, "constraint": constraints(random) if asks else []}


def permission(random: Random) -> Any:
    duties = [duty(random) for _ in range(random.choice([0, 0, 0, 1, 2]))]
    action = random.choice(["use", "use", *RULE_ACTIONS])
    return {"action": action, "constraint": constraints(random, cohort=True), "duty": duties}


def prohibition(random: Random) -> Any:
    action = random.choice(["use", "use", "train", *RULE_ACTIONS])
    # A prohibition without constraints decides everything; most have some.
    return {"action": action, "constraint": constraints(random) or constraints(random)}


def document(random: Random) -> dict[str, Any]:
    return {
        "@context": [CONTEXT],
        "@id": "urn:uuid:1",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": "t",
        "assigner": "owner",
        "assignee": "consortium",
        "timestamp": TIMES[0],
        "permission": [permission(random) for _ in range(random.randint(1, 4))],
        "prohibition": [prohibition(random) for _ in range(random.choice([0, 0, 0, 1, 2]))],
        "obligation": [duty(random) for _ in range(random.choice([0, 0, 0, 0, 1]))],
    }


def agreement(random: Random) -> Agreement:
    return parse_agreement(json.dumps(document(random)).encode())


def law(random: Random) -> Baseline:
    policy = {
        "@context": [CONTEXT],
        "@id": "urn:uuid:2",
        "@type": "Set",
        "profile": PROFILE,
        "conflict": "prohibit",
        "name": "law",
        "title": "A law",
        "version": "1",
        "source": "a test",
        "prohibition": [prohibition(random)],
    }
    return parse_baseline(json.dumps(policy).encode())


def request(random: Random) -> Request:
    asked = [term for term, row in ACTIONS.items() if row.asked]
    return Request(
        target=random.choice(["t"] * 15 + ["other"]),
        assignee=random.choice(["consortium"] * 15 + ["other"]),
        action=random.choice(["train"] * 6 + ["evaluate", "use", "unheard-of", *asked]),
    )


def left(random: Random, row: Operand) -> Any:
    """A value of the row; one in fifteen is none, and so as good as unknown."""
    if random.random() < 1 / 15:
        return random.choice([True, -1, 2**53, "", "no value", Decimal("NaN"), None, ("",)])
    match row.kind:
        case Kind.NAME:
            return random.choice(names_of(row))
        case Kind.NAMES:
            names = names_of(row)
            return tuple(sorted(random.sample(names, random.randint(0, len(names)))))
        case Kind.DECIMAL:
            value = Decimal(random.choice(DECIMALS))
            return value + Decimal(random.choice(["0", "0", "1E-18", "1E-20", "1E+17"]))
        case Kind.INSTANT:
            zone = timezone(timedelta(hours=random.choice([0, 8, -5])))
            moment = datetime.fromisoformat(random.choice(TIMES)).astimezone(zone)
            shift = timedelta(microseconds=random.choice([0, 0, 1, 999, 1000, -1]))
            return (moment + shift).astimezone(random.choice([zone, UTC]))
        case _:
            return random.choice(WHOLE)


def asked_of(random: Random, agreement: Agreement) -> dict[str, Any]:
    """Left values that equal what some rule has on its right."""
    found: dict[str, Any] = {}
    for rule in (*agreement.permissions, *agreement.prohibitions):
        for leaf in leaves(rule.constraints):
            single = OPERANDS[leaf.operand].kind is not Kind.NAMES
            listed = isinstance(leaf.right, tuple)
            found[leaf.operand] = random.choice(leaf.right) if single and listed else leaf.right
    return found


def state(random: Random, agreement: Agreement) -> State:
    found = {}
    asked = asked_of(random, agreement)
    for row in OPERANDS.values():
        if row.term in asked and random.random() < 0.4:
            found[row.term] = Value(asked[row.term], "test")
        elif random.random() < 0.85:
            found[row.term] = Value(left(random, row), "test")
    for term in DUTIES:
        if random.random() < 0.85:
            said = random.choice(["fulfilled"] * 12 + ["pending", "violated", "unheard-of", 1])
            found[term] = Value(said, "test")
    return found
