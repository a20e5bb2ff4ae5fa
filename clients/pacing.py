"""How a private use shares out the permit's seconds, and when its answer may leave.

Each part has a slot of its own, so that what an app does in one takes nothing from the others; and
the answer is held until one of few moments, so that how long the app took hardly shows.
"""

from __future__ import annotations

import math
from typing import Final

from clients.errors import refused

PARTS_SHARE: Final = 0.8
"""Of the permit's seconds, what all parts together may take; the rest is the node's own."""
PACED_SHARE: Final = 0.9
"""Of the permit's seconds, until when a use may be held."""
LEAST_SLOT_S: Final = 0.2
"""Seconds for one part at least: a child needs some to begin."""


def slot_s(parts: int, seconds: float) -> float:
    """Seconds that each of so many parts may take, one after another.

    Raises:
        GateRefused: too few for so many.
    """
    slot = PARTS_SHARE * seconds / max(1, parts)
    if slot < LEAST_SLOT_S:
        needed = LEAST_SLOT_S * parts / PARTS_SHARE
        raise refused(
            "app-timeout",
            f"privacy: the app runs on {parts} parts one after another, which takes at least "
            f"{needed:.0f} s; the permit allows {seconds:g} s. Ask for fewer parts, a smaller "
            "sample, or more seconds",
        )
    return slot


def paced_s(elapsed_s: float, seconds: float) -> float:
    """Until when, in seconds from its start, a use that has run its parts is held.

    0, 1, 1.5, 2, 3, 4, 6, 8, 12 and so on, at most 0.9 of the permit's `seconds`; a use that is
    later still is not held.
    """
    tick = 1.0 if elapsed_s > 0 else 0.0
    while tick < elapsed_s:
        # Of a power of two (a mantissa of one half) to half as much again, from there to the next.
        tick *= 1.5 if math.frexp(tick)[0] == 0.5 else 4 / 3
    return max(elapsed_s, min(tick, PACED_SHARE * seconds))
