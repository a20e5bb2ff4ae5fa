"""Signing in and out, and the language."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from server.console.door import LANGUAGE_COOKIE, Door, Endpoint, Visit, see_other
from server.console.entrance import Entrance
from server.console.kept import SECRET_CHARS
from server.console.pages import Pages
from server.console.words import LANGUAGES
from server.errors import CertificateError, NotAllowed, NotKnown, TooMany
from server.pki import parse_identity, valid_until

_CODE: Final = re.compile(rf"[A-Za-z0-9_-]{{{SECRET_CHARS}}}")
_PATH: Final = re.compile(r"/(?!/)[A-Za-z0-9/._:-]{0,200}")
_LANGUAGE_S: Final = 365 * 24 * 3600


class Entering:
    """Works of the way in.

    Args:
        clock: aware UTC now.
        provider: what the button of sign-in by OpenID Connect names; "" has none.
    """

    def __init__(
        self,
        *,
        door: Door,
        entrance: Entrance,
        pages: Pages,
        clock: Callable[[], datetime],
        provider: str = "",
    ) -> None:
        self._provider = provider
        self._door = door
        self._clock = clock
        self._entrance = entrance
        self._pages = pages

    def start(self, visit: Visit) -> Response:
        """`/`: the space, or how to get a link."""
        if visit.session is not None:
            return see_other("/space")
        peer = None
        if visit.certificate:
            try:
                peer = parse_identity(visit.certificate.encode())
            except CertificateError:  # of the space's CA, but no participant's
                peer = None
        return self._pages.show(
            visit, "sign_in.html", peer=peer, tls=self._door.secure, provider=self._provider
        )

    def ask(self, visit: Visit) -> Response:
        """`GET /enter/CODE`: whom it would sign in; nothing is used up."""
        code = visit.params["code"]
        self._pace(visit)
        caller = self._entrance.whose(code) if _CODE.fullmatch(code) else None
        if caller is None:
            return self._void(visit)
        return self._pages.show(visit, "enter.html", code=code, entering=caller, through="")

    def enter(self, visit: Visit) -> Response:
        """`POST /enter`: takes the code, sets the cookie, and leads to an address without it."""
        code = visit.value("code")
        self._pace(visit)
        secret = self._entrance.sign_in(code) if _CODE.fullmatch(code) else None
        if secret is None:
            return self._void(visit)
        return self._door.remember(see_other("/space"), secret)

    def certificate(self, visit: Visit) -> Response:
        """`POST /enter/certificate`: who the connection's client certificate names.

        The handshake checked chain, dates and use; the rest is what every call to governance
        passes (`server.guarded`). The session ends with the certificate at the latest.
        """
        self._pace(visit)
        try:
            if not visit.certificate:
                raise NotAllowed(visit.words("certificate-none"))
            pem = visit.certificate.encode()
            caller, until = parse_identity(pem), valid_until(pem, now=self._clock())
            self._door.check_enrolled(caller)
        except (CertificateError, NotAllowed) as error:
            self._entrance.failed(visit.address)
            raise NotAllowed(str(error)) from error
        secret = self._entrance.admit(caller, until=until)
        return self._door.remember(see_other("/space"), secret)

    def leave(self) -> Endpoint:
        """`POST /leave`: ends the session."""

        def gone(_visit: Visit) -> Response:
            return self._door.remember(see_other("/"), "")

        inner = self._door.act(gone)

        async def endpoint(request: Request) -> Response:
            response = await inner(request)
            if response.status_code == 303:
                self._entrance.sign_out(self._door.secret(request))
            return response

        return endpoint

    def language(self, visit: Visit) -> Response:
        """`GET /language/en?back=/runs`: remembers a language, which is no secret."""
        name, back = visit.params["name"], visit.query.get("back", "/")
        if name not in LANGUAGES:
            raise NotKnown(f"language: expected one of {', '.join(LANGUAGES)}, got {name!r:.20}")
        response = see_other(back if _PATH.fullmatch(back) else "/")
        response.set_cookie(
            LANGUAGE_COOKIE, name, max_age=_LANGUAGE_S, path="/", httponly=True, samesite="lax"
        )
        return response

    def _void(self, visit: Visit) -> Response:
        self._entrance.failed(visit.address)
        return self._pages.refusal(visit, 404, visit.words("enter-void"))

    def _pace(self, visit: Visit) -> None:
        if not self._entrance.may_try(visit.address):
            raise TooMany(visit.words("enter-slow"))
