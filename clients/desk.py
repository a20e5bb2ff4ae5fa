"""Answers messages, several at once, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from clients.errors import ClientError

M = TypeVar("M")


class Desk(Generic[M]):
    """Up to `size` messages in hand. With one, it is answered where it is given.

    `give`, `wait` and `check` are called from one thread.

    Args:
        answer: handles a message and sends what comes of it; raises ClientError only.
        size: how many at once.
    """

    def __init__(self, answer: Callable[[M], None], *, size: int = 1) -> None:
        self._answer = answer
        self._size = size
        self._changed = threading.Condition()
        self._in_hand = 0
        self._answered = 0
        self._last: float | None = None
        self._problems: deque[ClientError] = deque()

    @property
    def free(self) -> bool:
        """Whether one more can be given."""
        with self._changed:
            return self._in_hand < self._size

    @property
    def busy(self) -> bool:
        """Whether one is in hand."""
        with self._changed:
            return self._in_hand > 0

    def give(self, message: M) -> None:
        """Have a message answered.

        Raises:
            ClientError: with a size of one, what `answer` raises.
        """
        if self._size == 1:
            self._answer(message)
            self._answered += 1
            self._last = time.monotonic()
            return
        with self._changed:
            self._in_hand += 1
        threading.Thread(target=self._work, args=(message,), name="task", daemon=True).start()

    def check(self) -> None:
        """Raise what an answer in another thread raised, each once."""
        with self._changed:
            if self._problems:
                raise self._problems.popleft()

    def answered(self) -> bool:
        """Whether one was answered since this was asked last."""
        with self._changed:
            found, self._answered = self._answered > 0, 0
            return found

    def wait(self, timeout_s: float) -> None:
        """Wait until one is answered, or so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._answered > 0 or self._in_hand == 0, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Wait until nothing is in hand, or so long; whether nothing is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._in_hand == 0, timeout_s)

    def rests_s(self, least_s: float) -> float:
        """How many seconds are left until the last answer is so long ago; 0 without one."""
        with self._changed:
            if self._last is None:
                return 0.0
            return max(0.0, self._last + least_s - time.monotonic())

    def problems(self) -> tuple[ClientError, ...]:
        """What answers raised and nobody has heard of, each once."""
        with self._changed:
            found = tuple(self._problems)
            self._problems.clear()
            return found

    def _work(self, message: M) -> None:
        try:
            self._answer(message)
        except ClientError as problem:
            with self._changed:
                self._problems.append(problem)
        finally:
            with self._changed:
                self._in_hand -= 1
                self._answered += 1
                self._last = time.monotonic()
                self._changed.notify_all()
