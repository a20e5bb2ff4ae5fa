"""What may be told of governance while it works: to the program's log, metrics and traces.

Names that stand in the log anyway (run, round, permit, pseudonym), names of calls, codes, counts
and times: no text of a document, no reason, no name of a person or an enterprise, no address. An
observer sees a call only through `Call` and the log's entries; it cannot change or delay one by
raising: it must not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

Fact = str | int
FACTS: Final = ("run", "flower_run", "round", "kind", "permit", "participant")
"""What is known of a call beside its name."""

_MAX_FACT_CHARS: Final = 100
_REQUEST_FIELDS: Final = {
    "run": "run",
    "flower_run": "flower_run",
    "round": "round",
    "kind": "kind",
    "permit_id": "permit",
}


@dataclass(slots=True)
class Call:
    """A call to governance, as far as it is told of.

    Attributes:
        rpc: its name in policies/governance.proto.
        facts: of `FACTS`; from the request until the guard has admitted the caller, so that
            nothing of it is believed.
        parent: W3C traceparent that came with it; "" without one. Unverified.
        code: gRPC status' name, known when it ends.
    """

    rpc: str
    facts: dict[str, Fact] = field(default_factory=dict)
    parent: str = ""
    code: str = "OK"


_FACTS: ContextVar[dict[str, Fact] | None] = ContextVar("facts", default=None)


def facts_now() -> Mapping[str, Fact]:
    """Facts of what this thread does: of the call that it answers, or of the round of its loop."""
    return _FACTS.get() or {}


def admitted(participant: str) -> None:
    """The guard let the caller of this thread's call in."""
    facts = _FACTS.get()
    if facts is not None:
        facts["participant"] = participant


@contextmanager
def about(facts: dict[str, Fact]) -> Iterator[None]:
    """While the block lasts, `facts_now` are these, which may grow."""
    _FACTS.set(facts)
    try:
        yield
    finally:
        # Not by a token: a stream may end in another context than it began in.
        _FACTS.set(None)


def facts_of(request: Any) -> dict[str, Fact]:
    """What a request says of itself: bounded, and unverified."""
    found: dict[str, Fact] = {}
    for name, fact in _REQUEST_FIELDS.items():
        value = getattr(request, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            found[fact] = value
        elif isinstance(value, str) and value:
            found[fact] = value[:_MAX_FACT_CHARS]
    return found


class Observer(Protocol):
    """Told of each call, each append and each entry; from several threads. No method raises."""

    def call(self, call: Call) -> AbstractContextManager[None]:
        """A call is answered while the block lasts; its code is known at the end."""
        ...

    def append(self, entries: int) -> AbstractContextManager[None]:
        """So many entries are appended to the log while the block lasts."""
        ...

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """The journal's listener: an entry is durable, and so are its effects."""
        ...

    def answered(self, status: int, seconds: float) -> None:
        """The console answered a browser: HTTP status, and how long it took to begin."""
        ...


@dataclass(frozen=True, slots=True)
class Observers:
    """Several as one, in order."""

    all: Sequence[Observer]

    def call(self, call: Call) -> AbstractContextManager[None]:
        """See `Observer`."""
        if not self.all:
            return nullcontext()
        return _nested([one.call(call) for one in self.all])

    def append(self, entries: int) -> AbstractContextManager[None]:
        """See `Observer`."""
        if not self.all:
            return nullcontext()
        return _nested([one.append(entries) for one in self.all])

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """See `Observer`."""
        for one in self.all:
            one.on_applied(index, kind, data)

    def answered(self, status: int, seconds: float) -> None:
        """See `Observer`."""
        for one in self.all:
            one.answered(status, seconds)


@contextmanager
def _nested(blocks: Sequence[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for one in blocks:
            stack.enter_context(one)
        yield


NOBODY: Final[Observer] = Observers(())
