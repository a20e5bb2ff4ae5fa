"""The console as an ASGI application: its routes, wired by hand."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from server.console.audit_pages import AuditPages
from server.console.consent_pages import ConsentPages
from server.console.door import Door, Endpoint, Visit
from server.console.entering import Entering
from server.console.entrance import Entrance
from server.console.hub import Hub
from server.console.live import Live
from server.console.log_lines import LogLines
from server.console.log_route import log_route
from server.console.negotiation_pages import NegotiationPages
from server.console.oidc.pages import CALLBACK, OidcPages
from server.console.oidc.provider import Provider
from server.console.pages import Pages
from server.console.place import Place
from server.console.policy_pages import PolicyPages
from server.console.pondering import Pondering
from server.console.round_pages import RoundPages
from server.console.run_pages import RunPages
from server.console.shelf import Shelf
from server.console.shield import CERTIFICATE_PATH, Shield
from server.console.space_live import SpaceLive
from server.console.space_pages import SpacePages
from server.console.spaces import Spaces
from server.console.telling import Teller
from server.console.whatif_pages import WhatIfPages
from server.console.withdraw_pages import WithdrawPages
from server.edge import Edge
from server.errors import NotKnown
from server.governance import Governance

STATIC: Final = Path(__file__).parent / "static"
_Routes = Sequence[tuple[str, str, Endpoint]]


class _Static(StaticFiles):
    """Style sheet and vendored scripts: kept by browsers for an hour, checked by their ETag."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "public, max-age=3600"
        return response


def build_console(
    governance: Governance,
    *,
    entrance: Entrance,
    hub: Hub,
    place: Place,
    log_folder: Path,
    edge: Edge,
    teller: Teller | None = None,
    provider: Provider | None = None,
) -> ASGIApp:
    """The application; no documentation pages, no redirects.

    Args:
        provider: of OpenID Connect; without one that way in is not there.
        hub: told of each of governance's entries.
        place: bound, so that its URL is known.
        log_folder: where the log is published.
        teller: tells of the log's entries; None shows them as they stand.
    """
    pages = Pages(governance.card.name)
    door = Door(governance=governance, entrance=entrance, pages=pages, place=place)
    entering = Entering(
        door=door,
        entrance=entrance,
        pages=pages,
        clock=edge.clock,
        provider=urlsplit(provider.settings.issuer).netloc if provider else "",
    )
    space_live = SpaceLive(
        spaces=Spaces(governance, log_folder, edge.clock),
        hub=hub,
        pages=pages,
        name=governance.card.name,
        door=door,
        clock=edge.clock,
    )
    spaces = SpacePages(live=space_live, pages=pages, door=door)
    runs = RunPages(
        governance=governance,
        live=Live(governance=governance, hub=hub, pages=pages, door=door, clock=edge.clock),
        pages=pages,
        door=door,
        request_id=lambda: base64.urlsafe_b64encode(edge.random_bytes(24)).decode(),
    )
    withdraw = WithdrawPages(governance=governance, pages=pages, door=door)
    consent = ConsentPages(governance=governance, pages=pages, door=door, withdraw=withdraw)
    audit = AuditPages(
        governance=governance, lines=LogLines(log_folder), pages=pages, teller=teller
    )
    routes: _Routes = (
        ("GET", "/", door.public(entering.start)),
        ("GET", "/enter/{code}", door.public(entering.ask)),
        ("POST", "/enter", door.public(entering.enter, posts=True)),
        ("POST", CERTIFICATE_PATH, door.public(entering.certificate, posts=True)),
        ("POST", "/leave", entering.leave()),
        ("GET", "/language/{name}", door.public(entering.language)),
        ("GET", "/space", door.page(spaces.page)),
        ("GET", "/space/events", spaces.events()),
        ("GET", "/runs", door.page(runs.all)),
        ("GET", "/runs/new", door.page(runs.form)),
        ("POST", "/runs/new", door.act(runs.start)),
        ("GET", "/runs/{run}", door.page(runs.one)),
        ("GET", "/runs/{run}/events", runs.events()),
        ("GET", "/runs/{run}/stop", door.page(runs.ask_stop)),
        ("POST", "/runs/{run}/stop", door.act(runs.stop)),
        ("GET", "/consent", door.page(consent.page)),
        ("GET", "/consent/withdraw", door.page(withdraw.ask)),
        ("POST", "/consent/withdraw", door.act(withdraw.act)),
        ("GET", "/consent/effect", door.page(withdraw.effect)),
        ("GET", "/consent/{transfer}/{act}", door.page(consent.ask)),
        ("POST", "/consent/{transfer}/{act}", door.act(consent.act)),
        *_policy_routes(governance, pages=pages, door=door, edge=edge),
        ("GET", "/audit", door.page(audit.page)),
        ("GET", "/audit/report", door.page(audit.report)),
        ("GET", "/audit/{index}", door.page(audit.entry)),
        ("GET", "/audit/{index}/told", door.page(audit.told)),
    )
    if provider is not None:
        oidc = OidcPages(
            provider=provider,
            door=door,
            entrance=entrance,
            pages=pages,
            edge=edge,
            space=governance.card.name,
        )
        routes = (
            *routes,
            ("GET", "/oidc/start", door.public(oidc.start)),
            ("GET", CALLBACK, door.public(oidc.back)),
        )
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for method, path, endpoint in routes:
        app.router.add_route(path, endpoint, methods=[method])
    app.router.routes.append(log_route(door, log_folder))
    # What is the same for everybody, and holds nothing that is secret beside what others sent.
    app.mount("/static", GZipMiddleware(_Static(directory=STATIC), minimum_size=500))
    app.add_exception_handler(HTTPException, _no_route(door))
    return Shield(app, place.url)


