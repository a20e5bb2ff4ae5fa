"""The HTTPS binding of DSP 2025-1: paths, status codes and error bodies of the specification.

    400 with an error document   malformed, refused by a rule, or no such step in the state machine
    404 without a body           unknown, not the caller's, or no valid token: not to be told apart
    408, 413, 415, 429, 503      the body is late, too large, no JSON; too many; no log to write to
    any of them with a body      on the catalogue's paths: the protocol wants a CatalogError there

Who calls is checked before the body is read, and the body is bounded before it is parsed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal, TypeVar

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError, PolicyError
from server.dsp import documents
from server.dsp.body import RefusedRequest, read_body
from server.dsp.contracts import Contracts
from server.dsp.documents import BASE, Out, negotiation_document, transfer_document
from server.dsp.messages import (
    MAX_BODY_BYTES,
    AgreementVerification,
    CatalogRequest,
    ContractRequest,
    InTransfer,
    Known,
    NegotiationEvent,
    NegotiationTermination,
    TransferCompletion,
    TransferRequest,
    TransferStart,
    TransferSuspension,
    TransferTermination,
    parse_message,
)
from server.dsp.rows import NegotiationRow
from server.errors import NotKnown, RequestError, TooMany, Unavailable
from server.logfiles import LogFiles
from server.pki import Identity

MAX_PAGE: Final = 1_000_000
_LOGGER = logging.getLogger(__name__)

Subject = Literal["catalog", "negotiation", "transfer"]
_FOLDERS: Final[dict[Subject, str]] = {
    "catalog": "catalog",
    "negotiation": "negotiations",
    "transfer": "transfers",
}
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class _Call:
    """One request: who, about what, and what was sent."""

    subject: Subject
    caller: Identity
    id: str
    body: bytes

    def message(self, kind: type[Known]) -> Known:
        return parse_message(kind, self.body)


_Work = Callable[[_Call, Request], Response]


def build_app(contracts: Contracts, log_folder: Path) -> FastAPI:
    """The protocol's endpoint as an ASGI application; no documentation pages, no redirects.

    Args:
        log_folder: the log's, which is served to anybody beside it (`server.logfiles`).
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    binding = _Binding(contracts)
    app.add_api_route("/.well-known/dspace-version", binding.versions, methods=["GET"])
    steps = contracts.negotiations
    routes: list[tuple[Subject, str, str, _Work]] = [
        ("catalog", "POST", "request", binding.catalog),
        ("catalog", "GET", "datasets/{id:path}", binding.dataset),
        ("negotiation", "POST", "request", binding.request),
        ("negotiation", "GET", "{id}", binding.negotiation),
        ("negotiation", "POST", "{id}/request", binding.step(ContractRequest, steps.counter)),
        ("negotiation", "POST", "{id}/events", binding.step(NegotiationEvent, steps.event)),
        (
            "negotiation",
            "POST",
            "{id}/agreement/verification",
            binding.step(AgreementVerification, steps.verify),
        ),
        (
            "negotiation",
            "POST",
            "{id}/termination",
            binding.step(NegotiationTermination, steps.terminate),
        ),
        ("transfer", "POST", "request", binding.transfer_request),
        ("transfer", "GET", "{id}", binding.transfer),
        ("transfer", "POST", "{id}/start", binding.move(TransferStart)),
        ("transfer", "POST", "{id}/suspension", binding.move(TransferSuspension)),
        ("transfer", "POST", "{id}/completion", binding.move(TransferCompletion)),
        ("transfer", "POST", "{id}/termination", binding.move(TransferTermination)),
    ]
    for subject, method, path, work in routes:
        door = binding.door(subject, work)
        app.add_api_route(f"{BASE}/{_FOLDERS[subject]}/{path}", door, methods=[method])
    app.router.routes.append(LogFiles(log_folder).route())
    app.add_exception_handler(HTTPException, _no_route)
    return app


