"""The way in by OpenID Connect (Core 1.0, 3.1: the authorization code flow, with PKCE).

1  /oidc/start  state, nonce and PKCE's verifier are kept here for ten minutes, behind a secret
                in a cookie of this browser; the browser goes to the provider
2  /oidc/back   the secret works once; state and issuer are those of step 1; the code is changed
                for an ID token, which is checked; the operator's file says whom it lets in
3  the page of a one-time link, with its button: whoever was led here unawares sees as whom they
                would be signed in, and the session's cookie need not be sent from elsewhere
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from server.console.door import Door, Visit
from server.console.entrance import Entrance
from server.console.kept import Kept
from server.console.oidc.provider import Provider
from server.console.pages import Pages
from server.edge import Edge
from server.errors import NotAllowed, TooMany

CALLBACK: Final = "/oidc/back"
BEGUN_VALID: Final = timedelta(minutes=10)
MAX_BEGUN: Final = 1024
MAX_OF_ONE: Final = 64
MAX_CODE_CHARS: Final = 4096
_ERROR: Final = re.compile(r"[a-z_]{1,40}")
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Begun:
    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class OidcPages:
    """Works of this way in.

    Args:
        edge: clock and randomness.
        space: its name, which identities carry.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        door: Door,
        entrance: Entrance,
        pages: Pages,
        edge: Edge,
        space: str,
    ) -> None:
        self._provider = provider
        self._door = door
        self._entrance = entrance
        self._pages = pages
        self._edge = edge
        self._space = space
        self._cookie = f"{door.cookie}-oidc"
        self._begun: Kept[_Begun] = Kept(
            what="sign-ins that were begun",
            most=MAX_BEGUN,
            most_of_one=MAX_OF_ONE,
            valid=BEGUN_VALID,
            clock=edge.clock,
            random_bytes=edge.random_bytes,
        )

    def start(self, visit: Visit) -> Response:
        """`GET /oidc/start`: on to the provider."""
        self._pace(visit)
        begun = _Begun(self._secret(), self._secret(), self._secret())
        address = self._provider.address(
            state=begun.state, nonce=begun.nonce, verifier=begun.verifier
        )
        secret, _ = self._begun.put(visit.address, begun)
        response = RedirectResponse(address, 303)
        response.set_cookie(
            self._cookie,
            secret,
            max_age=int(BEGUN_VALID.total_seconds()),
            path="/",
            secure=self._door.secure,
            httponly=True,
            samesite="lax",  # the browser comes back from the provider's page
        )
        return response

    def back(self, visit: Visit) -> Response:
        """`GET /oidc/back`: whom the provider let in, or why nobody."""
        self._pace(visit)
        try:
            return self._let_in(visit)
        except NotAllowed as error:
            self._entrance.failed(visit.address)
            _LOGGER.info("sign-in through %s refused: %s", self._provider.settings.issuer, error)
            raise

    def _let_in(self, visit: Visit) -> Response:
        begun = self._begun.take(visit.cookies.get(self._cookie, ""))
        state = visit.query.get("state", "")
        if begun is None or not hmac.compare_digest(
            begun.state.encode(), state.encode("utf-8", "replace")
        ):
            raise NotAllowed(visit.words("oidc-void"))
        issuer = self._provider.settings.issuer
        # RFC 9207: an answer of another provider is not to be taken for one of this.
        named = visit.query.get("iss", "" if self._provider.described().names_itself else issuer)
        if named != issuer:
            raise NotAllowed(visit.words("oidc-void"))
        if error := visit.query.get("error", ""):
            code = error if _ERROR.fullmatch(error) else "error"
            raise NotAllowed(visit.words("oidc-refused", code=code))
        code = visit.query.get("code", "")
        if not 0 < len(code) <= MAX_CODE_CHARS:
            raise NotAllowed(visit.words("oidc-void"))
        claims = self._provider.claims(code=code, verifier=begun.verifier, nonce=begun.nonce)
        caller = self._provider.settings.whose(claims, space=self._space)
        self._door.check(caller, "List")
        link, _ = self._entrance.link(caller)
        response = self._pages.show(
            visit, "enter.html", code=link, entering=caller, through=urlsplit(issuer).netloc
        )
        response.delete_cookie(
            self._cookie, path="/", secure=self._door.secure, httponly=True, samesite="lax"
        )
        _LOGGER.info("%s let somebody in as %s", issuer, caller.uri)
        return response

    def _pace(self, visit: Visit) -> None:
        if not self._entrance.may_try(visit.address):
            raise TooMany(visit.words("enter-slow"))

    def _secret(self) -> str:
        return base64.urlsafe_b64encode(self._edge.random_bytes(32)).rstrip(b"=").decode()
