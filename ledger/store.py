"""The port to a log's database, and what goes through it.

Two adapters stand behind it, `ledger.store_sqlite` and `ledger.store_postgres`, and one class of
tests that both must pass; `ledger.stores.open_store` chooses. The database holds the entries, the
idempotency keys and one head: the newest signed checkpoint with the tree's frontier.

One thread at a time: the log's lock sees to it. Between processes the adapter sees to it: SQLite by
the head's size, which every append compares and moves; PostgreSQL by that and an advisory lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.errors import LedgerError
from ledger.tree import HASH_BYTES

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction adds: the appends of everyone who waited for it.

    Attributes:
        first_index: the size before it, which is the index of its first entry.
        lines: the entries.
        keys: idempotency keys, each with the index of its first entry and their number.
        size: of the signed checkpoint, the size after it.
        frontier: the hashes of the complete subtrees of the tree of `size`, largest first, 32 bytes
            each.
        note: the signed checkpoint.

    Raises:
        LedgerError: the sizes and lengths contradict each other.
    """

    first_index: int
    lines: Sequence[bytes]
    keys: Sequence[tuple[str, int, int]]
    size: int
    frontier: bytes
    note: str

    def __post_init__(self) -> None:
        if self.first_index < 0 or self.size != self.first_index + len(self.lines):
            raise LedgerError(
                f"batch: expected size {self.first_index + len(self.lines)} after "
                f"{len(self.lines)} entries from {self.first_index} on, got {self.size}"
            )
        if len(self.frontier) != HASH_BYTES * self.size.bit_count():
            raise LedgerError(
                f"batch: expected a frontier of {self.size.bit_count()} hashes for size "
                f"{self.size}, got {len(self.frontier)} bytes"
            )


@dataclass(frozen=True, slots=True)
class StoredHead:
    """The newest signed checkpoint: its size, the frontier of its tree, the note."""

    size: int
    frontier: bytes
    note: str


class Store(Protocol):
    """One open database; everything that returned is durable."""

    def append(self, batch: Batch) -> None:
        """Entries, keys, frontier and signed checkpoint in one transaction.

        All of it is durable when this returns. When it has raised, the batch is there whole or not
        at all, and only reading tells which.

        Raises:
            LogUnavailable: disk full, locked, connection lost; read to know, then try again.
            LogDamaged: the head is not of `first_index`, or a position or key is taken: somebody
                else wrote. Nothing was added.
        """

    def lines(self, start: int) -> Iterator[bytes]:
        """The entries from position `start` on, read in batches.

        Raises:
            LogUnavailable: it cannot be read now.
            LogDamaged: a position is missing.
        """

    def head(self) -> StoredHead | None:
        """The newest head, the only one that is kept; None in a new database.

        Raises:
            LogUnavailable, LogDamaged: as `lines`.
        """

    def find(self, key: str) -> tuple[int, int] | None:
        """First index and number of the entries that were appended under an idempotency key.

        Raises:
            LogUnavailable, LogDamaged: as `lines`.
        """

    def find_many(self, keys: Sequence[str]) -> dict[str, tuple[int, int]]:
        """What `find` says of each of these keys, without those it does not know.

        Raises:
            LogUnavailable, LogDamaged: as `lines`.
        """

    def replace_note(self, size: int, note: str) -> None:
        """The head keeps size and frontier and has this note: cosignatures were added to it.

        Durable when this returns.

        Raises:
            LogUnavailable: as `append`.
            LogDamaged: the head is of another size, or there is none. Nothing was changed.
        """

    def close(self) -> None:
        """Let go of file or connection; nothing is pending. Safe to call again."""