class _Binding:
    """From requests to operations, and from what they say to responses."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts

    def door(self, subject: Subject, work: _Work) -> Callable[[Request], object]:
        """An endpoint that lets in who has a token, and answers every error by the protocol."""

        async def endpoint(request: Request) -> Response:
            try:
                caller = await run_in_threadpool(
                    self._contracts.tokens.identity, request.headers.get("authorization", "")
                )
            except RequestError as error:
                return _bare(subject, 404 if isinstance(error, NotKnown) else 503)
            call = _Call(subject, caller, request.path_params.get("id", ""), b"")
            try:
                if request.method == "POST":
                    call = _Call(subject, caller, call.id, await read_body(request))
                return await run_in_threadpool(work, call, request)
            except ClientDisconnect:
                return Response(None, 400)
            except (RefusedRequest, RequestError, PolicyError) as error:
                return await run_in_threadpool(self._refusal, call, error)
            except Exception:
                _LOGGER.exception("%s %s failed", request.method, request.url.path)
                return _bare(subject, 500)

        return endpoint

    async def versions(self) -> Response:
        """Unauthenticated, as the protocol wants it."""
        return _answer(documents.versions(self._contracts.catalogue.service_id))

    # -- catalogue -----------------------------------------------------------------------------

    def catalog(self, call: _Call, request: Request) -> Response:
        call.message(CatalogRequest)
        number = _page(request.query_params.get("page", "0"))
        page = self._contracts.catalogue.page(number)
        response = _answer(page.document)
        here = f"{self._contracts.catalogue.url}/catalog/request?page="
        links = {"previous": number - 1} if number else {}
        links |= {"next": number + 1} if page.more else {}
        for relation, other in links.items():
            response.headers.append("Link", f'<{here}{other}>; rel="{relation}"')
        return response

    def dataset(self, call: _Call, _request: Request) -> Response:
        return _answer(self._contracts.catalogue.dataset(call.id))

    # -- negotiations --------------------------------------------------------------------------

    def request(self, call: _Call, _request: Request) -> Response:
        row = self._contracts.negotiations.request(call.caller, call.message(ContractRequest))
        return _answer(negotiation_document(row), 201)

    def negotiation(self, call: _Call, _request: Request) -> Response:
        return _answer(negotiation_document(self._contracts.negotiations.get(call.caller, call.id)))

    def step(
        self, kind: type[Known], take: Callable[[Identity, str, Known], NegotiationRow]
    ) -> _Work:
        """An endpoint for one kind of message in a negotiation that exists."""

        def work(call: _Call, _request: Request) -> Response:
            return _answer(negotiation_document(take(call.caller, call.id, call.message(kind))))

        return work

    # -- transfers -----------------------------------------------------------------------------

    def transfer_request(self, call: _Call, _request: Request) -> Response:
        row = self._contracts.transfers.request(call.caller, call.message(TransferRequest))
        return _answer(transfer_document(row), 201)

    def transfer(self, call: _Call, _request: Request) -> Response:
        return _answer(transfer_document(self._contracts.transfers.get(call.caller, call.id)))

    def move(self, kind: type[InTransfer]) -> _Work:
        def work(call: _Call, _request: Request) -> Response:
            message = call.message(kind)
            return _answer(
                transfer_document(self._contracts.transfers.message(call.caller, call.id, message))
            )

        return work

    # -- errors --------------------------------------------------------------------------------

    def _refusal(self, call: _Call, error: Exception) -> Response:
        if isinstance(error, NotKnown):
            return _bare(call.subject, 404)
        status = 400
        if isinstance(error, RefusedRequest):
            status = error.status
        elif isinstance(error, TooMany):
            status = 429
        elif isinstance(error, Unavailable):
            status = 503
        code, reason = str(status), str(error)
        if call.subject == "catalog":
            return _answer(documents.catalog_error(code=code, reason=reason), status)
        consumer_pid = self._known_pid(call)
        if call.id and consumer_pid is None:
            return _bare(call.subject, 404)
        provider_pid = call.id if call.id else documents.NONE
        consumer_pid = consumer_pid or _sent_pid(call.body)
        if call.subject == "negotiation":
            document = documents.error(
                "ContractNegotiationError", provider_pid, consumer_pid, code=code, reason=reason
            )
        else:
            document = documents.error(
                "TransferError", provider_pid, consumer_pid, code=code, reason=reason
            )
        return _answer(document, status)

    def _known_pid(self, call: _Call) -> str | None:
        """The consumerPid of what the path names; None if that is unknown to the caller."""
        try:
            if call.subject == "negotiation":
                row = self._contracts.negotiations.get(call.caller, call.id)
                return row.consumer_pid or documents.NONE
            return self._contracts.transfers.get(call.caller, call.id).consumer_pid
        except RequestError:
            return None


def _page(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:8]) > MAX_PAGE or len(text) > 7:
        raise RefusedRequest(400, f"page: expected a number up to {MAX_PAGE}, got {text!r:.40}")
    return int(text)


def _sent_pid(body: bytes) -> str:
    """The consumerPid that a refused message claims, if it has one that can be shown."""
    try:
        value = parse_json(body, max_bytes=MAX_BODY_BYTES)
    except DocumentError:
        return documents.NONE
    pid = value.get("consumerPid") if isinstance(value, dict) else None
    return pid[:255] if isinstance(pid, str) and pid else documents.NONE


def _answer(document: Out, status: int = 200) -> Response:
    return Response(canonical_bytes(document), status, media_type="application/json")


def _bare(subject: Subject, status: int) -> Response:
    """A status without a reason of its own; the catalogue's paths answer with a CatalogError."""
    if subject == "catalog":
        reason = HTTPStatus(status).phrase.lower()
        return _answer(documents.catalog_error(code=str(status), reason=reason), status)
    return Response(None, status)


async def _no_route(request: Request, error: Exception) -> Response:
    """What no route takes."""
    inside = request.url.path.startswith(f"{BASE}/catalog/")
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _bare("catalog" if inside else "negotiation", status)
