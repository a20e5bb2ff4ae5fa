"""An OTLP collector: a real HTTP server that parses what real exporters send."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Received:
    """A span, with the attributes of the process that sent it."""

    span: Span
    attributes: Attributes
    resource: Attributes

    @property
    def name(self) -> str:
        return self.span.name


@dataclass(frozen=True)
class Point:
    """A value of a metric: a sum, a gauge, or a histogram's count and sum."""

    metric: str
    attributes: Attributes
    value: float
    count: int
    resource: Attributes


@dataclass
class Collector:
    """What came; `bodies` are the requests as they were."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)

    def spans(self) -> list[Received]:
        return [
            Received(span, plain(span.attributes), plain(of.resource.attributes))
            for request in list(self.traces)
            for of in request.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def points(self) -> list[Point]:
        found = []
        for request in list(self.metrics):
            for of in request.resource_metrics:
                resource = plain(of.resource.attributes)
                for scope in of.scope_metrics:
                    for metric in scope.metrics:
                        found += [
                            Point(metric.name, plain(p.attributes), *_value(p), resource)
                            for p in getattr(metric, metric.WhichOneof("data")).data_points
                        ]
        return found

    def last(self, metric: str) -> dict[frozenset[tuple[str, Any]], Point]:
        """The newest point of a metric for each set of attributes; sums are cumulative."""
        return {frozenset(p.attributes.items()): p for p in self.points() if p.metric == metric}


def plain(attributes: Any) -> Attributes:
    """Attributes as a dictionary."""
    return {one.key: _plain(one) for one in attributes}


def _plain(one: KeyValue) -> Any:
    return getattr(one.value, str(one.value.WhichOneof("value")))


def _value(point: Any) -> tuple[float, int]:
    if hasattr(point, "bucket_counts"):
        return point.sum, point.count
    return getattr(point, point.WhichOneof("value")), 1


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens on a free port of loopback."""
    found = Collector()

    class Receiving(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.bodies.append(body)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.headers["Content-Type"] == "application/x-protobuf"
            answer: Any
            if self.path == "/v1/traces":
                found.traces.append(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse()
            else:
                assert self.path == "/v1/metrics"
                found.metrics.append(ExportMetricsServiceRequest.FromString(body))
                answer = ExportMetricsServiceResponse()
            data = answer.SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiving)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
