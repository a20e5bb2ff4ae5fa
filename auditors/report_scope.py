"""What a report is about, what was checked before it, and lists that it keeps in part."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, TypeVar

from auditors.rules import Violation
from policies.fields import parse_instant

MAX_LISTED: Final = 500
T = TypeVar("T")


@dataclass(slots=True)
class Listed(Generic[T]):
    """The first of them, and how many there are."""

    total: int = 0
    items: list[T] = field(default_factory=list)

    def add(self, item: T) -> None:
        """One more."""
        self.total += 1
        if len(self.items) < MAX_LISTED:
            self.items.append(item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which happenings a report is about; what is registered it always tells.

    Attributes:
        participant: as an owner, or as the consumer.
        run: its id.
        since, until: aware; from the first moment until just before the second.
    """

    participant: str = ""
    run: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def has(self, time: str, run: str, *people: str) -> bool:
        """Whether something of this time, run and these participants belongs to it."""
        if self.run and run != self.run:
            return False
        if self.participant and self.participant not in people:
            return False
        if self.since is None and self.until is None:
            return True
        moment = parse_instant(time)
        after = self.since is None or self.since <= moment
        return after and (self.until is None or moment < self.until)

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self == Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was checked before the report was made.

    Attributes:
        verified: whether signatures and tree were checked, against a key from elsewhere.
        cosigners: names of the witnesses whose cosignatures hold.
        seen: heads of others that the log was held against.
        replayed: whether every decision was recomputed; the counts are those of the replay.
    """

    verified: bool
    origin: str = ""
    size: int = 0
    root: str = ""
    cosigners: tuple[str, ...] = ()
    seen: int = 0
    replayed: bool = False
    decisions: int = 0
    permits: int = 0
    receipts: int = 0
    violations: tuple[Violation, ...] = ()
