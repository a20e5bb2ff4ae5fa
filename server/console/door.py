"""What every request to a page passes: who it is, whether they still may, and their own form.

    public(work)   anybody: signing in
    page(work)     somebody signed in, who looks
    act(work)      somebody signed in, who changes something: POST, with their session's token

A `work` runs in a thread, gets a `Visit`, and returns a response or raises a `RequestError`, which
becomes a page with its sentence. Nothing else of an error leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from server.console.entrance import Entrance, Session
from server.console.form import Fields, one, read_form
from server.console.pages import Pages
from server.console.place import Place
from server.console.words import Words, choose
from server.errors import (
    BadInput,
    NotAllowed,
    NotKnown,
    RequestError,
    RuleBroken,
    Superseded,
    TooMany,
    Unavailable,
)
from server.governance import Governance
from server.peer import peer_certificate
from server.pki import Identity

AUDITOR: Final = "console.auditor"
"""Whom the operator lets look at everything; no participant can have such an id."""

LANGUAGE_COOKIE: Final = "tds-language"
_STATUS: Final[Mapping[type[RequestError], int]] = MappingProxyType(
    {
        BadInput: 400,
        NotKnown: 404,
        NotAllowed: 403,
        RuleBroken: 409,
        Superseded: 409,
        TooMany: 429,
        Unavailable: 503,
    }
)
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, read.

    Attributes:
        session: None where nobody is signed in, which only `public` lets through.
        params: of the path.
        query: the last value of each.
        fields: of the form; empty for who only looks.
        address: where it comes from.
        certificate: that its TLS connection was made with (PEM), "" without one.
        cookies: as they came.
    """

    session: Session | None
    words: Words
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    address: str
    certificate: str = field(default="", repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    fields: Fields = field(default_factory=dict)

    @property
    def caller(self) -> Identity:
        """Who is signed in; only behind `page` and `act`."""
        assert self.session is not None
        return self.session.caller

    def value(self, name: str) -> str:
        """A field of the form that stands once; "" if it is not there."""
        return one(self.fields, name)


Work = Callable[[Visit], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


class Door:
    """Makes endpoints of works.

    Args:
        place: whose scheme and port name the cookie.

    Attributes:
        secure: whether the console is served with TLS.
    """

    def __init__(
        self, *, governance: Governance, entrance: Entrance, pages: Pages, place: Place
    ) -> None:
        self._governance = governance
        self._entrance = entrance
        self._pages = pages
        # Cookies are shared between the ports of a host. `__Host-` needs Secure, which browsers
        # refuse to keep for plain HTTP.
        port = place.url.rpartition(":")[2] if place.url.count(":") > 1 else "0"
        self.cookie = "__Host-tds" if place.tls else f"tds-{port}"
        self.secure = place.tls

    def public(self, work: Work, *, posts: bool = False) -> Endpoint:
        """An endpoint for anybody; with `posts` it reads a form."""
        return self._endpoint(work, signed_in=False, posts=posts)

    def page(self, work: Work) -> Endpoint:
        """An endpoint for whoever is signed in and looks."""
        return self._endpoint(work, signed_in=True, posts=False)

    def act(self, work: Work) -> Endpoint:
        """An endpoint for whoever is signed in and sends a form of their own session."""
        return self._endpoint(work, signed_in=True, posts=True)

    def admitted(self, request: Request) -> Session | None:
        """The session of a request, if there is one and its participant still stands."""
        session = self.present(request)
        if session is None:
            return None
        try:
            self.check(session.caller, "List")
        except NotAllowed:
            return None
        return session

    def present(self, request: Request) -> Session | None:
        """The session of a request, if there is one; whether its participant still stands is for
        `check` to say. Does no I/O."""
        return self._entrance.session(request.cookies.get(self.cookie, ""))

    def check(self, caller: Identity, rpc: str) -> None:
        """Returns only if this caller may do what the RPC of this name does.

        Raises:
            NotAllowed: role, enrolment; the operator's auditor may only look.
        """
        if caller.participant == AUDITOR:
            if rpc in ("List", "GetRun"):
                return
            raise NotAllowed(f"{rpc}: expected a participant, an auditor only looks")
        self._governance.admit(caller, rpc)

    def check_enrolled(self, caller: Identity) -> None:
        """Returns only for an active participant in this role, as every call to governance passes.

        Raises:
            NotAllowed: also for the operator's auditor, who is none and has no certificate.
        """
        self._governance.admit(caller, "List")

    def remember(self, response: Response, secret: str) -> Response:
        """With the session's cookie; an empty secret takes it away."""
        if secret:
            response.set_cookie(
                self.cookie,
                secret,
                path="/",
                secure=self.secure,
                httponly=True,
                samesite="strict",
            )
        else:
            response.delete_cookie(
                self.cookie, path="/", secure=self.secure, httponly=True, samesite="strict"
            )
        return response

    def secret(self, request: Request) -> str:
        """What the session's cookie holds."""
        return request.cookies.get(self.cookie, "")

    def _endpoint(self, work: Work, *, signed_in: bool, posts: bool) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            visit = await run_in_threadpool(self._visit, request)
            try:
                if signed_in and visit.session is None:
                    return self._pages.refusal(visit, 401, visit.words("error-401"))
                if posts:
                    visit = _with_form(visit, await read_form(request))
                    self._check_form(visit, signed_in=signed_in)
                return await run_in_threadpool(work, visit)
            except ClientDisconnect:
                return Response(None, 400)
            except RequestError as error:
                return self._refused(visit, error)
            except Exception:
                _LOGGER.exception("%s %s failed", request.method, visit.path)
                return self._pages.refusal(visit, 500, visit.words("error-500"))

        return endpoint

    def _visit(self, request: Request) -> Visit:
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        return Visit(
            session=self.admitted(request),
            words=choose(chosen, request.headers.get("accept-language", "")),
            path=request.url.path,
            params=dict(request.path_params),
            query=dict(request.query_params),
            address=request.client.host if request.client else "",
            certificate=peer_certificate(request.scope),
            cookies=dict(request.cookies),
        )

    def _check_form(self, visit: Visit, *, signed_in: bool) -> None:
        if not signed_in:
            return
        assert visit.session is not None
        if not visit.session.sent_by_own_form(visit.value("csrf")):
            raise NotAllowed("form: expected one of this session; open the page again")

    def _refused(self, visit: Visit, error: RequestError) -> HTMLResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        _LOGGER.info("%s refused (%d): %s", visit.path, status, error)
        return self._pages.refusal(visit, status, str(error))


def see_other(path: str) -> RedirectResponse:
    """Go on to a page of ours with GET."""
    return RedirectResponse(path, 303)


def _with_form(visit: Visit, fields: Fields) -> Visit:
    values: dict[str, Any] = {name: getattr(visit, name) for name in Visit.__slots__}
    return Visit(**(values | {"fields": fields}))
