"""The form of a request's facts: a field for each term that a policy, or a law, asks about.

What a field leaves empty is not known, and what is not known never permits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from policies.asking import Asking, parse_asking
from policies.canonical import Json, canonical_bytes
from policies.evaluate import asked_by
from policies.fields import instant
from policies.law import Baseline
from policies.operands import ACTIONS, COVERS, FULFILLED, OPERANDS, PENDING, PURPOSES, VIOLATED
from policies.results import Value
from policies.rows import Kind
from policies.rules import leaves
from policies.values import Right, decimal_text
from server.console.shelf import Policy

Group = Literal["plan", "company", "past", "register", "duty"]

GROUPS: Final[tuple[Group, ...]] = ("plan", "company", "past", "register", "duty")
ASKED: Final = tuple(sorted(frozenset().union(*COVERS.values()) - {"list"}))
"""What a request may ask to do."""

ASK: Final = "ask"
"""The field that a sent form has: without it, the page fills in what the space knows."""

MAX_FIELD: Final = 1024
_PLAN: Final = frozenset(
    {
        "purpose",
        "recipient",
        "event",
        "algorithm",
        "payAmount",
        "clipNorm",
        "secureAggregation",
        "noise",
        "noiseBy",
        "privacyUnit",
        "delta",
    }
)
_PAST: Final = frozenset({"dateTime", "count", "meteredTime", "elapsedTime", "epsilon"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        name: of the input; those of a set of names are NAME-0, NAME-1, ...
        kind: of the input: text, number, whole, seconds, moment, choice, set, duty.
        value: as the input spells it; "" is not known.
        options: of a choice, or of a set, or suggestions for a text.
        chosen: of a set.
    """

    term: str
    group: Group
    kind: str
    value: str
    options: tuple[str, ...] = ()
    chosen: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"v-{self.term}"


def terms_of(policy: Policy, laws: Iterable[Baseline]) -> tuple[str, ...]:
    """Every term that the policy and the laws ask about, the time always among them."""
    rules = [*policy.permissions, *policy.prohibitions]
    rules += [rule for law in laws for rule in law.prohibitions]
    return tuple(sorted({*asked_by(rules, policy.obligations), "dateTime"}))


def fields_of(
    policy: Policy, laws: tuple[Baseline, ...], state: Mapping[str, Value]
) -> dict[Group, list[Field]]:
    """The form's fields, filled in with what is known, by group.

    Args:
        state: left values and states of duties.
    """
    named = _named(policy)
    found: dict[Group, list[Field]] = {group: [] for group in GROUPS}
    for term in terms_of(policy, laws):
        value = state.get(term)
        field = _field(term, value.value if value else None, named.get(term, ()))
        found[field.group].append(field)
    return {group: fields for group, fields in found.items() if fields}


def asking_of(
    query: Mapping[str, str],
    policy: Policy,
    laws: tuple[Baseline, ...],
    *,
    target: str,
    now: datetime,
) -> Asking:
    """What the form says.

    Args:
        query: its fields; the last value of each.
        now: the moment of the use where the form says none, aware.

    Raises:
        DocumentError: a value that its operand cannot have; with the place.
    """
    named, context = _named(policy), dict[str, Json]()
    at = instant(now)
    for term in terms_of(policy, laws):
        text = query.get(f"v-{term}", "").strip()[:MAX_FIELD]
        if term == "dateTime":
            at = _moment(text) or at
        elif term in OPERANDS and OPERANDS[term].kind is Kind.NAMES:
            context[term] = [
                name for index, name in enumerate(named[term]) if f"v-{term}-{index}" in query
            ]
        elif text:
            context[term] = _spelled(term, text)
    document: Json = {
        "assignee": query.get("consumer", "").strip()[:MAX_FIELD] or "-",
        "action": query.get("action", "train"),
        "target": target,
        "at": at,
        "context": context,
    }
    return parse_asking(canonical_bytes(document))


def query_of(
    state: Mapping[str, Value], policy: Policy, laws: tuple[Baseline, ...]
) -> dict[str, str]:
    """The fields that say this state, as `asking_of` reads them."""
    found: dict[str, str] = {}
    for fields in fields_of(policy, laws, state).values():
        for field in fields:
            if field.kind == "set":
                chosen = (i for i, name in enumerate(field.options) if name in field.chosen)
                found |= {f"{field.name}-{index}": "on" for index in chosen}
            elif field.value:
                found[field.name] = field.value
    return found


def _named(policy: Policy) -> dict[str, tuple[str, ...]]:
    """The names that a policy compares each operand with, in its order."""
    found: dict[str, dict[str, None]] = {}
    rules = [*policy.permissions, *policy.prohibitions]
    duties = [*policy.obligations, *(duty for rule in rules for duty in rule.duties)]
    parts = [one.constraints for one in rules] + [one.constraints for one in duties]
    for constraints in parts:
        for leaf in leaves(constraints):
            if OPERANDS[leaf.operand].kind in (Kind.NAME, Kind.NAMES):
                right = leaf.right if isinstance(leaf.right, tuple) else (str(leaf.right),)
                found.setdefault(leaf.operand, {}).update(dict.fromkeys(right))
    return {term: tuple(names) for term, names in found.items()}


def _field(term: str, value: Right | None, named: tuple[str, ...]) -> Field:
    group = _group(term)
    text = "" if value is None else _text(value)
    if term in ACTIONS and term not in OPERANDS:
        states = (FULFILLED, PENDING, VIOLATED) if ACTIONS[term].duty == "pre" else (VIOLATED,)
        return Field(term, group, "duty", text, states)
    row = OPERANDS[term]
    if row.kind is Kind.NAMES:
        here = frozenset(value) if isinstance(value, tuple) else frozenset()
        return Field(term, group, "set", "", named, here)
    if row.kind is Kind.NAME:
        closed = row.pattern is not None and ", " in row.unit
        choices = tuple(row.unit.split(", ")) if closed else named
        if term == "purpose":
            choices = tuple(dict.fromkeys((*named, *PURPOSES)))
        return Field(term, group, "choice" if closed else "text", text, choices)
    kinds = {
        Kind.INTEGER: "whole",
        Kind.DURATION: "seconds",
        Kind.DECIMAL: "number",
        Kind.INSTANT: "moment",
    }
    return Field(term, group, kinds[row.kind], text)


def _group(term: str) -> Group:
    if term not in OPERANDS:
        return "duty"
    if OPERANDS[term].cohort:
        return "company"
    return "plan" if term in _PLAN else "past" if term in _PAST else "register"


def _text(value: Right) -> str:
    """As an input spells it; a moment to the second, in UTC."""
    if isinstance(value, datetime):
        return instant(value)[:19]
    return decimal_text(value) if not isinstance(value, str | int | tuple) else str(value)


def _spelled(term: str, text: str) -> Json:
    """As a request document spells it; what is no number is left for its reader to refuse."""
    whole = term in OPERANDS and OPERANDS[term].kind in (Kind.INTEGER, Kind.DURATION)
    digits = text.isascii() and text.isdigit() and len(text) <= 16
    return int(text) if whole and digits else text


def _moment(text: str) -> str:
    """What a browser's field for a moment says, which is meant in UTC; "" stays so."""
    if not text:
        return ""
    seconds = text if text.count(":") != 1 else f"{text}:00"
    return seconds if seconds.endswith("Z") or "+" in seconds else f"{seconds}Z"
