"""What the operator's file says of a provider, and whom its people are in this space.

Nobody is let in whom the file does not name: a person whose claim has no listed value, or listed
values of two identities, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from policies.canonical import parse_json
from policies.errors import DocumentError
from policies.fields import Document, ParticipantId
from server.console.door import AUDITOR
from server.errors import NotAllowed, ServerError
from server.files import MAX_FILE_BYTES, read_file, read_secret
from server.pki import Identity

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_MAX_URL: Final = 2000
_MIN_SECRET: Final = 16
_SECRET: Final = re.compile(r"[\x21-\x7e]{1,1024}")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,128}$")]


def require_url(url: str) -> str:
    """The same URL, if it may be asked: https, or http on this machine's own loopback.

    Raises:
        ValueError: another, or one with a user, a query or a fragment.
    """
    if len(url) > _MAX_URL or not url.isascii() or any(one <= " " for one in url):
        raise ValueError("a URL")
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
        raise ValueError("https (http only for this machine's loopback)")
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("a URL with a host, and without user, query and fragment")
    return url


class Person(Document):
    """Whom one value of the claim lets in.

    Attributes:
        participant: whose id; "" for an auditor, who then only looks, as by the operator's link.
    """

    value: Annotated[str, Field(min_length=1, max_length=256)]
    role: Literal["operator", "consumer", "node", "auditor"]
    participant: ParticipantId | Literal[""] = ""

    @model_validator(mode="after")
    def _named(self) -> Person:
        if not self.participant and self.role != "auditor":
            raise ValueError("a participant, for every role but auditor")
        return self


class Configuration(Document):
    """The file of `tds serve --oidc`.

    Attributes:
        issuer: as its ID tokens name it, word for word.
        client_secret_file: beside this file, or an absolute path; mode 600.
        ca_file: PEM of the CA of the provider's server; "" is this system's CAs.
        scopes: asked for, `openid` among them.
        claim: of the ID token, whose value or values `people` lists.
    """

    version: Literal[1]
    issuer: str
    client_id: Name
    client_secret_file: Annotated[str, Field(min_length=1, max_length=1000)]
    ca_file: Annotated[str, Field(max_length=1000)] = ""
    scopes: Annotated[list[Name], Field(min_length=1, max_length=16)]
    claim: Name
    people: Annotated[list[Person], Field(min_length=1, max_length=1000)]

    @field_validator("issuer")
    @classmethod
    def _reachable(cls, value: str) -> str:
        return require_url(value)

    @field_validator("scopes")
    @classmethod
    def _openid(cls, value: list[str]) -> list[str]:
        if "openid" not in value:
            raise ValueError("openid among the scopes")
        return value


@dataclass(frozen=True, slots=True)
class Settings:
    """A provider, ready to be asked.

    Attributes:
        ca_pem: None is this system's CAs.
    """

    configuration: Configuration
    client_secret: str = field(repr=False)
    ca_pem: str | None

    @property
    def issuer(self) -> str:
        """Its name."""
        return self.configuration.issuer

    def whose(self, claims: Mapping[str, Any], *, space: str) -> Identity:
        """Who somebody with these claims, of a checked ID token, is.

        Raises:
            NotAllowed: nobody, or more than one.
        """
        name = self.configuration.claim
        value = claims.get(name)
        if name == "email" and claims.get("email_verified") is not True:
            value = None
        held = {value} if isinstance(value, str) else set()
        if isinstance(value, list):
            held = {one for one in value if isinstance(one, str)}
        found = {
            Identity(space=space, role=one.role, participant=one.participant or AUDITOR)
            for one in self.configuration.people
            if one.value in held
        }
        if len(found) != 1:
            raise NotAllowed(
                f"claim {name}: expected a value that the operator's file gives to one "
                f"participant, got {'none' if not found else 'those of several'}"
            )
        [identity] = found
        return identity


def load_settings(path: Path) -> Settings:
    """The file with its secret.

    Raises:
        ServerError: unreadable, malformed, or the secret is open to others or too short.
    """
    try:
        value = parse_json(read_file(path), max_bytes=MAX_FILE_BYTES)
        configuration = Configuration.from_json(value)
    except DocumentError as error:
        raise ServerError(f"{path}: {error}") from error
    secret_file = path.parent / configuration.client_secret_file
    secret = read_secret(secret_file).decode("ascii", "replace").strip()
    if len(secret) < _MIN_SECRET or not _SECRET.fullmatch(secret):
        raise ServerError(
            f"{secret_file}: expected the client's secret, {_MIN_SECRET} to 1024 printable ASCII "
            "characters in one line"
        )
    ca_pem = None
    if configuration.ca_file:
        ca_pem = read_file(path.parent / configuration.ca_file).decode("ascii", "replace")
    return Settings(configuration, secret, ca_pem)
