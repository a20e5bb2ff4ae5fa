"""The field types that our documents share, as pydantic annotations, and the strict base model.

pydantic stands only where bytes enter (STYLE: "parse once and strictly").
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.canonical import Json
from policies.errors import DocumentError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
ParticipantId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Instant = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$")]
Text = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Decimal = Annotated[str, Field(pattern=r"^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$", max_length=40)]


class Document(BaseModel):
    """Base of our documents: strict, frozen, unknown fields refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The document, or a DocumentError that names the first offending field."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = "$" + "".join(
                f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
            )
            got = repr(first["input"])[:80] if first["type"] != "missing" else "nothing"
            raise DocumentError(where, f"{cls.__name__}: {first['msg']}", got) from error

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


def parse_instant(text: str) -> datetime:
    """The aware datetime of an `Instant` (already checked for its form)."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise DocumentError("$", "a moment like 2026-01-31T08:00:00.000Z", text[:40]) from error
