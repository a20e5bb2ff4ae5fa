"""Whether metrics and traces are wanted, by OpenTelemetry's own environment variables.

Off unless an endpoint is named; then nothing of OpenTelemetry is imported and a task costs nothing
more. What is sent: clients.otel.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from clients.errors import ClientError
from clients.observing import NOBODY, Observer
from clients.vitals import Readiness

_BASE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS: Final = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_PROTOCOLS: Final = (
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
)
PROTOCOL: Final = "http/protobuf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which signals are sent."""

    traces: bool
    metrics: bool

    def __bool__(self) -> bool:
        return self.traces or self.metrics


@dataclass(frozen=True, slots=True)
class Figures:
    """What metrics are read from between tasks; neither raises.

    Attributes:
        uses_left: by agreement, where a limit is agreed.
        readiness: of the node (clients.vitals).
    """

    uses_left: Callable[[], Mapping[str, int]]
    readiness: Callable[[], Readiness]


def wanted(env: Mapping[str, str]) -> Wanted:
    """What the environment asks for (opentelemetry.io, SDK environment variables).

    Raises:
        ClientError: a protocol other than OTLP over HTTP.
    """
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Wanted(traces=False, metrics=False)
    found = Wanted(
        traces=_sent(env, _TRACES, "OTEL_TRACES_EXPORTER"),
        metrics=_sent(env, _METRICS, "OTEL_METRICS_EXPORTER"),
    )
    for name in _PROTOCOLS if found else ():
        if env.get(name, "").strip() not in {"", PROTOCOL}:
            raise ClientError(f"{name}: expected {PROTOCOL}, got {env[name][:40]!r}")
    return found


@contextmanager
def telemetry(
    env: Mapping[str, str], *, participant: str, space: str, figures: Figures
) -> Iterator[Observer]:
    """An observer of tasks that sends what is wanted; what is left is sent when the block ends.

    Raises:
        ClientError: wanted, and OpenTelemetry is not installed.
    """
    found = wanted(env)
    if not found:
        yield NOBODY
        return
    if importlib.util.find_spec("opentelemetry") is None:
        raise ClientError(
            f"{_BASE} is set: expected OpenTelemetry, got none; install tdspace[otel] or unset it"
        )
    module: Any = importlib.import_module("clients.otel")
    with module.sending(found, participant=participant, space=space, figures=figures) as observer:
        yield observer


def _sent(env: Mapping[str, str], endpoint: str, exporter: str) -> bool:
    asked = env.get(endpoint, "").strip() or env.get(_BASE, "").strip()
    return bool(asked) and env.get(exporter, "otlp").strip().lower() in {"", "otlp"}
