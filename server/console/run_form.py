"""The form that starts a run, as the spec that governance decides on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Final

from policies.canonical import Json
from policies.errors import DocumentError
from policies.odrl import parse_agreement
from policies.rules import leaves
from policies.statements import RunSpec
from server.console.form import Fields, one
from server.console.privacy import planned
from server.errors import BadInput

MIB: Final = 1 << 20
MAX_READ: Final = 200
MAX_PURPOSES: Final = 8
_NAMES: Final = frozenset({"eq", "isA", "isAnyOf"})
NUMBERS: Final[Mapping[str, int]] = MappingProxyType(
    {"rounds": 5, "deadline_s": 60, "quorum": 2, "min_cohort": 2, "memory_mib": 2048}
)
TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "app": "",
        "purpose": "",
        "metrics": "train_loss eval_loss eval_accuracy num-examples",
        "clip_norm": "1",
        "secure_sum": "governance",
        "epsilon": "",
        "unit": "record",
    }
)


def spec_of(fields: Fields) -> RunSpec:
    """What the form asks for.

    Raises:
        BadInput: a value that no run can have; it names the field.
    """
    values: dict[str, Json] = {name: _number(fields, name) for name in NUMBERS}
    memory, rounds = values.pop("memory_mib"), values["rounds"]
    assert isinstance(memory, int) and isinstance(rounds, int)
    values |= {name: one(fields, name) for name in ("app", "purpose", "clip_norm", "secure_sum")}
    values |= {
        "version": 1,
        "memory_bytes": memory * MIB,
        "agreements": list(fields.get("agreement", ())),
        "metrics": list(one(fields, "metrics").split()),
        "config": {},
        "privacy": planned(one(fields, "epsilon"), one(fields, "unit"), rounds),
    }
    try:
        return RunSpec.from_json(values)
    except DocumentError as error:
        raise BadInput(str(error)) from error


def purposes(documents: Iterable[str]) -> list[str]:
    """What the permissions of these agreements name as purposes, the commonest first.

    Args:
        documents: as they were logged; the first `MAX_READ` are read.
    """
    found: Counter[str] = Counter()
    for document in islice(documents, MAX_READ):
        for rule in parse_agreement(document.encode()).permissions:
            for leaf in leaves(rule.constraints):
                if leaf.operand == "purpose" and leaf.operator in _NAMES:
                    found.update(leaf.right if isinstance(leaf.right, tuple) else [str(leaf.right)])
    return [purpose for purpose, _ in found.most_common(MAX_PURPOSES)]


def _number(fields: Fields, name: str) -> int:
    text = one(fields, name)
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadInput(f"{name}: expected a whole number, got {text!r:.40}")
    return int(text)
