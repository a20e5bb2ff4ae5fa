"""Collecting the witnesses' cosignatures on the log's heads.

A head is offered to all watching witnesses at once, so that their cosignatures meet on one
checkpoint: when a permit waits for it, else at a pace that leaves governance to its other work. A
cosignature is verified as it comes, published in the folder's checkpoint while its head is the
newest, and counted towards the operator's policy.

Nothing here holds the journal's lock: the log goes on while somebody waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from ledger.checkpoint import open_checkpoint
from ledger.cosignature import parse_cosignatures
from ledger.errors import LedgerError, NoteError
from ledger.note import MAX_SIGNATURES, NoteVerifier, add_signatures, only_by
from ledger.tlogpolicy import NONE, Policy
from ledger.witness import AddCheckpoint
from server.errors import BadInput, SpaceError, TooMany, Unavailable
from server.heads import Heads

MAX_WITNESSES: Final = 256
MAX_LEFT: Final = 4096
WAIT_S: Final = 5.0
"""How long a permit waits for its quorum."""

PACE_S: Final = 0.25
_PACE_A_WITNESS_S: Final = 0.01
_AGAIN_S: Final = 0.5  # a head without its quorum is followed by a newer one after this
_GATHER_S: Final = 0.1  # cosignatures that come together are published together
_KEPT: Final = 64
_LOGGER = logging.getLogger(__name__)


class CosignedLog(Protocol):
    """What is needed of `ledger.log.Log`; errors and durability are stated there."""

    @property
    def size(self) -> int: ...

    def checkpoint(self) -> str: ...

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]: ...

    def add_cosignatures(self, size: int, lines: list[str]) -> str | None: ...


@dataclass(slots=True)
class Offered:
    """A head that witnesses were asked to cosign, with what came of it."""

    size: int
    note: str
    since: float
    lines: dict[NoteVerifier, str] = field(default_factory=dict)
    unpublished_since: float | None = None


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint with the cosignatures that a policy asks for."""

    size: int
    checkpoint: str


