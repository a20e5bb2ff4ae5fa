"""Every call to governance, told to an observer and to the program's log: one place for all RPCs.

Calls that last as long as a node does (watching) are not timed: they are counted by who is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

from server.observing import Call, Observer, about, facts_of

UNTIMED: Final = frozenset({"WatchWithdrawals", "WatchCheckpoints", "Check", "Watch"})
PARENT: Final = "traceparent"
MAX_PARENT_CHARS: Final = 100


class WatchedCalls(grpc.ServerInterceptor):  # type: ignore[misc]  # grpcio has no types
    """Tells an observer of each call.

    Args:
        observer: told in the thread that answers.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """See `grpc.ServerInterceptor`."""
        handler = continuation(handler_call_details)
        rpc = str(handler_call_details.method).rpartition("/")[2]
        if handler is None or rpc in UNTIMED or handler.request_streaming:
            return handler
        parent = _parent(handler_call_details.invocation_metadata or ())
        coding = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(rpc, parent, handler.unary_stream), **coding
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(rpc, parent, handler.unary_unary), **coding
        )

    def _unary(self, rpc: str, parent: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def watched(request: Any, context: grpc.ServicerContext) -> Any:
            call = Call(rpc, facts_of(request), parent)
            with about(call.facts), self._observer.call(call), _coded(call, context):
                return answer(request, context)

        return watched

    def _stream(self, rpc: str, parent: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def watched(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            call = Call(rpc, facts_of(request), parent)
            with about(call.facts), self._observer.call(call), _coded(call, context):
                yield from answer(request, context)

        return watched


class _coded:  # noqa: N801  # a context manager that is cheaper than a generator's
    """Notes the status that a call ended with."""

    def __init__(self, call: Call, context: grpc.ServicerContext) -> None:
        self._call = call
        self._context = context

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            code = self._context.code()
            self._call.code = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


def _parent(metadata: Any) -> str:
    for key, value in metadata:
        if key == PARENT and isinstance(value, str) and len(value) <= MAX_PARENT_CHARS:
            return value
    return ""
