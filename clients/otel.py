"""Metrics and traces of tasks, sent over OTLP; the attributes are all listed here.

Of the space: `tds.space`, `tds.participant` (of the sending process). Of a span: `tds.run`,
`tds.flower_run`, `tds.round`, `tds.kind`, `tds.permit`, `tds.product`, `tds.agreement`, `tds.app`,
`tds.outcome`, `tds.code`, and counts of rows; its events are names of steps of `clients.work`. Of a
metric: `tds.outcome`, `tds.code`, `tds.kind`, `tds.step`, `tds.rows`, `tds.product`,
`tds.agreement`. No value of the data, no subject, no path, no text of an exception.

A collector that is away costs a task nothing: what waits for it is bounded, and dropped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NoOpTracer,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clients.observing import Observer, TaskEnd, TaskFacts
from clients.telemetry import Figures, Wanted

SCOPE: Final = "tdspace.node"
GOODBYE_MS: Final = 3000

_PROPAGATOR: Final = TraceContextTextMapPropagator()

# A step of DESIGN begins where a step of `clients.work` is done.
_BEGINS: Final = {"recorded": "use", "ran": "egress"}


@contextmanager
def sending(
    wanted: Wanted, *, participant: str, space: str, figures: Figures
) -> Iterator[Observer]:
    """See `clients.telemetry.telemetry`; endpoints, headers, certificates and intervals are those
    of the environment."""
    ours = {"tds.space": space, "tds.participant": participant}
    named = os.environ.get("OTEL_SERVICE_NAME"), os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named[0] and "service.name=" not in named[1]:
        ours["service.name"] = "tds-node"
    resource = Resource.create(ours)
    tracer: Tracer = NoOpTracer()
    meter: Meter = NoOpMeter(SCOPE)
    with ExitStack() as stack:
        if wanted.traces:
            traces = TracerProvider(resource=resource, shutdown_on_exit=False)
            stack.callback(traces.shutdown)
            traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            stack.callback(traces.force_flush, GOODBYE_MS)
            tracer = traces.get_tracer(SCOPE)
        if wanted.metrics:
            reader = PeriodicExportingMetricReader(OTLPMetricExporter())
            meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
            stack.callback(meters.shutdown, GOODBYE_MS)
            meter = meters.get_meter(SCOPE)
        yield TaskTelemetry(tracer=tracer, meter=meter, figures=figures)


@dataclass(slots=True)
class _Task:
    """A task in this thread."""

    span: Span
    started: float
    step: str = "check"
    step_span: Span | None = None
    step_started: float = 0.0
    facts: TaskFacts | None = None
    begun: bool = False
    steps: list[tuple[str, float]] = field(default_factory=list)


_TASK: ContextVar[_Task | None] = ContextVar("telemetry", default=None)


class TaskTelemetry:
    """An `clients.observing.Observer`: a span a task with one for each step, and metrics.

    Args:
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *,
        tracer: Tracer,
        meter: Meter,
        figures: Figures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracer = tracer
        self._figures = figures
        self._clock = clock
        self._tasks = meter.create_counter(
            "tds.tasks", "{task}", "Tasks that were handled, by outcome and code of refusal."
        )
        self._duration = meter.create_histogram(
            "tds.task.duration", "s", "From the message's arrival to the answer."
        )
        self._step_duration = meter.create_histogram(
            "tds.step.duration", "s", "Of a step of a task: check, use, egress."
        )
        self._rows = meter.create_counter(
            "tds.rows", "{row}", "Rows of tasks that were answered with a receipt."
        )
        meter.create_observable_gauge(
            "tds.agreement.uses_left", [self._observe_uses], "{use}", "Where a limit is agreed."
        )
        meter.create_observable_gauge(
            "tds.node.ready", [self._observe_ready], "1", "1 if a task could be served now."
        )
        meter.create_observable_gauge(
            "tds.node.tasks", [self._observe_tasks], "{task}", "Tasks in work."
        )

    def begun(self, flower_run: str, trace: str = "") -> None:
        """See `clients.observing.Observer`."""
        context = _PROPAGATOR.extract({"traceparent": trace}, Context()) if trace else Context()
        span = self._tracer.start_span(
            "task",
            context=context,
            kind=SpanKind.CONSUMER,
            attributes={"tds.flower_run": flower_run[:20]},
        )
        task = _Task(span=span, started=self._clock())
        self._begin(task, "check")
        _TASK.set(task)

    def admitted(self, facts: TaskFacts) -> None:
        """See `clients.observing.Observer`."""
        task = _TASK.get()
        if task is None:
            return
        task.facts = facts
        task.span.set_attributes(
            {
                "tds.run": facts.run,
                "tds.round": facts.round,
                "tds.kind": facts.kind,
                "tds.permit": facts.permit,
                "tds.product": facts.product,
                "tds.agreement": facts.agreement,
                "tds.app": facts.app,
            }
        )

    def step(self, name: str) -> None:
        """See `clients.observing.Observer`."""
        task = _TASK.get()
        if task is None:
            return
        task.begun = task.begun or name == "recorded"
        if task.step_span is not None:
            task.step_span.add_event(name)
        if name in _BEGINS:
            self._end(task)
            self._begin(task, _BEGINS[name])

    def ended(self, end: TaskEnd) -> None:
        """See `clients.observing.Observer`."""
        task = _TASK.get()
        if task is None:
            return
        _TASK.set(None)
        outcome = "done" if not end.code else "failed" if task.begun else "refused"
        self._end(task, end.code)
        task.span.set_attributes(
            {
                "tds.outcome": outcome,
                "tds.rows_training": end.rows_training,
                "tds.rows_evaluation": end.rows_evaluation,
                "tds.rows_without_consent": end.rows_without_consent,
            }
        )
        if end.code:
            task.span.set_attribute("tds.code", end.code)
            task.span.set_status(Status(StatusCode.ERROR, end.code))
        task.span.end()
        self._count(task, end, outcome)

    def _count(self, task: _Task, end: TaskEnd, outcome: str) -> None:
        kind = task.facts.kind if task.facts is not None else "unknown"
        attributes = {"tds.outcome": outcome, "tds.code": end.code, "tds.kind": kind}
        self._tasks.add(1, attributes)
        self._duration.record(self._clock() - task.started, attributes)
        for step, seconds in task.steps:
            self._step_duration.record(seconds, {"tds.step": step})
        if task.facts is None or outcome != "done":
            return
        for name, rows in (
            ("training", end.rows_training),
            ("evaluation", end.rows_evaluation),
            ("without_consent", end.rows_without_consent),
        ):
            self._rows.add(rows, {"tds.rows": name, "tds.product": task.facts.product})

    def _begin(self, task: _Task, step: str) -> None:
        context = set_span_in_context(task.span)
        task.step, task.step_started = step, self._clock()
        task.step_span = self._tracer.start_span(step, context=context)

    def _end(self, task: _Task, code: str = "") -> None:
        if task.step_span is None:
            return
        if code:
            task.step_span.set_status(Status(StatusCode.ERROR, code))
        task.step_span.end()
        task.steps.append((task.step, self._clock() - task.step_started))

    def _observe_uses(self, _options: CallbackOptions) -> Iterable[Observation]:
        for agreement, left in self._figures.uses_left().items():
            yield Observation(left, {"tds.agreement": agreement})

    def _observe_ready(self, _options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(int(self._figures.readiness().ready))

    def _observe_tasks(self, _options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._figures.readiness().tasks)