class Cosigning:
    """The heads offered, and who cosigned them. Safe to share between threads.

    Its thread starts with the first witness or permit, and ends with `close`.

    Args:
        log: the space's log.
        verifier: the log's key.
        policy: reads the operator's, what a permit's checkpoint must carry; asked for each permit,
            so that it may change while governance runs.
        wait_s: how long `witnessed` waits.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        log: CosignedLog,
        verifier: NoteVerifier,
        policy: Callable[[], Policy] = Policy,
        wait_s: float = WAIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._verifier = verifier
        self._read_policy = policy
        self._policy = Policy()
        self._wait_s = wait_s
        self._clock = clock
        self._changed = threading.Condition()
        self._offered: deque[Offered] = deque(maxlen=_KEPT)
        self._watchers: dict[str, Heads[Offered]] = {}
        self._left: dict[str, float] = {}  # when who watched once was last there
        self._needed: list[int] = []  # sizes that permits wait for
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def required(self) -> bool:
        """Whether a permit has to wait for cosignatures; also where that cannot be known."""
        try:
            self._policy = self._read_policy()
        except SpaceError:  # `witnessed` says so
            return True
        return self._policy.quorum != NONE

    def watching(self) -> frozenset[str]:
        """The witnesses that watch now: nodes do as long as they run."""
        with self._changed:
            return frozenset(self._watchers)

    def away_s(self) -> dict[str, float]:
        """Seconds since each witness was there that watched and does no longer; the newest
        `MAX_LEFT`, and nothing of the time before this process started."""
        with self._changed:
            now = self._clock()
            return {name: now - left for name, left in self._left.items()}

    def watch(self, name: str, *, size: int) -> Heads[Offered]:
        """The heads for one witness, the newest first; it takes the place of an earlier watcher of
        that name.

        Args:
            size: of the last checkpoint that it says it saw.

        Raises:
            TooMany: `MAX_WITNESSES` watch already, or the service is stopping.
        """
        if size > self._log.size:
            _LOGGER.critical(
                "witness %s saw a checkpoint of %d entries, this log holds %d: it was put back to "
                "an older state; restore the newest database",
                name,
                size,
                self._log.size,
            )
        heads: Heads[Offered] = Heads(lambda: self._forget(name, heads))
        with self._changed:
            before = self._watchers.pop(name, None)
            if self._closed or len(self._watchers) >= MAX_WITNESSES:
                raise TooMany(f"witnesses: expected at most {MAX_WITNESSES}; try later")
            self._watchers[name] = heads
            self._left.pop(name, None)
            self._start()
        if before is not None:
            before.close()
        heads.put(self._current())
        return heads

    def request(self, old_size: int, offered: Offered) -> AddCheckpoint:
        """What to ask a witness that knows `old_size`.

        Raises:
            LedgerError: the log cannot give the proof.
        """
        grown = 0 < old_size < offered.size
        proof = self._log.consistency_proof(old_size, offered.size) if grown else ()
        return AddCheckpoint(old_size, proof, offered.note)

    def take(self, witness: NoteVerifier, size: int, data: bytes) -> bool:
        """Verify and keep a witness's cosignature; False where its head is forgotten already.

        Args:
            data: signature lines (C2SP tlog-witness).

        Raises:
            BadInput: malformed, or not this witness's over that head.
        """
        offered = self._find(size)
        if offered is None:
            return False
        try:
            line = parse_cosignatures(data, offered.note, [witness])[0]
        except NoteError as error:
            raise BadInput(f"cosignature of {witness.name}: {error}") from error
        with self._changed:
            if witness not in offered.lines:
                offered.lines[witness] = line.text
                offered.unpublished_since = offered.unpublished_since or self._clock()
                self._changed.notify_all()
        return True

    def witnessed(self, index: int) -> Witnessed:
        """A head over entry `index` that carries what the policy asks for; waits for it.

        Raises:
            Unavailable: not in time, or the policy cannot be read; asking again is safe.
        """
        try:
            self._policy = self._read_policy()
        except SpaceError as error:
            raise Unavailable(f"permit: {error}; mend the witness policy and ask again") from error
        end = self._clock() + self._wait_s
        with self._changed:
            self._start()
            self._needed.append(index + 1)
            self._changed.notify_all()
            try:
                while not self._closed:
                    for offered in self._offered:
                        if offered.size > index and self._satisfied(offered):
                            return self._with_lines(offered)
                    left_s = end - self._clock()
                    if left_s <= 0:
                        break
                    self._changed.wait(left_s)
                raise Unavailable(self._missing(index))
            finally:
                self._needed.remove(index + 1)

    def close(self) -> None:
        """End all watchers and the thread; safe to call again."""
        with self._changed:
            self._closed = True
            watchers = list(self._watchers.values())
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        for heads in watchers:
            heads.close()
        if thread is not None:
            thread.join()

    # -- the thread --------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="cosigning", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._due_s() <= 0, self._pause_s())
                if self._closed:
                    return
                offer = self._offer_due_s() <= 0
                publish = self._publish_due_s() <= 0
            if publish:
                self._publish()
            if offer:
                self._offer()

    def _pause_s(self) -> float:
        return max(0.01, min(self._due_s(), PACE_S))

    def _due_s(self) -> float:
        return min(self._offer_due_s(), self._publish_due_s())

    def _offer_due_s(self) -> float:
        """Seconds until a new head is to be offered; endless while there is none."""
        last = self._offered[-1] if self._offered else None
        size = self._log.size
        if last is not None and size <= last.size:
            return float("inf")
        needed = max(self._needed, default=0)
        if last is None or last.size < needed:
            return 0.0 if self._watchers or needed else float("inf")
        pace_s = max(PACE_S, _PACE_A_WITNESS_S * len(self._watchers))
        if self._needed and not self._satisfied(last):
            pace_s = _AGAIN_S
        return last.since + pace_s - self._clock()

    def _publish_due_s(self) -> float:
        last = self._offered[-1] if self._offered else None
        if last is None or last.unpublished_since is None:
            return float("inf")
        return last.unpublished_since + _GATHER_S - self._clock()

    def _offer(self) -> None:
        offered = self._current()
        with self._changed:
            watchers = list(self._watchers.values())
        for heads in watchers:
            heads.put(offered)

    def _publish(self) -> None:
        with self._changed:
            last = self._offered[-1]
            last.unpublished_since = None
            lines = self._ordered(last)
        try:
            self._log.add_cosignatures(last.size, lines)
        except LedgerError as error:
            _LOGGER.warning("cosignatures on size %d were not published: %s", last.size, error)

    # -- heads -------------------------------------------------------------------------------

    def _current(self) -> Offered:
        """The log's head, kept among those offered."""
        note = self._log.checkpoint()
        size = open_checkpoint(note, self._verifier).size
        with self._changed:
            for offered in self._offered:
                if offered.size == size:
                    return offered
            fresh = Offered(size, only_by(note, self._verifier), self._clock())
            if not self._offered or size > self._offered[-1].size:
                self._offered.append(fresh)
            return fresh

    def _find(self, size: int) -> Offered | None:
        with self._changed:
            return next((one for one in self._offered if one.size == size), None)

    def _satisfied(self, offered: Offered) -> bool:
        return self._policy.satisfied(offered.lines.keys())

    def _ordered(self, offered: Offered) -> list[str]:
        """The lines, those of the policy's witnesses first, as many as a note can carry."""
        known = set(self._policy.keys)
        lines = sorted(offered.lines.items(), key=lambda item: item[0] not in known)
        return [line for _, line in lines][: MAX_SIGNATURES - 1]

    def _with_lines(self, offered: Offered) -> Witnessed:
        lines = [offered.lines[key] for key in self._policy.keys if key in offered.lines]
        return Witnessed(offered.size, add_signatures(offered.note, lines))

    def _missing(self, index: int) -> str:
        there: set[NoteVerifier] = set()
        for offered in self._offered:
            if offered.size > index:
                there |= offered.lines.keys()
        absent = [one.name for one in self._policy.witnesses if one.verifier not in there]
        return (
            f"permit: expected the quorum {self._policy.quorum!r} of the operator's witness policy "
            f"over entry {index} within {self._wait_s:g} s, got no cosignature of "
            f"{', '.join(absent)[:500] or 'one head by enough witnesses'}; the permit is logged "
            "and not signed: send the same request again once these witnesses run"
        )

    def _forget(self, name: str, heads: Heads[Offered]) -> None:
        with self._changed:
            if self._watchers.get(name) is heads:
                del self._watchers[name]
                self._left[name] = self._clock()
                if len(self._left) > MAX_LEFT:
                    del self._left[next(iter(self._left))]
