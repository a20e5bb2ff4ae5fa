"""The log: one writer, many readers. What each append promises, and to whom.

How the steps of an append are made durable is in `writer`, how callers share one in `turns`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.durable import lock_file
from ledger.errors import LedgerError, LogDamaged, LogUnavailable, ProofError
from ledger.folder import Folder, read_entries
from ledger.note import NoteSigner
from ledger.stores import open_store
from ledger.tiles import MAX_ENTRY_BYTES, WIDTH
from ledger.tree import leaf_hash
from ledger.turns import Appended, Assembled, Turns, Waiting
from ledger.writer import Writer

MAX_KEY_CHARS = 200


class Log:
    """An open log. Appends take turns; everything else may run beside them.

    Args:
        writer: what changes the log.
    """

    def __init__(self, *, writer: Writer) -> None:
        self._writer = writer
        self._writing = threading.Lock()
        self._turns = Turns(self._run)
        self._resources = ExitStack()
        self._closed = False

    @classmethod
    def open(
        cls,
        *,
        folder: Path,
        database: Path | str,
        last_signed: Path,
        signer: NoteSigner,
        on_step: Callable[[str], None] | None = None,
    ) -> Log:
        """Open the log, made if absent; when this returns, the folder equals the database.

        Args:
            folder: what is published; made if absent, made again if it was moved away.
            database: SQLite file, and `<database>.lock` beside it holds off other writers; or the
                URL of a PostgreSQL database (`ledger.store_postgres`).
            last_signed: file of the last-signed record. Keep it outside `folder`, and outside the
                backup that `database` is in: it is what tells a restored backup from the truth.
            signer: the log's key.
            on_step: for tests.

        Raises:
            LogUnavailable: another process writes to it, or a file cannot be written.
            LogDamaged: database, record and folder do not tell one story.
        """
        told = on_step if on_step is not None else _no_step
        with ExitStack() as stack, _disk("opening"):
            last_signed.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(database, Path):  # a server's database has a lock of its own
                database.parent.mkdir(parents=True, exist_ok=True)
                stack.callback(os.close, lock_file(database.with_name(f"{database.name}.lock")))
            store = open_store(database)
            stack.callback(store.close)
            writer = Writer(
                store=store,
                folder=Folder(folder, told),
                last_signed=last_signed,
                signer=signer,
                on_step=told,
            )
            writer.settle()
            log = cls(writer=writer)
            log._resources = stack.pop_all()
        return log

    def append(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> Appended:
        """Add entries, all or none; when this returns they are durable, signed and published.

        Appends of several threads that wait for each other share one transaction and checkpoint.

        Args:
            entries: at least one; each a line of UTF-8 without newline, at most 65,535 bytes.
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
        return self._turns.take(Waiting(lines, idempotency_key))

    def add_cosignatures(self, size: int, lines: Sequence[str]) -> str | None:
        """Publish the newest checkpoint with these cosignatures; durable when this returns.

        Args:
            size: of the checkpoint that they are for.
            lines: signature lines of a note, each with its newline. Who made them, and whether they
                hold, is for the caller to check.

        Returns:
            The checkpoint with all that came for it; None if the log has grown since.

        Raises:
            LedgerError: no signature lines, or too many of them; and as `append`.
        """
        with self._writing, _disk("cosigning"):
            self._require_open()
            return self._writer.cosign(size, lines)

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
        head = self._writer.head
        if not 0 <= start <= stop <= head.size:
            raise LedgerError(f"entries: expected a range up to {self.size}, got {start} to {stop}")
        self._require_open()
        in_memory = head.size - len(head.tail)
        found: list[bytes] = []
        if start < in_memory:
            found = self._read(start, min(stop, in_memory))
        return found + list(head.tail[max(0, start - in_memory) : max(0, stop - in_memory)])

    def _read(self, start: int, stop: int) -> list[bytes]:
        """Entries of full bundles, from the folder."""
        folder = self._writer.folder.path
        try:
            with _disk("reading"):
                found = list(read_entries(folder, -(-stop // WIDTH) * WIDTH, start))
        except ProofError as error:
            raise _changed(folder, str(error)) from error
        for index, line in enumerate(found[: stop - start], start):
            if leaf_hash(line) != self._writer.tree.leaf(index):
                raise _changed(folder, f"entry {index} is another")
        return found[: stop - start]

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

    def _run(self, waiting: Sequence[Waiting]) -> None:
        """Append what several callers brought, in one batch; each gets its own answer."""
        with self._writing, _disk("appending"):
            self._require_open()
            writer = self._writer
            writer.settle()
            batch = Assembled.of(waiting, tree=writer.tree, find=writer.store.find_many)
            if batch.lines:
                writer.append(batch.lines, batch.keys)
            batch.answer(writer.head.note, writer.head.size)

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailable("log: expected it to be open, but it was closed; open it again")

    def _require_published(self, size: int) -> None:
        if size > self.size:
            raise LedgerError(f"proof: expected a size up to {self.size}, got {size}")


def _changed(folder: Path, what: str) -> LogDamaged:
    return LogDamaged(
        f"{folder}: {what}: it was changed while the log ran; stop the log, keep the folder as "
        "evidence, move it away and start again: it is published anew from the database"
    )


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
