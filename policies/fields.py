"""The field types that our documents share, as pydantic annotations, and the strict base model.

pydantic stands only where bytes enter (STYLE: "parse once and strictly"). Patterns list their
digits, since `\\d` would also take those of other scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.canonical import Json
from policies.errors import DocumentError

_MAX_KEY_SHOWN = 60

# Not Literal[1], which takes True as well: two spellings of one document.
Version = Annotated[int, Field(ge=1, le=1)]
_SHA256 = r"^[0-9a-f]{64}$"
Sha256 = Annotated[str, Field(pattern=_SHA256)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
MaybeId = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:/-]{0,127})?$")]
ParticipantId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
# The form only: that it is a moment of the calendar is for `parse_instant` to say.
Instant = Annotated[
    str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$")
]
Text = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Decimal = Annotated[
    str, Field(pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?$", max_length=40)
]
# Not negative, without an exponent or a trailing zero: one spelling of one amount.
_AMOUNT = r"^(0|[1-9][0-9]{0,17})(\.[0-9]{0,17}[1-9])?$"
Amount = Annotated[str, Field(pattern=_AMOUNT)]
MaybeAmount = Annotated[str, Field(pattern=_AMOUNT.replace("^", "^(").replace("$", ")?$"))]
Accelerator = Literal["none", "cuda"]
# An amount above zero; "" is none.
_NORM = r"^((0\.[0-9]{0,17}[1-9]|[1-9][0-9]{0,17}(\.[0-9]{0,17}[1-9])?))?$"
MaybeNorm = Annotated[str, Field(pattern=_NORM)]


class Document(BaseModel):
    """Base of our documents: strict, frozen, unknown fields refused.

    A field with `repr=False` holds a secret: neither `repr` nor an error shows its value.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The document, or a DocumentError that names the first offending field."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise _refusal(cls, error) from error

    def to_json(self) -> dict[str, Json]:
        """Plain JSON values, ready for `canonical_bytes`."""
        return self.model_dump(mode="json")


def instant(moment: datetime) -> str:
    """A moment as UTC with milliseconds, the one spelling of time in our documents.

    Raises:
        ValueError: `moment` is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("instant: expected an aware datetime, got a naive one")
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


@lru_cache(maxsize=4096)  # a log tells the same moments again and again
def parse_instant(text: str) -> datetime:
    """The aware UTC datetime of an `Instant`; `instant` gives the same text back.

    Raises:
        DocumentError: another spelling of a moment, or none of the calendar.
    """
    try:
        moment = datetime.fromisoformat(text)
        if instant(moment) == text:
            return moment
    except (ValueError, OverflowError) as error:
        raise _no_instant(text) from error
    raise _no_instant(text)


def _no_instant(text: str) -> DocumentError:
    return DocumentError("$", "a moment like 2026-01-31T08:00:00.000Z", repr(text[:40]))


# Where a field is a union, pydantic puts the name of its validator into the path.
_VALIDATOR = re.compile(r"(function-(after|before|plain|wrap)|literal)\[.*\]$")
# What a person is told, for the patterns of what people write.
_MEANT = {
    _AMOUNT: "a number such as 0.5 or 12, without sign, exponent and trailing zeros",
    _NORM: "a number above 0 such as 0.5 or 12, without exponent and trailing zeros, or nothing",
    _SHA256: "a SHA-256: 64 digits of 0-9 and a-f",
}


def json_path(steps: Iterable[str | int]) -> str:
    """Where a value stands in a document, such as `$.cohort[0].key`; long keys are cut."""
    return "$" + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step[:_MAX_KEY_SHOWN]}"
        for step in steps
        if not _VALIDATOR.match(str(step))
    )


def _refusal(cls: type[Document], error: ValidationError) -> DocumentError:
    first = error.errors(include_url=False, include_context=False)[0]
    path, kind, value = first["loc"], first["type"], first["input"]
    field = cls.model_fields.get(str(path[0])) if path else None
    if kind == "missing":
        got = "nothing"
    elif kind == "extra_forbidden":
        got = "this key"
    elif field is not None and not field.repr:
        got = "a value that is not shown"
    elif isinstance(value, dict | list):
        got = "an object" if isinstance(value, dict) else "a list"
    else:
        got = repr(value)[:80]
    return DocumentError(json_path(path), _expectation(cls, kind, first["msg"]), got)


_PLAIN = {"missing": "this field", "extra_forbidden": "no unknown field"}


def _expectation(cls: type[Document], kind: str, message: str) -> str:
    """What a person is told was expected; pydantic's own words, without its class names."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in {"model_type", "model_attributes_type"}:
        return "a JSON object"
    for pattern, meant in _MEANT.items():
        if message.endswith(f"'{pattern}'"):
            return meant
    words = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return words.replace("String should ", "text that should ")
