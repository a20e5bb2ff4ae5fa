"""What governance takes from outside: the clock and randomness, passed in once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Edge:
    """Clock and randomness.

    Attributes:
        clock: the present, aware, UTC.
        random_bytes: that many unguessable bytes.
    """

    clock: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]

    def new_id(self, prefix: str) -> str:
        """`prefix-` and 32 hexadecimal digits: unguessable, hence also a nonce."""
        return f"{prefix}-{self.random_bytes(16).hex()}"


def system_edge() -> Edge:
    """This machine's clock and its kernel's randomness."""
    return Edge(clock=lambda: datetime.now(UTC), random_bytes=secrets.token_bytes)
