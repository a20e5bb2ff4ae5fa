"""What may be told of tasks beyond the node's own log: to the program's log, metrics, traces.

Names that governance knows anyway (run, round, permit, product, agreement, app), fixed sentences,
times and counts of rows: no value of the data, no subject, no path, no secret, nothing that an app
chose. An observer sees a task only through these two records, and cannot change or delay it by
raising: it must not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """Of a task that passed the gate: all of it stands in a signed permit."""

    run: str
    flower_run: str
    round: int
    kind: str
    permit: str
    product: str
    agreement: str
    app: str


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended.

    Attributes:
        code: of the refusal; "" where a receipt left.
        text: of the refusal, as it travels.
        rows_training, rows_evaluation, rows_without_consent: how many; 0 where none were used.
        uses: begun under the agreement by now, this one included; None where none began.
    """

    code: str = ""
    text: str = ""
    rows_training: int = 0
    rows_evaluation: int = 0
    rows_without_consent: int = 0
    uses: int | None = None


class Observer(Protocol):
    """Told of each task, in the thread that handles it; no method raises.

    The order is `begun`, then perhaps `admitted`, then any number of `step`, then `ended`.
    """

    def begun(self, flower_run: str, trace: str = "") -> None:
        """A message came in Flower's run of this id; nothing of it is believed yet.

        Args:
            trace: the `traceparent` that came with it, well-formed, or "".
        """

    def admitted(self, facts: TaskFacts) -> None:
        """The gate let it pass."""

    def step(self, name: str) -> None:
        """A step of `clients.work` is done."""

    def ended(self, end: TaskEnd) -> None:
        """It is over; the reply is about to be sent."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Several as one, in order."""

    all: Sequence[Observer]

    def begun(self, flower_run: str, trace: str = "") -> None:
        """See `Observer`."""
        for one in self.all:
            one.begun(flower_run, trace)

    def admitted(self, facts: TaskFacts) -> None:
        """See `Observer`."""
        for one in self.all:
            one.admitted(facts)

    def step(self, name: str) -> None:
        """See `Observer`."""
        for one in self.all:
            one.step(name)

    def ended(self, end: TaskEnd) -> None:
        """See `Observer`."""
        for one in self.all:
            one.ended(end)


NOBODY: Final[Observer] = Observers(())
