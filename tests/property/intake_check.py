"""What intake promises about any bytes, and how documents are bent to try it.

`bench/fuzz_intake.py` runs `check` for hours; the property tests run it briefly.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import policies_generator as generate

from policies.asking import parse_asking
from policies.canonical import canonical_bytes
from policies.cedar import cedar_policies
from policies.errors import DocumentError
from policies.evaluate import evaluate
from policies.law import Baseline, parse_baseline
from policies.odrl import Agreement, Offer, parse_agreement, parse_offer
from policies.operands import OPERANDS

SEEDS = Path(__file__).parents[1] / "seeds" / "intake"
MAX_MESSAGE = 2000  # an error shows a part of what came, never all of it

Policy = Agreement | Offer | Baseline
Parsed = TypeVar("Parsed")
PARSERS: tuple[Callable[[bytes], Policy], ...] = (parse_agreement, parse_offer, parse_baseline)


def check(data: bytes) -> list[Policy]:
    """What these bytes are read as; most are nothing.

    Raises:
        AssertionError: a refusal without place or reason, or something accepted that does not
            read back from its normal form as itself.
        Exception: anything but our own error is a finding.
    """
    found: list[Policy] = []
    with suppress(Refused):
        refusing(parse_asking, data)
    for parse in PARSERS:
        try:
            policy = refusing(parse, data)
        except Refused:
            continue
        normal = canonical_bytes(policy.to_json())
        assert parse(normal) == policy
        assert canonical_bytes(parse(normal).to_json()) == normal
        if isinstance(policy, Agreement):
            decide(policy)
        found.append(policy)
    return found


class Refused(Exception):
    """A refusal as it should be."""


def refusing(parse: Callable[[bytes], Parsed], data: bytes) -> Parsed:
    """What is parsed, or `Refused` where the refusal says where and why."""
    try:
        return parse(data)
    except DocumentError as error:
        assert error.where.startswith("$") and error.expected and error.got
        assert len(str(error)) <= MAX_MESSAGE, len(str(error))
        assert str(error).isprintable()  # it goes to a terminal and into a log
        assert error.where.isascii()
        raise Refused from error


def decide(agreement: Agreement) -> None:
    """Whatever intake lets in can be decided, reported and compiled."""
    random = Random(agreement.digest)
    report = evaluate(agreement, generate.request(random), generate.state(random, agreement))
    canonical_bytes(report.to_json())
    assert report.reasons()
    assert cedar_policies(agreement)


ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**53, 10**400, "", " ", "5", "05", "+5", "NaN", "1E400", "-0",
    "a\u0000", "\u202e", "us\u0435", "\ufeff", "x" * 1025, "x" * 70_000, [], [[]], {}, {"": ""},
    {"@id": "a"}, {"@value": "5"}, {"@value": 5, "@type": "xsd:integer"},
    {"@value": "5", "@type": "xsd:integer", "@id": "x"}, {"@type": "xsd:integer"},
    "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2026-01-01T24:00:00Z", "PT1.5S", "P1Y", "P", "PT", "-PT1S", "odrl:use", "evil:use", "use",
    "purpose", "eq", "Offer", "Agreement", "Set", "prohibit",
)  # fmt: skip
KEYS = (
    "@context", "@id", "@type", "profile", "conflict", "permission", "prohibition", "obligation",
    "duty", "action", "constraint", "leftOperand", "operator", "rightOperand", "and", "or", "xone",
    "andSequence", "target", "assigner", "assignee", "timestamp", "nextPolicy", "name", "title",
    "version", "source", "comment", "__proto__", "Constraint", "\u0430nd", "\u001b[31m", "\u202e",
)  # fmt: skip


def asking(random: Random) -> dict[str, Any]:
    """A request with its context, as `tds policy decide` reads it."""
    context = {
        term: generate.right(random, row, random.choice(row.operators))
        for term, row in OPERANDS.items()
        if random.random() < 0.3
    }
    return {
        "assignee": "consortium",
        "action": "train",
        "target": "t",
        "at": random.choice(generate.TIMES),
        "context": context | {"inform": random.choice([True, False, "violated", 1])},
    }


def bent(random: Random) -> bytes:
    """A valid document, bent in one to four places, as a tree or as text."""
    document: Any = asking(random) if random.random() < 0.1 else generate.document(random)
    for _ in range(random.randint(0, 3)):
        bend(random, document)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    while random.random() < 0.3:
        text = garbled(random, text)
    return text.encode("utf-8", "surrogatepass")


def bend(random: Random, document: Any) -> None:
    """Change one place of the tree."""
    holders = [holder for holder in everything(document) if holder]
    if not holders:
        return
    holder = random.choice(holders)
    keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = random.choice(keys)
    match random.randrange(7):
        case 0:
            del holder[key]
        case 6:
            written = random.choice(["", "", "P", "PT", "-", "0", "+"]) + numeral(random)
            holder[key] = written + random.choice(["", "", "D", "S", "M", "Z", "T00:00:00Z"])
        case 1:
            holder[key] = deepcopy(random.choice(ODD))
        case 2 if isinstance(holder, dict):
            holder[random.choice(KEYS)] = holder.pop(key)
        case 3 if isinstance(holder, dict):
            holder[random.choice(KEYS)] = deepcopy(random.choice(ODD))
        case 4:
            holder[key] = json.loads(json.dumps(random.choice(holders)))
        case _:
            depth = random.choice([1, 1, 2, 9, 40])
            wrap = random.choice(["and", "or", "xone", "constraint", None])
            for _ in range(depth):
                holder[key] = [holder[key]] if wrap is None else {wrap: [holder[key]]}


def numeral(random: Random) -> str:
    """Digits as a number, a date or a duration may have them, of any length that could matter."""
    digits = "".join(
        random.choices("0123456789", k=random.choice([1, 2, 4, 9, 10, 16, 17, 18, 19]))
    )
    joint = random.choice(["", "", ".", "-", ":", "e", "DT", "H"])
    return digits + joint + (numeral(random) if joint and random.random() < 0.7 else "")


def everything(value: Any) -> list[Any]:
    """Every object and array of a tree."""
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            found.append(one)
            waiting += one.values() if isinstance(one, dict) else one
    return found


def garbled(random: Random, text: str) -> str:
    """Change one place of the text."""
    place = random.randrange(len(text) + 1)
    odd = ["\ud800", "\u0000", "\\u0000", "\\ud800", "NaN", "1e999", "-", ",", "}", '"', "\ufeff"]
    match random.randrange(4):
        case 0:
            return text[:place]
        case 1:
            return text[:place] + random.choice(odd) + text[place:]
        case 2:
            return text[:place] + text[place + random.randint(1, 9) :]
        case _:
            end = place + random.randint(1, 60)
            return text[:end] + text[place:end] + text[end:]
