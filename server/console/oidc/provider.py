"""Asking a provider: its description, its keys, and a token for a code.

Every answer is bounded in size and time, and no redirect is followed. The description is believed
for what it says over TLS of the configured issuer alone (OpenID Connect Discovery 1.0, 4.3). A
provider that is away holds up few: so many ask at once, and nobody within `AWAY_FOR` of a failure.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import httpx
import jwt

from server.console.oidc.id_token import UnknownKey, keys_of, verify_id_token
from server.console.oidc.settings import Settings, require_url
from server.errors import NotAllowed, ServerError, Unavailable

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 256 * 1024
KNOWN_FOR: Final = timedelta(hours=1)
KEYS_AGAIN: Final = timedelta(minutes=1)
AWAY_FOR: Final = timedelta(seconds=5)
MAX_ASKING: Final = 8
_WAIT_S: Final = 2.0
_DISCOVERY: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Described:
    """What a provider says of itself.

    Attributes:
        names_itself: its answers to browsers carry `iss` (RFC 9207).
    """

    authorization: str
    token: str
    keys: str
    names_itself: bool


@dataclass(frozen=True, slots=True)
class _Known:
    described: Described
    until: datetime


@dataclass(frozen=True, slots=True)
class _Keys:
    keys: Sequence[jwt.PyJWK]
    fetched: datetime


class Provider:
    """One provider. Safe to share between threads.

    Args:
        redirect_uri: where it sends browsers back, as it is registered there.
        clock: aware UTC now.
    """

    def __init__(
        self, settings: Settings, *, redirect_uri: str, clock: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self._redirect_uri = redirect_uri
        self._clock = clock
        try:
            context = ssl.create_default_context(cadata=settings.ca_pem)
        except ssl.SSLError as error:
            raise ServerError(f"OpenID Connect: ca_file: expected PEM, got: {error}") from error
        self._client = httpx.Client(
            verify=context, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False
        )
        self._lock = threading.Lock()
        self._asking = threading.BoundedSemaphore(MAX_ASKING)
        self._away_until: datetime | None = None
        self._known: _Known | None = None
        self._keys: _Keys | None = None

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def address(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where a browser signs in (RFC 6749, 4.1.1, with PKCE, RFC 7636).

        Raises:
            Unavailable: the provider does not answer.
        """
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self.settings.configuration.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self.settings.configuration.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        return f"{self.described().authorization}?{urlencode(query)}"

    def claims(self, *, code: str, verifier: str, nonce: str) -> Mapping[str, Any]:
        """The claims of the ID token that a code stands for, checked.

        Raises:
            NotAllowed: the provider gives none for it, or it does not hold.
            Unavailable: the provider does not answer.
        """
        settings = self.settings.configuration
        answer = self._json(
            "POST",
            self.described().token,
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": verifier,
            },
            # RFC 6749, 2.3.1: both parts in form encoding.
            auth=(quote_plus(settings.client_id), quote_plus(self.settings.client_secret)),
        )
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotAllowed("the provider's answer: expected an ID token, got none")

        def verified(keys: Sequence[jwt.PyJWK]) -> Mapping[str, Any]:
            return verify_id_token(
                token,
                keys,
                issuer=settings.issuer,
                client_id=settings.client_id,
                nonce=nonce,
                now=self._clock(),
            )

        try:
            return verified(self._signing_keys())
        except UnknownKey:
            return verified(self._signing_keys(anew=True))

    def described(self) -> Described:
        """The provider's description; asked for again after `KNOWN_FOR`.

        Raises:
            Unavailable: it does not answer, or says what no provider may.
        """
        now = self._clock()
        with self._alone():
            if self._known is None or now >= self._known.until:
                issuer = self.settings.issuer
                document = self._json("GET", issuer.rstrip("/") + _DISCOVERY)
                self._known = _Known(_described(document, issuer), now + KNOWN_FOR)
            return self._known.described

    def _signing_keys(self, *, anew: bool = False) -> Sequence[jwt.PyJWK]:
        """Its keys; `anew` at most once a minute, however many tokens name unknown ones."""
        described, now = self.described(), self._clock()
        with self._alone():
            age = None if self._keys is None else now - self._keys.fetched
            if self._keys is None or age is None or age >= (KEYS_AGAIN if anew else KNOWN_FOR):
                self._keys = _Keys(keys_of(self._json("GET", described.keys)), now)
            return self._keys.keys

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=_WAIT_S):
            raise Unavailable("the provider is being asked already; try again")
        try:
            yield
        finally:
            self._lock.release()

    def _json(self, method: str, url: str, **request: Any) -> Mapping[str, Any]:
        now = self._clock()
        if self._away_until is not None and now < self._away_until:
            raise Unavailable(f"{url}: expected the provider's answer, got none just now")
        if not self._asking.acquire(timeout=_WAIT_S):
            raise Unavailable("the provider is being asked by many; try again")
        try:
            status, data = self._answer(method, url, **request)
        except httpx.HTTPError as error:
            self._away_until = now + AWAY_FOR
            kind = type(error).__name__
            raise Unavailable(f"{url}: expected the provider's answer, got {kind}") from error
        finally:
            self._asking.release()
        if 400 <= status < 500 and method == "POST":
            raise NotAllowed(f"{url}: expected a token for the code, got HTTP {status}")
        value = _parsed(data)
        if status != 200 or not isinstance(value, dict):
            raise Unavailable(f"{url}: expected a JSON object, got HTTP {status}")
        return value

    def _answer(self, method: str, url: str, **request: Any) -> tuple[int, bytes]:
        end, data = time.monotonic() + TIMEOUT_S, bytearray()
        with self._client.stream(method, url, **request) as answer:
            for part in answer.iter_bytes(65_536):
                data += part
                if len(data) > MAX_ANSWER_BYTES:
                    raise Unavailable(f"{url}: expected at most {MAX_ANSWER_BYTES} bytes")
                if time.monotonic() > end:
                    raise Unavailable(f"{url}: expected all of the answer within {TIMEOUT_S:g} s")
        return answer.status_code, bytes(data)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _described(document: Mapping[str, Any], issuer: str) -> Described:
    if document.get("issuer") != issuer:
        raise Unavailable(f"{issuer}: expected a description of this issuer, got another's")
    if "S256" not in document.get("code_challenge_methods_supported", ()):
        raise Unavailable(f"{issuer}: expected a provider that supports PKCE with S256")
    try:
        return Described(
            authorization=require_url(str(document["authorization_endpoint"])),
            token=require_url(str(document["token_endpoint"])),
            keys=require_url(str(document["jwks_uri"])),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )
    except (KeyError, ValueError) as error:
        raise Unavailable(f"{issuer}: expected endpoints with {error}") from error
