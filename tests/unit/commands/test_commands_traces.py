"""One trace across the ServerApp, governance and a node, in memory: who is below whom, and what is
told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from clients.observing import TaskEnd, TaskFacts
from clients.otel import TaskTelemetry
from clients.telemetry import Figures
from clients.vitals import Readiness, Told
from policies.tracing import ATTRIBUTES, parse_traceparent
from server.errors import ServerError
from server.observing import Call
from server.otel import CallSpans, RoundSpans
from server.tracing import NO_TRACING, call_tracing, round_tracing

SECRET = "p-17 was refused because"
READY = Told(connected=True, last=datetime(2026, 6, 1, tzinfo=UTC))
FACTS = TaskFacts("run-1", "77", 3, "train", "permit-1", "p-1/rows", "agreement-1", "a" * 64)


@dataclass
class Parts:
    """Three processes' tracers, and what they would have sent."""

    sent: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def tracer(self, service: str) -> Tracer:
        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        provider.add_span_processor(SimpleSpanProcessor(self.sent))
        return provider.get_tracer("test")

    def spans(self) -> Sequence[ReadableSpan]:
        return self.sent.get_finished_spans()

    def below(self) -> set[tuple[str, str, str]]:
        """Service, name, and the name of the parent, of each span."""
        names = {one.context.span_id: one.name for one in self.spans() if one.context}
        return {
            (
                str(one.resource.attributes["service.name"]),
                one.name,
                names.get(one.parent.span_id, "?") if one.parent else "",
            )
            for one in self.spans()
        }


def node(parts: Parts) -> TaskTelemetry:
    figures = Figures(
        uses_left=dict, readiness=lambda: Readiness(READY, READY, sandbox=True, tasks=0)
    )
    return TaskTelemetry(tracer=parts.tracer("node"), meter=NoOpMeter("x"), figures=figures)


def test_a_round_is_one_trace() -> None:
    parts = Parts()
    loop, calls = RoundSpans(parts.tracer("app")), CallSpans(parts.tracer("governance"))
    task = node(parts)
    with loop.round({"run": "run-1", "round": 3, "kind": "train"}):
        with loop.step("ask"):
            parent = loop.traceparent()
            call = Call("AuthorizeRound", {"run": "run-1", "participant": "c"}, parent)
        with calls.call(call), calls.append(2):
            pass
        loop.note(permit="permit-1")
        with loop.step("exchange"):
            parent = loop.traceparent()
        assert parse_traceparent(parent) == parent
        task.begun("77", parent)
        task.admitted(FACTS)
        task.step("recorded")
        task.ended(TaskEnd(rows_training=3))
    assert loop.traceparent() == ""
    assert len({one.context.trace_id for one in parts.spans() if one.context}) == 1
    assert parts.below() == {
        ("app", "round", ""),
        ("app", "ask", "round"),
        ("governance", "AuthorizeRound", "ask"),
        ("governance", "append", "AuthorizeRound"),
        ("app", "exchange", "round"),
        ("node", "task", "exchange"),
        ("node", "check", "task"),
        ("node", "use", "task"),
    }
    told = {name for one in parts.spans() for name in one.attributes or {}}
    assert told <= ATTRIBUTES
    (root,) = [one for one in parts.spans() if one.name == "round"]
    assert dict(root.attributes or {}) == {
        **{"tds.run": "run-1", "tds.round": 3, "tds.kind": "train", "tds.permit": "permit-1"}
    }


def test_an_error_is_told_by_its_type_and_code_never_by_its_text() -> None:
    parts = Parts()
    loop, calls = RoundSpans(parts.tracer("app")), CallSpans(parts.tracer("governance"))
    with pytest.raises(ServerError), loop.round({"run": "run-1"}), loop.step("ask"):
        call = Call("CloseRound", {}, loop.traceparent(), code="FAILED_PRECONDITION")
        with calls.call(call):
            raise ServerError(SECRET)
    for one in parts.spans():
        assert one.status.description == "ServerError"
        assert SECRET not in one.to_json()
    (called,) = [one for one in parts.spans() if one.name == "CloseRound"]
    assert dict(called.attributes or {})["tds.code"] == "FAILED_PRECONDITION"


@pytest.mark.parametrize(
    ("rpc", "parent", "spans"),
    [
        ("AuthorizeRound", "", 1),  # of a round, whoever calls: a trace of its own
        ("AuthorizeRound", "garbage", 1),
        ("GetConsistency", "", 0),  # nodes ask this all the time
        ("GetConsistency", f"00-{'a' * 32}-{'b' * 16}-01", 1),
    ],
)
def test_which_calls_have_a_span(rpc: str, parent: str, spans: int) -> None:
    parts = Parts()
    calls = CallSpans(parts.tracer("governance"))
    with calls.call(Call(rpc, {}, parent)):
        pass
    assert len(parts.spans()) == spans
    assert all((one.parent is not None) == parent.startswith("00") for one in parts.spans())


def test_nobody_asked_and_nothing_is_told() -> None:
    with round_tracing({}) as tracing, call_tracing({}, space="x") as observer:
        assert tracing is NO_TRACING
        with tracing.round({}), tracing.step("ask"), observer.call(Call("X")), observer.append(1):
            assert tracing.traceparent() == ""
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(ServerError, match="expected http/protobuf"), round_tracing(asked):
        pass