def _policy_routes(governance: Governance, *, pages: Pages, door: Door, edge: Edge) -> _Routes:
    """The policies' pages; ids may hold slashes."""
    shelf, pondering = Shelf(governance), Pondering()
    policies = PolicyPages(
        governance=governance, shelf=shelf, pages=pages, pondering=pondering, clock=edge.clock
    )
    tries = WhatIfPages(
        governance=governance, shelf=shelf, pages=pages, pondering=pondering, clock=edge.clock
    )
    rounds = RoundPages(governance=governance, pages=pages, pondering=pondering, clock=edge.clock)
    talks = NegotiationPages(
        governance=governance,
        shelf=shelf,
        pages=pages,
        door=door,
        new_id=lambda: edge.random_bytes(16).hex(),
    )
    return (
        ("GET", "/policies", door.page(policies.all)),
        ("GET", "/policies/compare", door.page(policies.compare)),
        ("GET", "/policies/check", door.page(policies.blank)),
        ("POST", "/policies/check", door.act(policies.check)),
        ("GET", "/policies/read/{kind}/{id:path}", door.page(policies.one)),
        ("GET", "/policies/what-if/{kind}/{id:path}", door.page(tries.page)),
        ("GET", "/policies/round/{run}", door.page(rounds.page)),
        ("GET", "/policies/request/{id:path}", door.page(talks.ask)),
        ("POST", "/policies/request/{id:path}", door.act(talks.request)),
        ("GET", "/policies/negotiation/{id:path}", door.page(talks.page)),
        ("GET", "/policies/negotiation-state/{id:path}", door.page(talks.state)),
        ("GET", "/policies/negotiation-end/{id:path}", door.page(talks.ask_end)),
        ("POST", "/policies/negotiation-end/{id:path}", door.act(talks.end)),
    )


def _no_route(door: Door) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What no route takes."""

    def none(visit: Visit) -> Response:
        raise NotKnown(visit.words("error-404"))

    page = door.public(none)

    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status != 404 or request.url.path.startswith("/static/"):
            return PlainTextResponse(None, status)
        return await page(request)

    return answer
