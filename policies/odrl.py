"""ODRL 2.2 agreements and offers in the shapes of the Dataspace Protocol 2025-1: strict intake.

What leaves this module is whole and understood: every key, action, operand and operator has a row
in `policies.operands`, every right operand has its row's type. `Agreement.to_json` is the normal
form (short terms, times in UTC, no empty lists) that the digest is over, so that two spellings of
one agreement have one digest. The format is written down in `profile.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from policies.canonical import Json, canonical_bytes, digest_of, parse_json
from policies.errors import DocumentError
from policies.fields import Document, instant
from policies.operands import (
    ACTIONS,
    LOGIC,
    MAX_NAME,
    ODRL,
    OPERANDS,
    PROFILE,
    Action,
    Operand,
    Right,
    is_name,
    parse_datetime,
    parse_right,
    right_to_json,
)

__all__ = [
    "CONTEXT",
    "MAX_BYTES",
    "PROFILE",
    "Agreement",
    "Constraint",
    "Logic",
    "Offer",
    "Rule",
    "agreement_from_offer",
    "parse_agreement",
    "parse_datetime",
    "parse_offer",
]

CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
MAX_BYTES = 64 * 1024
MAX_RULES = 64
MAX_CONSTRAINTS = 64
MAX_LOGIC_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Constraint:
    """One comparison; `operand` and `operator` are terms of the tables, `right` has their type."""

    path: str
    operand: str
    operator: str
    right: Right

    def to_json(self) -> dict[str, Json]:
        """The constraint in normal form."""
        return {
            "leftOperand": self.operand,
            "operator": self.operator,
            "rightOperand": right_to_json(self.right),
        }


@dataclass(frozen=True, slots=True)
class Logic:
    """`and`, `or` or `xone` over at least one part."""

    path: str
    operator: str
    parts: tuple[Constraint | Logic, ...]

    def to_json(self) -> dict[str, Json]:
        """The logical constraint in normal form."""
        return {self.operator: [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Rule:
    """A permission or a prohibition; all of its constraints must hold for it to apply."""

    kind: Literal["permission", "prohibition"]
    index: int
    action: str
    constraints: tuple[Constraint | Logic, ...]

    def to_json(self) -> dict[str, Json]:
        """The rule in normal form."""
        rule: dict[str, Json] = {"action": self.action}
        if self.constraints:
            rule["constraint"] = [part.to_json() for part in self.constraints]
        return rule


@dataclass(frozen=True, slots=True)
class Offer:
    """What an owner allows to whoever agrees; a template for agreements."""

    id: str
    assigner: str | None
    permissions: tuple[Rule, ...]
    prohibitions: tuple[Rule, ...]

    def to_json(self) -> dict[str, Json]:
        """The offer in normal form."""
        document = _policy_json(self, "Offer")
        if self.assigner is not None:
            document["assigner"] = self.assigner
        return document


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two parties agreed about one target.

    Attributes:
        thresholds: every `minParticipants` it asks for, ascending; derived.
        digest: SHA-256 of the normal form; derived.
    """

    id: str
    target: str
    assigner: str
    assignee: str
    timestamp: datetime
    permissions: tuple[Rule, ...]
    prohibitions: tuple[Rule, ...]
    thresholds: tuple[int, ...] = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        asked = {
            leaf.right
            for rule in self.permissions
            for leaf in _leaves(rule.constraints)
            if OPERANDS[leaf.operand].cohort and isinstance(leaf.right, int)
        }
        object.__setattr__(self, "thresholds", tuple(sorted(asked)))
        object.__setattr__(self, "digest", digest_of(self.to_json()))

    def to_json(self) -> dict[str, Json]:
        """The agreement in normal form; `parse_agreement` reads it back as an equal one."""
        return _policy_json(self, "Agreement") | {
            "target": self.target,
            "assigner": self.assigner,
            "assignee": self.assignee,
            "timestamp": instant(self.timestamp),
        }


def parse_agreement(data: bytes) -> Agreement:
    """An agreement from JSON as people write it, at most `MAX_BYTES`.

    Raises:
        DocumentError: anything the profile does not know, with the JSON path of the place.
    """
    document = _read(_AgreementDocument, data)
    permissions, prohibitions = _rules(document)
    return Agreement(
        id=document.id,
        target=document.target,
        assigner=document.assigner,
        assignee=document.assignee,
        timestamp=parse_datetime(document.timestamp, "$.timestamp"),
        permissions=permissions,
        prohibitions=prohibitions,
    )


def parse_offer(data: bytes) -> Offer:
    """An offer from JSON as people write it; it names neither target nor assignee.

    Raises:
        DocumentError: as `parse_agreement`.
    """
    document = _read(_OfferDocument, data)
    permissions, prohibitions = _rules(document)
    return Offer(document.id, document.assigner or None, permissions, prohibitions)


