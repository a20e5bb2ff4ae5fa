"""`POST /console/link` on the endpoint of the contracts: a one-time link to the console.

Whoever has a bearer token of the space gets a link for themselves: tokens are handed out over
mutual TLS only (`server.dsp.tokens`), so a link is the key holder's. The operator may ask for one
that only looks (`?role=auditor`), to hand on.
"""

from __future__ import annotations

import logging
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from policies.canonical import canonical_bytes
from policies.fields import instant
from server.console.advance import MAX_BODY_BYTES, NONE, checked, envelopes_of
from server.console.door import AUDITOR
from server.console.entrance import Entrance
from server.console.form import read_body
from server.errors import BadInput, NotAllowed, NotKnown, RequestError, TooMany
from server.governance import Governance
from server.pki import Identity

PATH: Final = "/console/link"
_STATUS: Final = {BadInput: 400, NotAllowed: 403, NotKnown: 404, TooMany: 429}
_LOGGER = logging.getLogger(__name__)


def link_route(governance: Governance, entrance: Entrance, url: str) -> Route:
    """Where the endpoint mounts it.

    Args:
        url: scheme://host[:port] of the console.
    """
    tokens = governance.contracts.tokens

    def make(caller: Identity, role: str, body: bytes) -> Response:
        withdrawals = NONE
        if envelopes := envelopes_of(body):
            if caller.role != "node":
                raise NotAllowed(f"withdrawals: expected an enterprise's, got a {caller.role}'s")
            with governance.reading() as connection:
                withdrawals = checked(connection, caller, envelopes)
        code, expires = entrance.link(visitor(caller, role), withdrawals)
        told = {
            "url": f"{url}/enter/{code}",
            "expires": instant(expires),
            "withdrawals": len(withdrawals),
        }
        return Response(canonical_bytes(told), media_type="application/json")

    async def answer(request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        role = request.query_params.get("role", "")
        try:
            caller = await run_in_threadpool(tokens.identity, authorization)
            body = await read_body(request, what="link", most=MAX_BODY_BYTES)
            response = await run_in_threadpool(make, caller, role, body)
        except ClientDisconnect:
            response = Response(None, 400)
        except RequestError as error:
            _LOGGER.info("a link was refused: %s", error)
            response = Response(None, _STATUS.get(type(error), 503))
        response.headers["cache-control"] = "no-store"
        return response

    return Route(PATH, answer, methods=["POST"])


def visitor(caller: Identity, role: str) -> Identity:
    """Who a link for this caller signs in.

    Raises:
        NotAllowed: an auditor's link for somebody else than the operator.
        BadInput: another role than one's own or `auditor`.
    """
    if role in ("", caller.role):
        return caller
    if role != "auditor":
        raise BadInput(f"role: expected {caller.role} or auditor, got {role!r:.40}")
    if caller.role != "operator":
        raise NotAllowed("role: expected the operator to let an auditor look")
    return Identity(space=caller.space, role="auditor", participant=AUDITOR)
