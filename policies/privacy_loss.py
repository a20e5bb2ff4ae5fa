"""What uses of a product have told, as an exact multiset of events: the fact, apart from the sum.

An event is one use under differential privacy: the Gaussian mechanism, for which each unit's
contribution was drawn with some probability beforehand (Poisson sampling). A use without it is
unbounded: no number says how much it told. Nothing is rounded here, and nothing is ever taken away;
what the events amount to together says `policies.privacy_budget`.

The one spelling of an event is `4` (noise multiplier 4, every unit) or `4@0.1` (each unit drawn
with probability 0.1). That of losses is canonical JSON, each event with how often it came, and
uses without a bound under their own name: `{"4":3,"4@0.1":12,"unbounded":1}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from policies.canonical import canonical_bytes, parse_canonical
from policies.errors import PrivacyError
from policies.values import decimal_text

LEAST_NOISE: Final = Decimal("0.01")
MOST_NOISE: Final = Decimal(10_000)
MOST_USES: Final = 2**53 - 1
MAX_TEXT_BYTES: Final = 1 << 20
ONE: Final = Decimal(1)

_UNBOUNDED: Final = "unbounded"
_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{0,17}[1-9])?")


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One use under differential privacy.

    Attributes:
        noise: standard deviation of the Gaussian noise in what leaves, in multiples of the most
            that one unit can contribute to it.
        sample: probability that a unit takes part, by itself; 1 where all do.

    Raises:
        PrivacyError: a noise or a probability that no use has, by name; NaN and infinity too.
    """

    noise: Decimal
    sample: Decimal = ONE

    def __post_init__(self) -> None:
        if not self.noise.is_finite() or not LEAST_NOISE <= self.noise <= MOST_NOISE:
            raise PrivacyError(
                f"noise: expected a multiplier from {LEAST_NOISE} to {MOST_NOISE}, got {self.noise}"
            )
        if not self.sample.is_finite() or not 0 < self.sample <= 1:
            raise PrivacyError(
                f"sample: expected a probability above 0 and at most 1, got {self.sample}"
            )
        for value in (self.noise, self.sample):
            if not _NUMBER.fullmatch(decimal_text(value)):
                raise PrivacyError(
                    f"noise and sample: expected 18 digits a side of the point at most, got {value}"
                )

    def __str__(self) -> str:
        """The one spelling; `parse_event` reads it."""
        noise = decimal_text(self.noise)
        return noise if self.sample == 1 else f"{noise}@{decimal_text(self.sample)}"


@lru_cache(maxsize=4096)
def parse_event(text: str) -> Event:
    """The event of `str(event)`.

    Raises:
        PrivacyError: another spelling, or an event that cannot be.
    """
    parts = text.split("@")
    if len(parts) <= 2 and all(_NUMBER.fullmatch(part) for part in parts):
        event = Event(*(Decimal(part) for part in parts))
        if str(event) == text:
            return event
    raise PrivacyError(f"event: expected one such as 4 or 4@0.1, got {text!r:.60}")


@dataclass(frozen=True, slots=True)
class Losses:
    """Events with how often each came, and uses without a bound; sums are exact.

    Attributes:
        events: ascending, each once, with a count of at least 1.
        unbounded: uses without differential privacy.
    """

    events: tuple[tuple[Event, int], ...] = ()
    unbounded: int = 0

    def __post_init__(self) -> None:
        counts = [count for _, count in self.events]
        ordered = [event for event, _ in self.events]
        if ordered != sorted(set(ordered)) or any(not 1 <= one <= MOST_USES for one in counts):
            raise PrivacyError("losses: expected each event once, ascending, with its count")
        if not 0 <= self.unbounded <= MOST_USES:
            raise PrivacyError(f"losses: expected uses without a bound, got {self.unbounded}")

    def plus(self, other: Losses) -> Losses:
        """Both together."""
        if not other.events:
            return Losses(self.events, self.unbounded + other.unbounded)
        counts = dict(self.events)
        for event, count in other.events:
            counts[event] = counts.get(event, 0) + count
        return Losses(tuple(sorted(counts.items())), self.unbounded + other.unbounded)

    def within(self, other: Losses) -> bool:
        """Whether the other holds each of these at least as often."""
        counts = dict(other.events)
        return self.unbounded <= other.unbounded and all(
            count <= counts.get(event, 0) for event, count in self.events
        )

    def __str__(self) -> str:
        """The one spelling; `parse_losses` reads it."""
        counts = {str(event): count for event, count in self.events}
        if self.unbounded:
            counts[_UNBOUNDED] = self.unbounded
        return canonical_bytes(counts).decode()


NO_LOSSES: Final = Losses()
UNBOUNDED: Final = Losses(unbounded=1)


def loss_of(event: Event | None, uses: int = 1) -> Losses:
    """What this many uses tell; None is a use without differential privacy."""
    if uses == 0:
        return NO_LOSSES
    return Losses(unbounded=uses) if event is None else Losses(((event, uses),))


@lru_cache(maxsize=4096)  # an account is read many times before it is written again
def parse_losses(text: str) -> Losses:
    """The losses of `str(losses)`.

    Raises:
        PrivacyError, DocumentError: another spelling.
    """
    found = parse_canonical(text.encode(), max_bytes=MAX_TEXT_BYTES)
    if not isinstance(found, dict) or not all(type(count) is int for count in found.values()):
        raise PrivacyError("losses: expected an object of events with their counts")
    counts = {name: count for name, count in found.items() if isinstance(count, int)}
    unbounded = counts.pop(_UNBOUNDED, 0)
    events = sorted((parse_event(name), count) for name, count in counts.items())
    losses = Losses(tuple(events), unbounded)
    if str(losses) != text:
        raise PrivacyError("losses: expected their one spelling, got another")
    return losses
