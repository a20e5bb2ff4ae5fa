"""What a row of the profile's tables says; the tables themselves are in `policies.operands`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Literal

from policies.relations import Purposes, Relation, same_name


class Kind(Enum):
    """What the right operand is, as people write it.

    `NAMES` has names on the right like `NAME`; its left value is a set of them.
    """

    NAME = "a string or an IRI"
    NAMES = "a string, an IRI or a list of them"
    INTEGER = '{"@value": "50", "@type": "xsd:integer"}'
    DECIMAL = '{"@value": "1.5", "@type": "xsd:decimal"}'
    DURATION = '{"@value": "PT2H30M", "@type": "xsd:duration"}'
    INSTANT = '{"@value": "2026-12-31T00:00:00Z", "@type": "xsd:dateTime"}'


@dataclass(frozen=True, slots=True)
class Operator:
    """A row: the term and how a sentence says it; `{}` is the right operand."""

    term: str
    phrase: str
    time_phrase: str = ""


Stage = Literal["pre", "post"]


@dataclass(frozen=True, slots=True)
class Action:
    """A row: what may be done, and the wider action it is `odrl:includedIn`.

    Attributes:
        asked: whether a request may name it.
        duty: when it has to be done where it is a duty: before the use, or after it; None where
            it cannot be one.
        phrase: how a sentence calls the duty.
    """

    term: str
    iri: str
    included_in: str | None
    asked: bool = True
    duty: Stage | None = None
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class Operand:
    """A row: one left operand.

    Attributes:
        operators: the only ones allowed with it.
        unit: of the value; empty for names.
        source: where the left value comes from.
        subject: how a sentence calls it.
        fact, wish: how a sentence states its value, and what the agreement does about it, where
            that is not "subject is value" and "allows", or "asks for", with the operator's phrase.
        code: of the reason when its constraint is the one that fails.
        advice: how the consumer may do what it asks; empty where no run states its value.
        relate: how two names relate; only for `Kind.NAME`.
        pattern: what a name must match, on either side.
        least: the smallest left value that can be true; below it the value is unknown.
        most: the largest right operand, which then has to be above 0; None bounds neither.
        cohort: True where the value depends on who else takes part; only in permissions, and not
            under `xone`, so that a larger cohort never turns a permit into a denial.
    """

    term: str
    iri: str
    operators: tuple[str, ...]
    kind: Kind
    unit: str
    source: str
    subject: str
    code: str
    relate: Callable[[str, str, Purposes], Relation] = same_name
    pattern: re.Pattern[str] | None = None
    least: int = 0
    most: Decimal | None = None
    cohort: bool = False
    fact: str = ""
    wish: str = ""
    advice: str = ""
