"""What a language has to have words for; `policies.english` and `policies.chinese` fill it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Words:
    """One language. `{}` and named fields are filled in.

    Attributes:
        subjects: left operand -> how it is called.
        wanted: operator -> what a value should be for the constraint to hold.
        unwanted: operator -> what it should be for the constraint not to hold.
        wanted_time, unwanted_time: the same for moments, where they differ.
        duties: action -> what is to be done.
        facts_of: left operand -> its value as a sentence, where `is_value` would not be one.
        told: left operand -> value -> a sentence; for values that are words of ours, such as yes.
        needed: the same as what would have to be; complete for an operand of two values, "" being
            any value but those that are named.
        facts: reason code -> why, where no policy had to be asked; English keeps the log's words.
    """

    subjects: Mapping[str, str]
    wanted: Mapping[str, str]
    unwanted: Mapping[str, str]
    wanted_time: Mapping[str, str]
    unwanted_time: Mapping[str, str]
    duties: Mapping[str, str]
    facts: Mapping[str, str]
    permitted: str
    refused: str
    refused_before: str
    met: str
    is_value: str
    unknown: str
    should: str
    known: str
    grows: str
    spends: str
    unconditional: str
    too_many: str
    facts_of: Mapping[str, str]
    told: Mapping[str, Mapping[str, str]]
    needed: Mapping[str, Mapping[str, str]]
    at_rule: str
    about: str
    stay_out: str
    join_in: str
    nobody: str
    list_or: str
    list_and: str
    list_all: str
    all_parts: str
    any_part: str
    only_one: str
    permission: str
    prohibition: str
    no_permission: str
    permission_needed: str
    prohibits: str
    may_prohibit: str
    law: str
    law_source: str
    duty: str
    duty_needed: str
    other_party: str
    cohort_small: str


def tables(table: dict[str, dict[str, str]]) -> Mapping[str, Mapping[str, str]]:
    """A table of tables, read-only."""
    return MappingProxyType({operand: frozen(values) for operand, values in table.items()})


def frozen(table: dict[str, str]) -> Mapping[str, str]:
    """The table, read-only."""
    return MappingProxyType(table)
