"""Secrets that open something for a while: sessions, and the one-time links that begin them.

A secret is kept as its SHA-256 only, so that nobody reads a way in from this process's memory dump
or by how long a comparison takes. Everything is bounded: who makes too many loses its own oldest.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from policies.canonical import sha256_hex
from server.errors import TooMany

SECRET_BYTES: Final = 32
SECRET_CHARS: Final = 43
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Slot(Generic[Item]):
    owner: str
    item: Item
    ends: datetime  # whatever happens
    idle: datetime  # unless it is used before


class Kept(Generic[Item]):
    """Items behind unguessable secrets. Safe to share between threads.

    Args:
        what: how an error names them.
        most: of all owners.
        most_of_one: of one owner; a further one takes the place of its oldest.
        valid: from its making.
        idle: from its last use; None counts no idleness.
        clock, random_bytes: as in `server.edge.Edge`.
    """

    def __init__(
        self,
        *,
        what: str,
        most: int,
        most_of_one: int,
        valid: timedelta,
        idle: timedelta | None = None,
        clock: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._what = what
        self._most = most
        self._most_of_one = most_of_one
        self._valid = valid
        self._idle = idle or valid
        self._clock = clock
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot[Item]] = {}  # by the secret's SHA-256, oldest first

    def put(self, owner: str, item: Item) -> tuple[str, datetime]:
        """A new secret for the item, and when it ends.

        Raises:
            TooMany: other owners hold all there may be.
        """
        secret = base64.urlsafe_b64encode(self._random_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        now = self._clock()
        slot = _Slot(owner, item, now + self._valid, now + self._idle)
        with self._lock:
            self._forget(now)
            own = [key for key, one in self._slots.items() if one.owner == owner]
            for key in own[: max(0, len(own) - self._most_of_one + 1)]:
                del self._slots[key]
            if len(self._slots) >= self._most:
                raise TooMany(f"{self._what}: expected at most {self._most} at once; try later")
            self._slots[_digest(secret)] = slot
        return secret, slot.ends

    def get(self, secret: str) -> Item | None:
        """What the secret opens, which counts as a use; None if it opens nothing."""
        now, key = self._clock(), _digest(secret)
        with self._lock:
            self._forget(now)
            slot = self._slots.get(key)
            if slot is None:
                return None
            self._slots[key] = replace(slot, idle=now + self._idle)
        return slot.item

    def take(self, secret: str) -> Item | None:
        """As `get`, for the last time: of many who call at once, one gets the item."""
        now, key = self._clock(), _digest(secret)
        with self._lock:
            self._forget(now)
            slot = self._slots.pop(key, None)
        return slot.item if slot is not None else None

    def __len__(self) -> int:
        return len(self._slots)

    def _forget(self, now: datetime) -> None:
        over = [key for key, one in self._slots.items() if now >= min(one.ends, one.idle)]
        for key in over:
            del self._slots[key]


def _digest(secret: str) -> str:
    return sha256_hex(secret[: 2 * SECRET_CHARS].encode("utf-8", "surrogatepass"))
