"""Strict intake of ODRL: from bytes to rules in which every term is known and every value typed.

First pydantic checks the shape, key by key; then the tables of `policies.operands` check the
meaning. `policies.odrl` makes documents of what passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from policies.canonical import parse_json
from policies.errors import DocumentError
from policies.fields import Document, json_path
from policies.operands import (
    ACTIONS,
    MAX_NAME,
    ODRL,
    OPERANDS,
    PROFILE,
    is_name,
    parse_right,
)
from policies.outcomes import LOGIC
from policies.rows import Action, Operand
from policies.rules import Constraint, Duty, Logic, NextPolicy, Rule

CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
MAX_BYTES = 64 * 1024
MAX_RULES = 64
MAX_CONSTRAINTS = 64
MAX_LOGIC_DEPTH = 8


def _visible(text: str) -> str:
    if not (text.isascii() and is_name(text)):
        raise ValueError(f"a name of at most {MAX_NAME} visible ASCII characters without spaces")
    return text


_Name = Annotated[str, AfterValidator(_visible)]


class _ConstraintDocument(Document):
    left: str = Field(default="", alias="leftOperand")
    operator: str = ""
    right: object = Field(default=None, alias="rightOperand")
    all_of: list[_ConstraintDocument] = Field(default=[], alias="and")
    any_of: list[_ConstraintDocument] = Field(default=[], alias="or")
    one_of: list[_ConstraintDocument] = Field(default=[], alias="xone")
    sequence: list[_ConstraintDocument] = Field(default=[], alias="andSequence")


class _DutyDocument(Document):
    action: str
    constraint: list[_ConstraintDocument] = Field(default=[])


class _RuleDocument(Document):
    action: str
    constraint: list[_ConstraintDocument] = Field(default=[])
    duty: list[_DutyDocument] = Field(default=[])


class _NextDocument(Document):
    permission: list[_RuleDocument] = Field(default=[])
    prohibition: list[_RuleDocument] = Field(default=[])


class PolicyDocument(Document):
    """What all policies have in common."""

    context: list[str] = Field(default=[CONTEXT], alias="@context")
    id: _Name = Field(alias="@id")
    profile: object
    conflict: str = ""
    permission: list[_RuleDocument] = Field(default=[])
    prohibition: list[_RuleDocument] = Field(default=[])
    obligation: list[_DutyDocument] = Field(default=[])


class OfferDocument(PolicyDocument):
    """An offer; no target, assignee or timestamp."""

    type: Literal["Offer"] = Field(alias="@type")
    assigner: _Name = ""
    next_policy: _NextDocument | None = Field(default=None, alias="nextPolicy")


class AgreementDocument(PolicyDocument):
    """An agreement; all its parties are named."""

    type: Literal["Agreement"] = Field(alias="@type")
    target: _Name
    assigner: _Name
    assignee: _Name
    timestamp: str
    next_policy: _NextDocument | None = Field(default=None, alias="nextPolicy")


class LawDocument(PolicyDocument):
    """A policy of the space that no offer can switch off (`policies.law`)."""

    type: Literal["Set"] = Field(alias="@type")
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.-]{0,31}$")]
    source: Annotated[str, Field(min_length=1, max_length=1000)]
    comment: Annotated[str, Field(max_length=4000)] = ""
    title_zh: Annotated[str, Field(alias="titleZh", max_length=200)] = ""
    source_zh: Annotated[str, Field(alias="sourceZh", max_length=1000)] = ""


_Document = TypeVar("_Document", bound=PolicyDocument)


def read_document(model: type[_Document], data: bytes) -> _Document:
    """The document's shape, with every key that the profile fixes checked for its value.

    Raises:
        DocumentError: too large, no JSON of our subset, or another shape; with the JSON path.
    """
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
    if len(document.obligation) > MAX_RULES:
        raise DocumentError(
            "$.obligation", f"at most {MAX_RULES} obligations", str(len(document.obligation))
        )
    rules = len(document.permission) + len(document.prohibition)
    if not 1 <= rules <= MAX_RULES:
        expected = f"1 to {MAX_RULES} permissions and prohibitions"
        raise DocumentError("$.permission", expected, str(rules))
    return document


def _refusal(error: ValidationError) -> DocumentError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = json_path(first["loc"])
    match first["type"]:
        case "extra_forbidden":
            return DocumentError(where, "only keys that the profile knows", "this key")
        case "missing":
            return DocumentError(where, "a value", "nothing")
        case "model_type":
            return DocumentError(where, "an object", type(first["input"]).__name__)
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return DocumentError(where, expected, ascii(first["input"])[:80])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a constraint stands, as far as it decides what may stand there."""

    path: str
    kind: Literal["permission", "prohibition", "duty"]
    depth: int = 0
    under_xone: bool = False

    def inside(self, operator: str, index: int) -> _Place:
        path = f"{self.path}.{operator}[{index}]"
        return _Place(path, self.kind, self.depth + 1, self.under_xone or operator == "xone")