def agreement_from_offer(
    offer: Offer, *, id: str, target: str, assigner: str, assignee: str, timestamp: datetime
) -> Agreement:
    """The agreement that accepts an offer word for word.

    Args:
        timestamp: when it was agreed, aware.

    Raises:
        DocumentError: the offer is another assigner's, or a value has not the form that
            `parse_agreement` asks for (it reads the result).
    """
    if offer.assigner not in (None, assigner):
        raise DocumentError("$.assigner", f"the offer's assigner {offer.assigner}", assigner[:80])
    if timestamp.tzinfo is None:
        raise DocumentError("$.timestamp", "an aware datetime", "a naive one")
    document = offer.to_json() | {
        "@id": id,
        "@type": "Agreement",
        "target": target,
        "assigner": assigner,
        "assignee": assignee,
        "timestamp": instant(timestamp),
    }
    return parse_agreement(canonical_bytes(document))


def _policy_json(policy: Offer | Agreement, kind: str) -> dict[str, Json]:
    document: dict[str, Json] = {
        "@context": [CONTEXT],
        "@id": policy.id,
        "@type": kind,
        "profile": PROFILE,
        "conflict": "prohibit",
    }
    if policy.permissions:
        document["permission"] = [rule.to_json() for rule in policy.permissions]
    if policy.prohibitions:
        document["prohibition"] = [rule.to_json() for rule in policy.prohibitions]
    return document


def _leaves(parts: tuple[Constraint | Logic, ...]) -> Iterator[Constraint]:
    for part in parts:
        if isinstance(part, Logic):
            yield from _leaves(part.parts)
        else:
            yield part


# -- shapes: what pydantic checks ---------------------------------------------------------------


def _visible(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"a name of at most {MAX_NAME} visible characters without spaces")
    return text


_Name = Annotated[str, AfterValidator(_visible)]


class _ConstraintDocument(Document):
    left: str = Field(default="", alias="leftOperand")
    operator: str = ""
    right: object = Field(default=None, alias="rightOperand")
    all_of: list[_ConstraintDocument] = Field(default=[], alias="and")
    any_of: list[_ConstraintDocument] = Field(default=[], alias="or")
    one_of: list[_ConstraintDocument] = Field(default=[], alias="xone")
    sequence: object = Field(default=None, alias="andSequence")


class _RuleDocument(Document):
    action: str
    constraint: list[_ConstraintDocument] = Field(default=[])
    duty: object = []


class _PolicyDocument(Document):
    context: list[str] = Field(default=[CONTEXT], alias="@context")
    id: _Name = Field(alias="@id")
    profile: object
    conflict: str = ""
    permission: list[_RuleDocument] = Field(default=[])
    prohibition: list[_RuleDocument] = Field(default=[])
    obligation: object = []


class _OfferDocument(_PolicyDocument):
    type: Literal["Offer"] = Field(alias="@type")
    assigner: _Name = ""


class _AgreementDocument(_PolicyDocument):
    type: Literal["Agreement"] = Field(alias="@type")
    target: _Name
    assigner: _Name
    assignee: _Name
    timestamp: str


_NOT_YET = "nothing here (not supported by this version)"
_Document = TypeVar("_Document", bound=_PolicyDocument)


def _read(model: type[_Document], data: bytes) -> _Document:
    value = parse_json(data, max_bytes=MAX_BYTES)
    try:
        document = model.model_validate(value)
    except ValidationError as error:
        raise _refusal(error) from error
    if document.context != [CONTEXT]:
        raise DocumentError("$.@context", f'["{CONTEXT}"]', repr(document.context)[:80])
    if document.profile not in (PROFILE, [PROFILE]):
        raise DocumentError("$.profile", PROFILE, repr(document.profile)[:80])
    if document.conflict != "prohibit":
        why = '"prohibit" (ODRL takes a policy without it as void when its rules conflict)'
        got = repr(document.conflict[:40]) if "conflict" in document.model_fields_set else "nothing"
        raise DocumentError("$.conflict", why, got)
    if document.obligation != []:
        raise DocumentError("$.obligation", _NOT_YET, "an obligation")
    rules = len(document.permission) + len(document.prohibition)
    if not 1 <= rules <= MAX_RULES:
        expected = f"1 to {MAX_RULES} permissions and prohibitions"
        raise DocumentError("$.permission", expected, str(rules))
    return document


def _refusal(error: ValidationError) -> DocumentError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p[:60]}" for p in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            return DocumentError(where, "only keys that the profile knows", "this key")
        case "missing":
            return DocumentError(where, "a value", "nothing")
        case "model_type":
            return DocumentError(where, "an object", type(first["input"]).__name__)
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return DocumentError(where, expected, repr(first["input"])[:80])


