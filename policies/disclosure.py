"""Commitments to what identifies, and what opens them.

    commitment = SHA-256("tdspace-commitment/v1" ‖ salt ‖ canonical JSON of {"kind": …, "value": …})

An entry of the log carries the commitment in hexadecimal. The salt of 32 random bytes hides the
value from whoever tries out names; SHA-256 binds to it. Text and salt lie beside the log, sealed
(`policies.sealing`), and are gone once that file is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from policies.canonical import Json, canonical_bytes, parse_canonical
from policies.entries import Entry
from policies.errors import DocumentError
from policies.fields import Document, Sha256, Text, Version
from policies.statements import Column

COMMITMENT_DOMAIN: Final = b"tdspace-commitment/v1"
SALT_BYTES: Final = 32
MAX_OPENING_BYTES: Final = 256 * 1024

Kind = Literal["profile", "product", "app", "reason"]
Words = Annotated[str, Field(max_length=200)]


class Profile(Document):
    """Who a participant or an auditor is; empty fields are not stated."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    contact: Words = ""
    registration: Words = ""
    address: Words = ""


class ProductText(Document):
    """What a product is called and holds, in its owner's words."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    columns: Annotated[list[Column], Field(min_length=1, max_length=4096)]


class AppText(Document):
    """What an app is called, who wrote it, and what it says that it returns."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    author: Words = ""
    outputs: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=64)
    ] = Field(default_factory=list)


class ReasonText(Document):
    """Why somebody did something."""

    text: Text


_VALUES: Final[Mapping[Kind, type[Document]]] = MappingProxyType(
    {"profile": Profile, "product": ProductText, "app": AppText, "reason": ReasonText}
)


class _File(Document):
    version: Version
    kind: Kind
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opening:
    """A value with the salt that it was committed to under."""

    kind: Kind
    salt: bytes
    value: Document

    def __repr__(self) -> str:
        """Neither salt nor value: it might stand in a log file."""
        return f"Opening(kind={self.kind!r})"

    @property
    def commitment(self) -> str:
        """What an entry carries."""
        committed = canonical_bytes({"kind": self.kind, "value": self.value.to_json()})
        return hashlib.sha256(COMMITMENT_DOMAIN + self.salt + committed).hexdigest()

    def to_bytes(self) -> bytes:
        """Canonical JSON; `parse_opening` reads it.

        Raises:
            DocumentError: over `MAX_OPENING_BYTES`.
        """
        data = canonical_bytes(
            {
                "version": 1,
                "kind": self.kind,
                "salt": self.salt.hex(),
                "value": self.value.to_json(),
            }
        )
        if len(data) > MAX_OPENING_BYTES:
            raise DocumentError(
                f"$ ({self.kind})", f"at most {MAX_OPENING_BYTES} bytes", f"{len(data)}"
            )
        return data


def new_opening(value: Document, salt: bytes) -> Opening:
    """Commit to a value.

    Args:
        value: a `Profile`, `ProductText`, `AppText` or `ReasonText`.
        salt: `SALT_BYTES` unguessable bytes, used for nothing else.

    Raises:
        ValueError: another salt or value; the caller's mistake.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt: expected {SALT_BYTES} bytes, got {len(salt)}")
    for kind, known in _VALUES.items():
        if type(value) is known:
            return Opening(kind, salt, value)
    raise ValueError(f"value: expected one that is disclosed, got {type(value).__name__}")


def parse_opening(data: bytes) -> Opening:
    """What opens a commitment; whether it opens the one in question, `commitment` tells.

    Raises:
        DocumentError: too large, not canonical, or no value of its kind. Nothing of the value
            stands in its text.
    """
    found = _File.from_json(parse_canonical(data, max_bytes=MAX_OPENING_BYTES))
    try:
        value = _VALUES[found.kind].from_json(found.value)
    except DocumentError as error:
        raise DocumentError("$.value", f"a {found.kind}", "another value") from error
    return Opening(found.kind, bytes.fromhex(found.salt), value)


@dataclass(frozen=True, slots=True)
class Committed:
    """A commitment in an entry; `participant` is whom it is about, "" for nobody's."""

    kind: Kind
    commitment: Sha256
    participant: str


# By entry type: kind, field of the commitment, field of the participant ("" without one).
_PLACES: Final[Mapping[str, tuple[Kind, str, str]]] = MappingProxyType(
    {
        "ParticipantEnrolled": ("profile", "profile", "participant"),
        "AuditorNamed": ("profile", "profile", "auditor"),
        "ProductRegistered": ("product", "description", "participant"),
        "AppRegistered": ("app", "description", ""),
        "ConsentWithdrawn": ("reason", "reason", "participant"),
        "CertificateRevoked": ("reason", "reason", "participant"),
        "AppFilingRevoked": ("reason", "reason", ""),
        "RunEnded": ("reason", "said", "participant"),
        "NegotiationStep": ("reason", "said", "participant"),
        "TransferStep": ("reason", "said", "participant"),
        "Withdrawn": ("reason", "reason", ""),
    }
)
COMMITTING_TYPES: Final = tuple(_PLACES)
"""The types of entries that may carry a commitment."""


def committed_in(entry: Entry) -> Committed | None:
    """The commitment that an entry carries; None where it carries none."""
    return committed_by(entry.type, entry.body)


def committed_by(type: str, body: Mapping[str, Any]) -> Committed | None:
    """As `committed_in`, for an entry's parts."""
    place = _PLACES.get(type)
    if place is None:
        return None
    kind, field, person = place
    commitment = body.get(field)
    if not isinstance(commitment, str) or not commitment:
        return None
    return Committed(kind, commitment, str(body.get(person) or "") if person else "")


def value_json(opening: Opening) -> dict[str, Json]:
    """The value for people."""
    return opening.value.to_json()