RuleKind = Literal["permission", "prohibition"]
Rules = tuple[Rule, ...]


def read_rules(document: PolicyDocument | _NextDocument, at: str = "$") -> tuple[Rules, Rules]:
    """Permissions and prohibitions, every term looked up in the tables and every value typed.

    Args:
        at: JSON path of the object that holds them.

    Raises:
        DocumentError: a term, a value or a combination that the profile lacks; with the JSON path.
    """
    return (
        tuple(_rule("permission", i, rule, at) for i, rule in enumerate(document.permission)),
        tuple(_rule("prohibition", i, rule, at) for i, rule in enumerate(document.prohibition)),
    )


def read_obligations(document: PolicyDocument) -> tuple[Duty, ...]:
    """The duties that stand beside every permission; errors as `read_rules`."""
    return _duties(document.obligation, "$.obligation")


def read_next_policy(document: OfferDocument | AgreementDocument) -> NextPolicy | None:
    """The rules for what is derived; errors as `read_rules`."""
    found = document.next_policy
    if found is None:
        return None
    rules = len(found.permission) + len(found.prohibition)
    if not 1 <= rules <= MAX_RULES:
        expected = f"1 to {MAX_RULES} permissions and prohibitions"
        raise DocumentError("$.nextPolicy", expected, str(rules))
    return NextPolicy(*read_rules(found, "$.nextPolicy"))


def _rule(kind: RuleKind, index: int, document: _RuleDocument, at: str) -> Rule:
    path = f"{at}.{kind}[{index}]"
    if kind == "prohibition" and document.duty:
        raise DocumentError(f"{path}.duty", "duties in permissions only", "one in a prohibition")
    action = _term(_ACTION_TERMS, document.action, f"{path}.action")
    return Rule(
        kind,
        index,
        action,
        _constraints(document.constraint, kind, path),
        _duties(document.duty, f"{path}.duty"),
    )


def _duties(documents: list[_DutyDocument], path: str) -> tuple[Duty, ...]:
    if len(documents) > MAX_RULES:
        raise DocumentError(path, f"at most {MAX_RULES} duties", str(len(documents)))
    return tuple(_duty(one, f"{path}[{i}]") for i, one in enumerate(documents))


def _duty(document: _DutyDocument, path: str) -> Duty:
    action = _term(_DUTY_TERMS, document.action, f"{path}.action")
    if ACTIONS[action].duty == "post" and document.constraint:
        # Nobody looks at them once the use is over, so a promise of them would be empty.
        expected = f"no constraint on {action}, which is due after the use"
        raise DocumentError(f"{path}.constraint", expected, f"{len(document.constraint)}")
    return Duty(path, action, _constraints(document.constraint, "duty", path))


def _constraints(
    documents: list[_ConstraintDocument],
    kind: Literal["permission", "prohibition", "duty"],
    path: str,
) -> tuple[Constraint | Logic, ...]:
    constraints = tuple(
        _part(part, _Place(f"{path}.constraint[{i}]", kind)) for i, part in enumerate(documents)
    )
    if (size := _size(constraints)) > MAX_CONSTRAINTS:
        expected = f"at most {MAX_CONSTRAINTS} constraints, nested ones included"
        raise DocumentError(f"{path}.constraint", expected, str(size))
    return constraints


def _part(document: _ConstraintDocument, place: _Place) -> Constraint | Logic:
    given = document.model_fields_set
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
    if row.cohort and (place.kind != "permission" or place.under_xone):
        # Elsewhere a smaller cohort could permit more, and no greatest cohort need exist.
        expected = f"{row.term} only in a permission and not under xone"
        raise DocumentError(left_path, expected, "it elsewhere")
    if document.operator not in row.operators:
        expected = f"one of {', '.join(row.operators)} with {row.term}"
        raise DocumentError(f"{place.path}.operator", expected, ascii(document.operator[:60]))
    right = parse_right(row, document.operator, document.right, f"{place.path}.rightOperand")
    return Constraint(place.path, row.term, document.operator, right)


def _size(parts: tuple[Constraint | Logic, ...]) -> int:
    return sum(1 + _size(part.parts) if isinstance(part, Logic) else 1 for part in parts)


def _term(spellings: Mapping[str, str], text: str, where: str) -> str:
    term = spellings.get(text)
    if term is None:
        known = ", ".join(dict.fromkeys(spellings.values()))
        raise DocumentError(where, f"one of {known}", ascii(text[:80]))
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
_DUTY_TERMS = _spellings({term: row for term, row in ACTIONS.items() if row.duty is not None})
_OPERAND_TERMS = _spellings(OPERANDS)
_LOGIC_FIELDS = dict(zip(LOGIC, ("all_of", "any_of", "one_of", "sequence"), strict=True))