# -- meaning: what the tables check -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a constraint stands, as far as it decides what may stand there."""

    path: str
    kind: Literal["permission", "prohibition"]
    depth: int = 0
    under_xone: bool = False

    def inside(self, operator: str, index: int) -> _Place:
        path = f"{self.path}.{operator}[{index}]"
        return _Place(path, self.kind, self.depth + 1, self.under_xone or operator == "xone")


def _rules(document: _PolicyDocument) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    return (
        tuple(_rule("permission", i, rule) for i, rule in enumerate(document.permission)),
        tuple(_rule("prohibition", i, rule) for i, rule in enumerate(document.prohibition)),
    )


def _rule(kind: Literal["permission", "prohibition"], index: int, document: _RuleDocument) -> Rule:
    path = f"$.{kind}[{index}]"
    if document.duty != []:
        raise DocumentError(f"{path}.duty", _NOT_YET, "a duty")
    action = _term(_ACTION_TERMS, document.action, f"{path}.action")
    constraints = tuple(
        _part(part, _Place(f"{path}.constraint[{i}]", kind))
        for i, part in enumerate(document.constraint)
    )
    if (size := _size(constraints)) > MAX_CONSTRAINTS:
        expected = f"at most {MAX_CONSTRAINTS} constraints, nested ones included"
        raise DocumentError(f"{path}.constraint", expected, str(size))
    return Rule(kind, index, action, constraints)


def _part(document: _ConstraintDocument, place: _Place) -> Constraint | Logic:
    given = document.model_fields_set
    if "sequence" in given:
        raise DocumentError(f"{place.path}.andSequence", _NOT_YET, "an ordered conjunction")
    logic = [term for term, name in _LOGIC_FIELDS.items() if name in given]
    if not logic:
        return _comparison(document, place)
    if len(given) > 1:
        raise DocumentError(place.path, f"only {logic[0]!r}", f"{len(given)} keys")
    operator = logic[0]
    parts: list[_ConstraintDocument] = getattr(document, _LOGIC_FIELDS[operator])
    if not parts:
        raise DocumentError(f"{place.path}.{operator}", "at least one constraint", "none")
    if place.depth >= MAX_LOGIC_DEPTH:
        raise DocumentError(place.path, f"logic at most {MAX_LOGIC_DEPTH} levels deep", "more")
    inner = [_part(part, place.inside(operator, index)) for index, part in enumerate(parts)]
    return Logic(place.path, operator, tuple(inner))


def _comparison(document: _ConstraintDocument, place: _Place) -> Constraint:
    for name, key in (("left", "leftOperand"), ("operator",) * 2, ("right", "rightOperand")):
        if name not in document.model_fields_set:
            raise DocumentError(f"{place.path}.{key}", "a value", "nothing")
    left_path = f"{place.path}.leftOperand"
    row = OPERANDS[_term(_OPERAND_TERMS, document.left, left_path)]
    if row.cohort and (place.kind == "prohibition" or place.under_xone):
        # Elsewhere a smaller cohort could permit more, and no greatest cohort need exist.
        expected = f"{row.term} only in a permission and not under xone"
        raise DocumentError(left_path, expected, "it elsewhere")
    if document.operator not in row.operators:
        expected = f"one of {', '.join(row.operators)} with {row.term}"
        raise DocumentError(f"{place.path}.operator", expected, repr(document.operator[:60]))
    right = parse_right(row, document.operator, document.right, f"{place.path}.rightOperand")
    return Constraint(place.path, row.term, document.operator, right)


def _size(parts: tuple[Constraint | Logic, ...]) -> int:
    return sum(1 + _size(part.parts) if isinstance(part, Logic) else 1 for part in parts)


def _term(spellings: Mapping[str, str], text: str, where: str) -> str:
    term = spellings.get(text)
    if term is None:
        known = ", ".join(dict.fromkeys(spellings.values()))
        raise DocumentError(where, f"one of {known}", repr(text[:80]))
    return term


def _spellings(rows: Mapping[str, Action] | Mapping[str, Operand]) -> dict[str, str]:
    """Term, full IRI and, for ODRL's own, the `odrl:` name, as connectors variously write them."""
    found = {}
    for term, row in rows.items():
        found[term] = found[row.iri] = term
        if row.iri.startswith(ODRL):
            found[f"odrl:{term}"] = term
    return found


_ACTION_TERMS = _spellings(ACTIONS)
_OPERAND_TERMS = _spellings(OPERANDS)
_LOGIC_FIELDS = dict(zip(LOGIC, ("all_of", "any_of", "one_of"), strict=True))
