"""Whether the times of entries go on.

    clock-back      an entry's time lies at most five minutes before the latest until then

Clocks are set back a little at times, and policies are then evaluated at the latest moment that a
decision was made at (`policies.left_values.decision_time`), so that no limit of time is undone by
it. A clock that was set back further was wrong before or is wrong now: which of both the log cannot
show, and what was decided in between rests on it. It is named once, at the first such entry; from
there on that entry's time counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.fields import parse_instant
from policies.left_values import MAX_STEP_BACK


class Clock:
    """The latest time so far, and the entry that it stands in."""

    def __init__(self) -> None:
        self._latest, self._index = "", -1

    def step(self, index: int, time: str) -> Iterator[tuple[str, str]]:
        """The next entry's time.

        Raises:
            DocumentError: it is none.
        """
        if time < self._latest:
            back = parse_instant(self._latest) - parse_instant(time)
            if back <= MAX_STEP_BACK:
                return
            text = f"expected a time from 5 minutes before entry {self._index} on, {self._latest}"
            yield "clock-back", f"{text}, got {time}"
        self._latest, self._index = time, index
