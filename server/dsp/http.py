"""The HTTPS binding of DSP 2025-1: paths, status codes and error bodies of the specification.

    400 with an error document   malformed, refused by a rule, or no such step in the state machine
    404 without a body           unknown, not the caller's, or no valid token: not to be told apart
    408, 413, 415, 429, 503      the body is late, too large, no JSON; too many; no log to write to
    any of them with a body      on the catalogue's paths: the protocol wants a CatalogError there

Who calls is checked before the body is read, and the body is bounded before it is parsed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, TypeVar

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError, PolicyError
from server.dsp import documents
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
from server.errors import NotKnown, RequestError, TooMany, Unavailable
from server.pki import Identity

BODY_TIMEOUT_S: Final = 10.0
MAX_PAGE: Final = 1_000_000
_MEDIA: Final = frozenset({"application/json", "application/ld+json"})
_LOGGER = logging.getLogger(__name__)

Subject = Literal["catalog", "negotiation", "transfer"]
Got = TypeVar("Got")


class _Refused(Exception):
    """A request that is answered before it reaches an operation."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Call:
    """One request: who, about what, and what was sent."""

    subject: Subject
    caller: Identity
    id: str
    body: bytes

    def message(self, kind: type[Known]) -> Known:
        return parse_message(kind, self.body)


def build_app(contracts: Contracts) -> FastAPI:
    """The protocol's endpoint as an ASGI application; no documentation pages, no redirects."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    binding = _Binding(contracts)
    app.add_api_route("/.well-known/dspace-version", binding.versions, methods=["GET"])
    negotiation, transfer = f"{BASE}/negotiations", f"{BASE}/transfers"
    routes: list[tuple[str, str, Subject, Callable[[_Call, Request], Response]]] = [
        ("POST", f"{BASE}/catalog/request", "catalog", binding.catalog),
        ("GET", f"{BASE}/catalog/datasets/{{id:path}}", "catalog", binding.dataset),
        ("POST", f"{negotiation}/request", "negotiation", binding.request),
        ("GET", f"{negotiation}/{{id}}", "negotiation", binding.negotiation),
        ("POST", f"{negotiation}/{{id}}/request", "negotiation", binding.counter),
        ("POST", f"{negotiation}/{{id}}/events", "negotiation", binding.event),
        ("POST", f"{negotiation}/{{id}}/agreement/verification", "negotiation", binding.verify),
        ("POST", f"{negotiation}/{{id}}/termination", "negotiation", binding.terminate),
        ("POST", f"{transfer}/request", "transfer", binding.transfer_request),
        ("GET", f"{transfer}/{{id}}", "transfer", binding.transfer),
        ("POST", f"{transfer}/{{id}}/start", "transfer", binding.move(TransferStart)),
        ("POST", f"{transfer}/{{id}}/suspension", "transfer", binding.move(TransferSuspension)),
        ("POST", f"{transfer}/{{id}}/completion", "transfer", binding.move(TransferCompletion)),
        ("POST", f"{transfer}/{{id}}/termination", "transfer", binding.move(TransferTermination)),
    ]
    for method, path, subject, work in routes:
        app.add_api_route(path, binding.door(subject, work), methods=[method])
    app.add_exception_handler(HTTPException, _no_route)
    return app


class _Binding:
    """From requests to operations, and from what they say to responses."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts

    def door(
        self, subject: Subject, work: Callable[[_Call, Request], Response]
    ) -> Callable[[Request], object]:
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
                    call = _Call(subject, caller, call.id, await _read(request))
                return await run_in_threadpool(work, call, request)
            except ClientDisconnect:
                return Response(None, 400)
            except (_Refused, RequestError, PolicyError) as error:
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

    def counter(self, call: _Call, _request: Request) -> Response:
        counter = self._contracts.negotiations.counter
        return _answer(
            negotiation_document(counter(call.caller, call.id, call.message(ContractRequest)))
        )

    def event(self, call: _Call, _request: Request) -> Response:
        event = self._contracts.negotiations.event
        return _answer(
            negotiation_document(event(call.caller, call.id, call.message(NegotiationEvent)))
        )

    def verify(self, call: _Call, _request: Request) -> Response:
        verify = self._contracts.negotiations.verify
        message = call.message(AgreementVerification)
        return _answer(negotiation_document(verify(call.caller, call.id, message)))

    def terminate(self, call: _Call, _request: Request) -> Response:
        terminate = self._contracts.negotiations.terminate
        message = call.message(NegotiationTermination)
        return _answer(negotiation_document(terminate(call.caller, call.id, message)))

    # -- transfers -----------------------------------------------------------------------------

    def transfer_request(self, call: _Call, _request: Request) -> Response:
        row = self._contracts.transfers.request(call.caller, call.message(TransferRequest))
        return _answer(transfer_document(row), 201)

    def transfer(self, call: _Call, _request: Request) -> Response:
        return _answer(transfer_document(self._contracts.transfers.get(call.caller, call.id)))

    def move(self, kind: type[InTransfer]) -> Callable[[_Call, Request], Response]:
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
        if isinstance(error, _Refused):
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


async def _read(request: Request) -> bytes:
    """The body, at most `MAX_BODY_BYTES`, within `BODY_TIMEOUT_S`."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _MEDIA:
        raise _Refused(415, f"expected application/json, got {media!r:.80}")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                data += part
                if len(data) > MAX_BODY_BYTES:
                    raise _Refused(413, f"expected at most {MAX_BODY_BYTES} bytes")
    except TimeoutError as error:
        raise _Refused(408, f"expected the whole body within {BODY_TIMEOUT_S:g} s") from error
    return bytes(data)


def _page(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:8]) > MAX_PAGE or len(text) > 7:
        raise _Refused(400, f"page: expected a number up to {MAX_PAGE}, got {text!r:.40}")
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
