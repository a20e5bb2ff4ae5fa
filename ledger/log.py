"""The log: one writer, many readers. What each append promises, and to whom; how is in `writer`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.durable import lock_file
from ledger.errors import LedgerError, LogDamaged, LogUnavailable
from ledger.folder import MAX_ENTRY_BYTES, Folder
from ledger.note import NoteSigner
from ledger.store import Store
from ledger.tree import leaf_hash
from ledger.writer import Writer

MAX_KEY_CHARS = 200


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


class Log:
    """An open log. Appends take turns; everything else may run beside them.

    Args:
        writer: what changes the log.
    """

    def __init__(self, *, writer: Writer) -> None:
        self._writer = writer
        self._writing = threading.Lock()
        self._resources = ExitStack()
        self._closed = False

    @classmethod
    def open(
        cls,
        *,
        folder: Path,
        database: Path,
        last_signed: Path,
        signer: NoteSigner,
        on_step: Callable[[str], None] | None = None,
    ) -> Log:
        """Open the log, made if absent; when this returns, the folder equals the database.

        Args:
            folder: what is published; made if absent, made again if it was moved away.
            database: SQLite file; `<database>.lock` beside it holds off other writers.
            last_signed: file of the last-signed record. Keep it outside `folder`, and outside the
                backup that `database` is in: it is what tells a restored backup from the truth.
            signer: the log's key.
            on_step: for tests.

        Raises:
            LogUnavailable: another process writes to it, or a file cannot be written.
            LogDamaged: database, record and folder do not tell one story.
        """
        with ExitStack() as stack, _disk("opening"):
            for parent in (database.parent, last_signed.parent):
                parent.mkdir(parents=True, exist_ok=True)
            stack.callback(os.close, lock_file(database.with_name(f"{database.name}.lock")))
            store = Store.open(database)
            stack.callback(store.close)
            published = Folder(folder)
            stack.callback(published.close)
            writer = Writer(
                store=store,
                folder=published,
                last_signed=last_signed,
                signer=signer,
                on_step=on_step if on_step is not None else _no_step,
            )
            writer.settle()
            log = cls(writer=writer)
            log._resources = stack.pop_all()
        return log

    def append(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> Appended:
        """Add entries, all or none; when this returns they are durable, signed and published.

        Args:
            entries: at least one; each a line of UTF-8 without newline, at most 1 MiB.
            idempotency_key: at most 200 characters; the same key with the same entries appends
                nothing and returns their first index with the current checkpoint.

        Raises:
            LedgerError: an entry or key that the log cannot take, or a key used for other entries.
            LogUnavailable: not published. The entries are in the log whole or not at all; appending
                again with the same key settles it.
            LogDamaged: something else wrote to the database, the folder or the record.
        """
        lines = [_checked_entry(entry) for entry in entries]
        if not lines:
            raise LedgerError("append: expected at least one entry, got none")
        if idempotency_key is not None:
            _check_key(idempotency_key)
        with self._writing, _disk("appending"):
            self._require_open()
            writer = self._writer
            writer.settle()
            if idempotency_key is not None:
                found = writer.store.find(idempotency_key)
                if found is not None:
                    return self._same_again(idempotency_key, found, lines)
            first_index = writer.tree.size
            writer.append(lines, idempotency_key)
            return Appended(first_index, len(lines), writer.head.note, writer.head.size)

    @property
    def size(self) -> int:
        """Number of published entries."""
        return self._writer.head.size

    def checkpoint(self) -> str:
        """The newest published checkpoint, a signed note."""
        return self._writer.head.note

    def entry(self, index: int) -> bytes:
        """One published entry; errors as `entries`."""
        return self.entries(index, index + 1)[0]

    def entries(self, start: int, stop: int) -> list[bytes]:
        """The published entries from `start` to before `stop`, as they were appended.

        Raises:
            LedgerError: not `0 <= start <= stop <= size`.
            LogUnavailable: closed, or the file cannot be read.
            LogDamaged: the folder's file was changed while the log ran.
        """
        if not 0 <= start <= stop <= self._writer.head.size:
            raise LedgerError(f"entries: expected a range up to {self.size}, got {start} to {stop}")
        self._require_open()
        ends = self._writer.ends[start : stop + 1]
        with _disk("reading"):
            data = self._writer.folder.entries.read(ends[0], ends[-1])
        found = [data[left - ends[0] : right - ends[0] - 1] for left, right in pairwise(ends)]
        path = self._writer.folder.entries.path
        for index, line in enumerate(found, start):
            if leaf_hash(line) != self._writer.tree.leaf(index):
                raise LogDamaged(
                    f"{path}: entry {index} (line {index + 1}) was changed while "
                    "the log ran; stop the log, keep the folder as evidence, move it away "
                    "and start again: it is published anew from the database"
                )
        return found

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """The proof that entry `index` is in the tree of `size`; LedgerError beyond `self.size`."""
        self._require_published(size)
        return self._writer.tree.inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that tree `new` begins with tree `old`; LedgerError beyond `self.size`."""
        self._require_published(new)
        return self._writer.tree.consistency_proof(old, new)

    def close(self) -> None:
        """Wait for a running append, then let go of files and lock. Safe to call again."""
        with self._writing:
            self._closed = True
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _same_again(self, key: str, found: tuple[int, int], lines: Sequence[bytes]) -> Appended:
        first_index, count = found
        old = [self._writer.tree.leaf(first_index + n) for n in range(count)]
        if old != [leaf_hash(line) for line in lines]:
            raise LedgerError(
                f"idempotency key {key!r}: expected the entries it was first used with "
                f"({count} from index {first_index} on), got others; use a new key for new entries"
            )
        return Appended(first_index, count, self._writer.head.note, self._writer.head.size)

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailable("log: expected it to be open, but it was closed; open it again")

    def _require_published(self, size: int) -> None:
        if size > self.size:
            raise LedgerError(f"proof: expected a size up to {self.size}, got {size}")


@contextmanager
def _disk(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogUnavailable(
            f"log: {doing} failed: {error}; free the disk or mend its permissions and try again, "
            "with the same idempotency key if there was one"
        ) from error


def _checked_entry(entry: bytes) -> bytes:
    if type(entry) is not bytes or not 0 < len(entry) <= MAX_ENTRY_BYTES:
        got = f"{len(entry)} bytes" if type(entry) is bytes else type(entry).__name__
        raise LedgerError(f"entry: expected 1 to {MAX_ENTRY_BYTES} bytes, got {got}")
    if b"\n" in entry:
        raise LedgerError(f"entry: expected one line, got a newline at {entry.index(10)}")
    try:
        entry.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LedgerError(f"entry: expected UTF-8, got another byte at {error.start}") from error
    return entry


def _check_key(key: str) -> None:
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable():
        raise LedgerError(
            f"idempotency key: expected 1 to {MAX_KEY_CHARS} printable characters, got {key!r:.80}"
        )


def _no_step(_name: str) -> None:
    """Nobody watches the steps."""
