"""Log first, then apply: the one way in which anything governed changes.

An operation checks against the registry, appends its entries to the log, and the log's entries are
then applied to the registry. What a crash leaves behind:

- before the append: nothing happened;
- after the append, before the registry's transaction: the entries stand. The next operation, or the
  next start, applies them first, and a repeated request then finds its own answer.

So nothing is done that the log does not hold, and what the log holds is never forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import chain
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from ledger.errors import LedgerError, LogDamaged, LogUnavailable
from ledger.turns import Appended
from policies.parts import Assembler, log_lines
from server.errors import BadInput, RegistryDamaged, Unavailable
from server.projection import apply
from server.queries import applied
from server.registry import Registry, set_applied

FIRST_KEY: Final = "space-created"
_BATCH: Final = 500
_LOGGER = logging.getLogger(__name__)

Changed = TypeVar("Changed")
Effect = Callable[[Connection, Appended], None]
Listener = Callable[[int, str, bytes], None]


class TransparencyLog(Protocol):
    """What governance needs of `ledger.log.Log`; durability and errors are stated there."""

    def append(
        self, entries: Sequence[bytes], *, idempotency_key: str | None = None
    ) -> Appended: ...

    @property
    def size(self) -> int: ...

    def checkpoint(self) -> str: ...

    def entries(self, start: int, stop: int) -> list[bytes]: ...

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]: ...

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]: ...


class Journal:
    """The log and its projection behind one lock.

    Args:
        log: an open log; nobody else may append to it.
        registry: its projection.
        on_applied: told index, type and bytes of each entry once its effects are durable; it
            runs under the lock.
        appending: what is around each append; told how many entries it has.
    """

    def __init__(
        self,
        *,
        log: TransparencyLog,
        registry: Registry,
        on_applied: Listener | None = None,
        appending: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        self.log = log
        self._registry = registry
        self._on_applied = on_applied
        self._appending = appending
        self._lock = threading.RLock()
        self._settled = True
        self._applied = 0

    def start(self, first: bytes) -> None:
        """Bring the registry up to the log; an empty log begins with `first`.

        Raises:
            Unavailable: the log cannot be written or read.
            RegistryDamaged: the registry is ahead of the log, or an entry cannot be applied.
        """
        with self._lock:
            with self._registry.transaction() as connection:
                self._applied = applied(connection)
            if self._applied > self.log.size:
                raise RegistryDamaged(
                    f"registry: expected at most {self.log.size} applied entries, as the log "
                    f"holds, got {self._applied}; the log is an older copy, restore the newest one"
                )
            if self.log.size == 0:
                self.commit([first], key=FIRST_KEY)
            else:
                self._catch_up()

    def reading(self) -> AbstractContextManager[Connection]:
        """A snapshot of the registry; does not wait for writers."""
        return self._registry.transaction()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone, and with a registry that shows all of the log. Reads inside are the present.

        Raises:
            Unavailable: an append that broke off cannot be settled yet, or the registry not read.
        """
        with self._lock:
            self._settle()
            self._catch_up()
            yield

    def side(self, change: Callable[[Connection], Changed]) -> Changed:
        """Change what the log does not hold (invitations, Flower's run id, signed permits)."""
        with self._lock, self._registry.transaction() as connection:
            return change(connection)

    def overwrite(self) -> None:
        """What was deleted from the registry goes from its write-ahead log with the next change."""
        self._registry.checkpoint()

    def commit(
        self, entries: Sequence[bytes], *, key: str | None = None, beside: Effect | None = None
    ) -> Appended:
        """Log the entries, then apply them; only within `writing`.

        Args:
            entries: all or none.
            key: the log's idempotency key.
            beside: further changes for the registry's transaction, once the entries are durable.

        Returns:
            What the log did; `first_index` is the place of the first entry, also where that one
            is logged in parts (`policies.parts`).

        Raises:
            Unavailable: the log did not take them, or the registry could not follow; the same
                request may be sent again and is then answered from what the log holds.
        """
        lines = [log_lines(entry) for entry in entries]
        self._settled = False
        try:
            with self._appending(len(entries)):
                appended = self.log.append(list(chain.from_iterable(lines)), idempotency_key=key)
        except (LogUnavailable, LogDamaged) as error:
            raise Unavailable(f"nothing was decided: {error}") from error
        except LedgerError as error:
            self._settled = True
            raise BadInput(str(error)) from error
        self._settled = True
        # A crash here leaves entries that are not applied yet: `_catch_up` does it at the start.
        self._catch_up(lambda connection: beside(connection, appended) if beside else None)
        return replace(appended, first_index=appended.first_index + len(lines[0]) - 1)

    def _settle(self) -> None:
        """Learn whether an append that failed is in the log after all.

        Otherwise a later append would carry it in unseen: decided on without its effects, a limit
        of two uses could serve three. Appending the first entry once more under its key adds
        nothing, but makes the log finish what it began.
        """
        if self._settled:
            return
        try:
            if self.log.size > 0:
                self.log.append(self.log.entries(0, 1), idempotency_key=FIRST_KEY)
        except LedgerError as error:
            raise Unavailable(f"nothing was decided: {error}") from error
        self._settled = True

    def _catch_up(self, beside: Callable[[Connection], None] | None = None) -> None:
        while self._applied < self.log.size:
            start, stop = self._applied, min(self.log.size, self._applied + _BATCH)
            try:
                lines = self.log.entries(start, stop)
            except LedgerError as error:
                raise Unavailable(f"the log cannot be read: {error}") from error
            assembler = Assembler()
            entries = [
                one for n, line in enumerate(lines, start) for one in assembler.take(n, line)
            ]
            stop -= assembler.pending  # parts whose last line is in the next batch, with them
            with self._registry.transaction() as connection:
                kinds = [apply(connection, index, data) for index, data in entries]
                set_applied(connection, stop)
                if beside is not None and stop == self.log.size:
                    beside(connection)
            self._applied = stop
            _LOGGER.debug("applied entries %d to %d", start, stop - 1)
            if self._on_applied is not None:
                for kind, (index, data) in zip(kinds, entries, strict=True):
                    self._on_applied(index, kind, data)
