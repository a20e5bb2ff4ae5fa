"""The caller's place in a trace, sent along with each call to governance (gRPC metadata)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from server.watched_calls import PARENT


class _Details(NamedTuple):
    """`grpc.ClientCallDetails`, with metadata of ours."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class TracedCalls(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]  # grpcio has no types
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
):
    """Adds `traceparent` to what is called while there is one.

    Args:
        traceparent: asked in the calling thread; "" adds nothing.
    """

    def __init__(self, traceparent: Callable[[], str]) -> None:
        self._traceparent = traceparent

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """See `grpc.UnaryUnaryClientInterceptor`."""
        return continuation(self._with(client_call_details), request)

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """See `grpc.UnaryStreamClientInterceptor`."""
        return continuation(self._with(client_call_details), request)

    def _with(self, details: Any) -> Any:
        parent = self._traceparent()
        if not parent:
            return details
        return _Details(
            method=details.method,
            timeout=details.timeout,
            metadata=[*(details.metadata or ()), (PARENT, parent)],
            credentials=details.credentials,
            wait_for_ready=getattr(details, "wait_for_ready", None),
            compression=getattr(details, "compression", None),
        )
