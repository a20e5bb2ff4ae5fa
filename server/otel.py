"""Spans of the ServerApp and of governance, sent over OTLP; attributes: `policies.tracing`.

The ServerApp's root span `round` has a span for each step (`ask`, `exchange`, `receipts`, `close`).
Governance has a span for each call of a round, below the step that made it, and in it one for each
append to the log. Nodes' tasks (`clients.otel`) are below `exchange`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from policies.tracing import parse_traceparent
from server.observing import Call, Fact
from server.watched_calls import PARENT

SCOPE: Final = "tdspace.operator"
GOODBYE_MS: Final = 3000
ROUND_CALLS: Final = frozenset(
    {
        *("OpenRun", "ResumeRun", "StopRun", "FindRun", "AuthorizeRound", "SubmitReceipts"),
        *("ReleaseMasks", "CloseRound", "Withdraw", "ConcludeAgreement"),
    }
)
"""Calls that have a span though nobody's span is their parent."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()


@contextmanager
def sending(service: str, attributes: Mapping[str, str]) -> Iterator[Tracer]:
    """A tracer whose spans are sent in the background, until the block ends; endpoint, headers and
    certificates are those of the environment."""
    ours = dict(attributes)
    named = os.environ.get("OTEL_SERVICE_NAME"), os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named[0] and "service.name=" not in named[1]:
        ours["service.name"] = service
    provider = TracerProvider(resource=Resource.create(ours), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider.get_tracer(SCOPE)
    finally:
        provider.force_flush(GOODBYE_MS)
        provider.shutdown()


class RoundSpans:
    """A `server.tracing.Tracing`; the loop's thread only."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def round(self, facts: Mapping[str, Fact]) -> Iterator[None]:
        """See `server.tracing.Tracing`."""
        with _span(self._tracer, "round", SpanKind.INTERNAL, facts, Context()):
            yield

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """See `server.tracing.Tracing`."""
        with _span(self._tracer, name, SpanKind.CLIENT):
            yield

    def note(self, **facts: Fact) -> None:
        """See `server.tracing.Tracing`."""
        get_current_span().set_attributes(_attributes(facts))

    def traceparent(self) -> str:
        """See `server.tracing.Tracing`."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(PARENT, "")


class CallSpans:
    """A `server.observing.Observer`: spans of the calls of a round."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def call(self, call: Call) -> Iterator[None]:
        """See `server.observing.Observer`."""
        parent = parse_traceparent(call.parent)
        if not parent and call.rpc not in ROUND_CALLS:
            yield
            return
        context = _PROPAGATOR.extract({PARENT: parent}, Context()) if parent else Context()
        with _span(self._tracer, call.rpc, SpanKind.SERVER, context=context) as span:
            span.set_attribute("rpc.method", call.rpc)
            try:
                yield
            finally:
                span.set_attributes(_attributes(call.facts))
                if call.code != "OK":
                    span.set_attribute("tds.code", call.code)

    @contextmanager
    def append(self, entries: int) -> Iterator[None]:
        """See `server.observing.Observer`."""
        if not get_current_span().is_recording():
            yield
            return
        with _span(self._tracer, "append", SpanKind.INTERNAL, {"entries": entries}):
            yield

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """See `server.observing.Observer`: entries have no spans of their own."""

    def answered(self, status: int, seconds: float) -> None:
        """See `server.observing.Observer`: nor have pages."""


@contextmanager
def _span(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    facts: Mapping[str, Fact] = MappingProxyType({}),
    context: Context | None = None,
) -> Iterator[Span]:
    """The span of this thread while the block lasts; of an error it has the type's name only, since
    the text may name what only the log's readers may know."""
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=_attributes(facts),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def _attributes(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {f"tds.{name}": value for name, value in facts.items()}
