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
from typing import Any

from clients.errors import ClientError
from clients.observing import NOBODY, Observer
from clients.vitals import Readiness
from policies import tracing
from policies.errors import DocumentError
from policies.tracing import Wanted

__all__ = ["Figures", "Wanted", "telemetry", "wanted"]


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
    """What the environment asks for (`policies.tracing`).

    Raises:
        ClientError: a protocol other than OTLP over HTTP.
    """
    try:
        return tracing.wanted(env)
    except DocumentError as error:
        raise ClientError(str(error)) from error


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
            f"{tracing.BASE} is set: expected OpenTelemetry, got none; install tdspace[otel] or "
            "unset it"
        )
    module: Any = importlib.import_module("clients.otel")
    with module.sending(found, participant=participant, space=space, figures=figures) as observer:
        yield observer
