"""Checking an ID token (OpenID Connect Core 1.0, 3.1.3.7). Without I/O; the moment is an argument.

signature   by a key of the provider's, with an algorithm of public keys: never `none`, never
            one of shared secrets
iss         the configured issuer, word for word
aud, azp    this client, and no other
exp, iat    now within them, give or take `LEEWAY`; issued lately
nonce       that of this sign-in
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from server.errors import NotAllowed

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
LEEWAY: Final = timedelta(seconds=60)
ISSUED_WITHIN: Final = timedelta(minutes=10)
MAX_TOKEN_CHARS: Final = 16_384
MAX_KEYS: Final = 32
_WANTED: Final = ("iss", "aud", "sub", "exp", "iat", "nonce")


class UnknownKey(NotAllowed):
    """The key that a token names is none of those at hand: the provider may have a new one."""


def keys_of(document: Mapping[str, Any]) -> Sequence[jwt.PyJWK]:
    """The keys of a JWK set that can check a signature; others are passed over.

    Raises:
        NotAllowed: no such set, or one without such a key.
    """
    listed = document.get("keys")
    found: list[jwt.PyJWK] = []
    for one in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(one, dict) or one.get("kty") == "oct" or one.get("use", "sig") != "sig":
            continue
        try:
            found.append(jwt.PyJWK.from_dict(one))
        except jwt.PyJWTError:
            continue
    if not found:
        raise NotAllowed("the provider's keys: expected one that signs, got none")
    return found


def verify_id_token(
    token: str,
    keys: Sequence[jwt.PyJWK],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now: datetime,
) -> Mapping[str, Any]:
    """The claims of a token that holds.

    Raises:
        UnknownKey: signed with a key that is not among `keys`.
        NotAllowed: anything else of the above; the text names it, and no value of the token's.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise NotAllowed(f"ID token: expected at most {MAX_TOKEN_CHARS} characters")
    try:
        key, algorithm = _key(jwt.get_unverified_header(token), keys)
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=client_id,
            issuer=issuer,
            # Times are held against this space's clock, below.
            options={
                "require": list(_WANTED),
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.PyJWTError as error:
        raise NotAllowed(f"ID token: {type(error).__name__}") from error
    _check_client(claims, client_id)
    _check_times(claims, now)
    if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
        raise NotAllowed("ID token: expected the nonce of this sign-in, got another")
    return claims


def _key(header: Mapping[str, Any], keys: Sequence[jwt.PyJWK]) -> tuple[jwt.PyJWK, str]:
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise NotAllowed(f"ID token: expected a signature of {', '.join(ALGORITHMS)}")
    named = header.get("kid")
    fitting = [
        one
        for one in keys
        if (one.key_id == named if named is not None else len(keys) == 1)
        and one.algorithm_name == algorithm
    ]
    if len(fitting) != 1:
        raise UnknownKey("ID token: expected a key of the provider's, got another")
    return fitting[0], str(algorithm)


def _check_client(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if audience != [client_id] or claims.get("azp", client_id) != client_id:
        raise NotAllowed("ID token: expected one for this client alone, got another's")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise NotAllowed("ID token: expected whom it is about")


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    moments = [claims["exp"], claims["iat"], claims.get("nbf", claims["iat"])]
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in moments):
        raise NotAllowed("ID token: expected times as numbers")
    ends, issued, begins = moments
    seconds, leeway = now.timestamp(), LEEWAY.total_seconds()
    if seconds >= ends + leeway:
        raise NotAllowed("ID token: expected one that has not expired; check the clocks")
    if max(issued, begins) > seconds + leeway:
        raise NotAllowed("ID token: expected one that is valid already; check the clocks")
    if issued < seconds - ISSUED_WITHIN.total_seconds():
        raise NotAllowed("ID token: expected one that was issued just now; check the clocks")
