"""Traces across the parts of a space: what travels, and what may be told.

A round is one trace: the ServerApp begins it and hands its place in it (W3C Trace Context's
`traceparent`) to governance in gRPC metadata, and to nodes in the Flower message, beside the
permit. It is signed by nobody and decides nothing: whoever gets one takes it as text from a
stranger, and at most as the parent of a span of its own.

Whether traces are sent at all, each part learns from its own environment, by OpenTelemetry's own
variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.errors import DocumentError

BASE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL: Final = "http/protobuf"
ATTRIBUTES: Final = frozenset(
    {
        *("tds.space", "tds.participant", "service.name"),  # of the sending process
        *("tds.run", "tds.flower_run", "tds.round", "tds.kind", "tds.permit"),
        *("tds.product", "tds.agreement", "tds.app"),
        *("tds.outcome", "tds.code", "tds.entries", "rpc.method"),
        *("tds.rows_training", "tds.rows_evaluation", "tds.rows_without_consent"),
    }
)
"""Every attribute that a span of ours may have: names that stand in the log, codes, counts."""

_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS: Final = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_PROTOCOLS: Final = (
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
)
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which signals are sent."""

    traces: bool
    metrics: bool

    def __bool__(self) -> bool:
        return self.traces or self.metrics


def wanted(env: Mapping[str, str]) -> Wanted:
    """What the environment asks for (opentelemetry.io, SDK environment variables).

    Raises:
        DocumentError: a protocol other than OTLP over HTTP.
    """
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Wanted(traces=False, metrics=False)
    found = Wanted(
        traces=_sent(env, _TRACES, "OTEL_TRACES_EXPORTER"),
        metrics=_sent(env, _METRICS, "OTEL_METRICS_EXPORTER"),
    )
    for name in _PROTOCOLS if found else ():
        if env.get(name, "").strip() not in {"", PROTOCOL}:
            raise DocumentError(name, PROTOCOL, repr(env[name][:40]))
    return found


def parse_traceparent(value: object) -> str:
    """A version 00 `traceparent` as it came; "" for anything else, which is nobody's parent."""
    found = _TRACEPARENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not found[1].strip("0") or not found[2].strip("0"):
        return ""
    return found[0]


def _sent(env: Mapping[str, str], endpoint: str, exporter: str) -> bool:
    asked = env.get(endpoint, "").strip() or env.get(BASE, "").strip()
    return bool(asked) and env.get(exporter, "otlp").strip().lower() in {"", "otlp"}
