"""How two names stand to each other: purposes by their table, places by their codes.

An operand's row says which of these functions relates its names (`policies.operands`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

Purposes = Mapping[str, str | None]

# Purpose -> the wider purpose it belongs to. Part of profile version 1: a decision replayed from
# the log needs the table it was made with, so a space with its own table must log that one.
PURPOSES: Purposes = MappingProxyType(
    {
        "medical-research": None,
        "diagnosis-support": "medical-research",
        "drug-safety": "medical-research",
        "risk-management": None,
        "credit-scoring": "risk-management",
        "fraud-detection": "risk-management",
        "marketing": None,
        "targeted-advertising": "marketing",
    }
)


# Execution environment -> the weaker one whose promises it keeps as well.
#   process   a child process that holds no key of the node
#   confined  also without network, without new privileges, with a memory limit
#   isolated  also as another user, and sees no file but the app, the interpreter and its scratch
ENVIRONMENTS: Mapping[str, str | None] = MappingProxyType(
    {"process": None, "confined": "process", "isolated": "confined"}
)


# Unit of differential privacy -> the weaker one that it protects as well: all records of a subject
# include each of them. Where there is no noise, nothing is protected.
PRIVACY_UNITS: Mapping[str, str | None] = MappingProxyType(
    {"none": None, "record": None, "subject": "record"}
)


class Relation(Enum):
    """How a left name stands to a right name."""

    EQUAL = "equal"
    INSIDE = "inside"
    AROUND = "around"
    APART = "apart"
    UNLISTED = "unlisted"


def same_name(left: str, right: str, _purposes: Purposes) -> Relation:
    """Names without an order of their own: equal or apart."""
    return Relation.EQUAL if left == right else Relation.APART


def relate_places(left: str, right: str, _purposes: Purposes) -> Relation:
    """Places by their ISO 3166 code: `CN-GD` lies inside `CN`."""
    if left == right:
        return Relation.EQUAL
    if left.startswith(right + "-"):
        return Relation.INSIDE
    return Relation.AROUND if right.startswith(left + "-") else Relation.APART


def relate_purposes(left: str, right: str, purposes: Purposes) -> Relation:
    """Purposes by their table; a pair of which one is not in it is unlisted, unless equal."""
    if left == right:
        return Relation.EQUAL
    if right in _wider(left, purposes):
        return Relation.INSIDE
    if left in _wider(right, purposes):
        return Relation.AROUND
    return Relation.APART if left in purposes and right in purposes else Relation.UNLISTED


def relate_environments(left: str, right: str, _purposes: Purposes) -> Relation:
    """Execution environments by what they promise: `isolated` lies inside `confined`.

    A left value says exactly what is promised, so that a weaker one is apart from a stronger one.
    """
    return _exactly(left, right, ENVIRONMENTS)


def relate_units(left: str, right: str, _purposes: Purposes) -> Relation:
    """Units of privacy by what they protect: `subject` lies inside `record`.

    A left value is exact here as well.
    """
    return _exactly(left, right, PRIVACY_UNITS)


def _exactly(left: str, right: str, table: Purposes) -> Relation:
    """As the table says; what a left value does not promise, it does not keep."""
    relation = relate_purposes(left, right, table)
    return Relation.APART if relation is Relation.AROUND else relation


def _wider(name: str, purposes: Purposes) -> list[str]:
    found: list[str] = []
    parent = purposes.get(name)
    while parent is not None and parent not in found:  # a table with a cycle must not hang us
        found.append(parent)
        parent = purposes.get(parent)
    return found
