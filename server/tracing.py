"""Spans of the operator's side: whether they are wanted, and what the round loop says of itself.

Off unless OpenTelemetry's own variables name an endpoint; then nothing of OpenTelemetry is imported
and a round costs nothing more. What is sent: `server.otel`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, Protocol

from policies.errors import DocumentError
from policies.tracing import BASE, wanted
from server.errors import ServerError
from server.observing import NOBODY, Fact, Observer


class Tracing(Protocol):
    """What the round loop says; no method raises, and none changes what happens."""

    def round(self, facts: Mapping[str, Fact]) -> AbstractContextManager[None]:
        """A round lasts as long as the block; `facts` as in `server.observing.FACTS`."""
        ...

    def step(self, name: str) -> AbstractContextManager[None]:
        """A step of the round does."""
        ...

    def note(self, **facts: Fact) -> None:
        """More is known of the round."""
        ...

    def traceparent(self) -> str:
        """This thread's place in the trace, for others to go on from; "" without one."""
        ...


class NoTracing:
    """Nobody asked."""

    def round(self, facts: Mapping[str, Fact]) -> AbstractContextManager[None]:
        """See `Tracing`."""
        return nullcontext()

    def step(self, name: str) -> AbstractContextManager[None]:
        """See `Tracing`."""
        return nullcontext()

    def note(self, **facts: Fact) -> None:
        """See `Tracing`."""

    def traceparent(self) -> str:
        """See `Tracing`."""
        return ""


NO_TRACING: Final[Tracing] = NoTracing()


@contextmanager
def round_tracing(env: Mapping[str, str]) -> Iterator[Tracing]:
    """What a ServerApp's loop tells; what is left is sent when the block ends.

    Raises:
        ServerError: wanted, and OpenTelemetry is not installed, or another protocol.
    """
    module = _module(env)
    if module is None:
        yield NO_TRACING
        return
    with module.sending("tds-serverapp", {}) as tracer:
        yield module.RoundSpans(tracer)


@contextmanager
def call_tracing(env: Mapping[str, str], *, space: str) -> Iterator[Observer]:
    """Whom governance tells, likewise; errors as `round_tracing`."""
    module = _module(env)
    if module is None:
        yield NOBODY
        return
    with module.sending("tds-governance", {"tds.space": space}) as tracer:
        yield module.CallSpans(tracer)


def _module(env: Mapping[str, str]) -> Any:
    try:
        if not wanted(env).traces:
            return None
    except DocumentError as error:
        raise ServerError(str(error)) from error
    if importlib.util.find_spec("opentelemetry") is None:
        raise ServerError(
            f"{BASE} is set: expected OpenTelemetry, got none; install tdspace[otel] or unset it"
        )
    return importlib.import_module("server.otel")
