"""Group commit: callers that wait for the log at once share one batch, each with its own answer.

Who comes while nobody works runs a batch with all that waits, its own part among it; then the one
that has waited longest takes over. So no thread is needed, nobody works for others for long, and
nothing waits while nobody works.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ledger.errors import LedgerError, LogUnavailable
from ledger.tree import Tree, leaf_hash

MAX_BATCH_ENTRIES: Final = 8192
MAX_BATCH_BYTES: Final = 16 << 20

_INTERRUPTED: Final = LogUnavailable(
    "log: the thread that appended was interrupted; append again with the same idempotency key"
)


@dataclass(frozen=True, slots=True)
class Appended:
    """What one `append` did.

    Args:
        first_index: index of the first of these entries.
        count: how many they are.
        checkpoint: the newest signed checkpoint; it covers them.
        size: the size in that checkpoint.
    """

    first_index: int
    count: int
    checkpoint: str
    size: int


@dataclass(slots=True, eq=False)
class Waiting:
    """One caller's entries, and where it waits for its answer."""

    lines: Sequence[bytes]
    key: str | None
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answer: Appended | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether there is an answer."""
        return self.answer is not None or self.error is not None

    @property
    def size_bytes(self) -> int:
        """Bytes of its entries."""
        return sum(map(len, self.lines))


class Turns:
    """The queue.

    Args:
        run: appends one batch and sets each caller's answer or error. What it raises is everybody's
            who has neither.
    """

    def __init__(self, run: Callable[[Sequence[Waiting]], None]) -> None:
        self._run = run
        self._mutex = threading.Lock()
        self._queue: deque[Waiting] = deque()
        self._working = False

    def take(self, mine: Waiting) -> Appended:
        """Wait for the answer, working on the queue when it is this caller's turn.

        Raises:
            BaseException: what the batch raised.
        """
        with self._mutex:
            self._queue.append(mine)
            mine.leads = not self._working
            self._working = True
        if not mine.leads:
            try:
                mine.woken.wait()
            except BaseException:  # Ctrl-C: nobody is left to take this turn
                self._leave(mine)
                raise
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None
        return mine.answer

    def _lead(self) -> None:
        batch: list[Waiting] = []
        try:
            with self._mutex:
                self._fill(batch)
            self._run(batch)
        except BaseException as error:
            told = error if isinstance(error, Exception) else _INTERRUPTED
            for one in batch:
                if not one.done:
                    one.error = told
            raise
        finally:
            with self._mutex:
                self._hand_over()
            for one in batch:
                one.woken.set()

    def _leave(self, mine: Waiting) -> None:
        with self._mutex:
            if mine in self._queue:
                self._queue.remove(mine)
                if mine.leads:
                    self._hand_over()

    def _hand_over(self) -> None:
        self._working = bool(self._queue)
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].woken.set()

    def _fill(self, batch: list[Waiting]) -> None:
        batch.append(self._queue.popleft())
        entries, size_bytes = len(batch[0].lines), batch[0].size_bytes
        while self._queue:
            entries += len(self._queue[0].lines)
            size_bytes += self._queue[0].size_bytes
            if entries > MAX_BATCH_ENTRIES or size_bytes > MAX_BATCH_BYTES:
                break
            batch.append(self._queue.popleft())


@dataclass(slots=True)
class Assembled:
    """What a batch appends, and who gets which part of it."""

    lines: list[bytes]
    keys: list[tuple[str, int, int]]
    places: list[tuple[Waiting, int]]

    @classmethod
    def of(
        cls,
        waiting: Sequence[Waiting],
        *,
        tree: Tree,
        find: Callable[[Sequence[str]], Mapping[str, tuple[int, int]]],
    ) -> Assembled:
        """Put a batch together; who comes with a used key gets the place of its first use.

        Args:
            find: the places of idempotency keys that the log has.
        """
        known = dict(find([one.key for one in waiting if one.key is not None]))
        batch = cls([], [], [])
        for one in waiting:
            place = None if one.key is None else known.get(one.key)
            if place is None:
                first = tree.size + len(batch.lines)
                batch.lines += one.lines
                if one.key is not None:
                    known[one.key] = (first, len(one.lines))
                    batch.keys.append((one.key, first, len(one.lines)))
            else:
                first, count = place
                if batch._leaves(tree, first, count) != [leaf_hash(line) for line in one.lines]:
                    one.error = LedgerError(
                        f"idempotency key {one.key!r}: expected the entries it was first used with "
                        f"({count} from index {first} on), got others; use a new key for new "
                        "entries"
                    )
                    continue
            batch.places.append((one, first))
        return batch

    def answer(self, note: str, size: int) -> None:
        """Tell each caller its place, once all of it is published."""
        for one, first in self.places:
            one.answer = Appended(first, len(one.lines), note, size)

    def _leaves(self, tree: Tree, first: int, count: int) -> list[bytes]:
        """Leaf hashes of entries that the log has, or that this batch brings."""
        return [
            tree.leaf(index) if index < tree.size else leaf_hash(self.lines[index - tree.size])
            for index in range(first, first + count)
        ]
