"""The five durable steps of an append, and the way back after a crash.

`Writer.advance` runs them from wherever the last one stopped:

1. committed  one database transaction: entries, idempotency key, signed checkpoint.
              Crash before it: nothing happened. Crash after it: the entries are in the log, though
              the caller was not told; nobody has seen the new checkpoint yet.
2. recorded   the last-signed record, kept outside the folder and outside what is backed up.
              Before it no checkpoint leaves the log, so that everything anyone ever saw is at most
              as large as the record. That is why a database that holds less than the record says is
              refused: going on from it would sign a second history.
3. entries, leaves, history
              the folder's growing files. A crash leaves complete lines and at most one torn end.
4. published  the folder's `checkpoint`, last, so that it never names an entry that is not there.
5. the head in memory moves; only then is the caller told.

On opening, the same steps run over all of the database: recovery is the normal path.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from ledger.durable import replace_file
from ledger.errors import LogDamaged, ProofError
from ledger.folder import Folder, history_line, leaf_line, read_note
from ledger.note import NoteSigner
from ledger.store import Store
from ledger.tree import Tree, leaf_hash


@dataclass(frozen=True, slots=True)
class Head:
    """The newest published checkpoint and its size."""

    size: int
    note: str


class Writer:
    """Everything that changes a log; one thread at a time.

    `tree`, `ends` and `head` may be read by other threads meanwhile, up to `head.size`: what lies
    below it never changes.

    Args:
        store: the database.
        folder: what is published.
        last_signed: file of the last-signed record.
        signer: the log's key; its name is the log's origin.
        on_step: called with a step's name once it is durable; tests crash there.
    """

    def __init__(
        self,
        *,
        store: Store,
        folder: Folder,
        last_signed: Path,
        signer: NoteSigner,
        on_step: Callable[[str], None],
    ) -> None:
        self.store = store
        self.folder = folder
        self._last_signed = last_signed
        self._signer = signer
        self._on_step = on_step
        self.tree = Tree()
        self.ends = array("Q", [0])  # entry n ends before byte ends[n + 1] of entries.jsonl
        self.head = Head(0, "")
        self._history_size = -1  # of the newest checkpoint known to be in the folder's history
        self._settled = False

    def append(self, lines: Sequence[bytes], key: str | None) -> None:
        """Steps 1 to 5 for these entries; `settle` first.

        Raises:
            OSError, LogUnavailable: a step failed; `settle` finds out which, and goes on from it.
            LogDamaged: somebody else wrote.
        """
        self._settled = False
        self._commit(lines, key)
        self._advance(self._load())

    def settle(self) -> None:
        """Take over what the database holds, check it against record and folder, finish steps 2-5.

        Does nothing unless the log was just opened, or an append did not reach its end.

        Raises:
            OSError, LogUnavailable: a step failed; call again.
            LogDamaged: database, record and folder do not tell one story.
        """
        if self._settled:
            return
        if self.store.newest() is None and next(self.store.lines(0), None) is None:
            self._commit([], None)  # a new log: the checkpoint of no entries
        head = self._load()
        record = read_note(self._last_signed)
        if record is None and head.size > 0:
            raise LogDamaged(
                f"last-signed record: expected {self._last_signed}, got no such file: without it "
                "an old backup cannot be told from the newest database. Put the record back; or, "
                "if you know that this database is the newest, copy the folder's newest published "
                "checkpoint there"
            )
        if record is not None:
            self._check(record, what=f"last-signed record {self._last_signed}")
        published = self.folder.read_checkpoint()
        if published is not None:
            self._check(published, what=f"published checkpoint in {self.folder.path}")
        self._advance(head)

    def _commit(self, lines: Sequence[bytes], key: str | None) -> None:
        # Signed before it is durable, but it leaves the database only after step 2.
        size = self.tree.size + len(lines)
        root = self.tree.root_with([leaf_hash(line) for line in lines])
        note = sign_checkpoint(Checkpoint(self._signer.name, size, root), self._signer)
        self._on_step("signed")
        self.store.append(first_index=self.tree.size, lines=lines, key=key, size=size, note=note)
        self._on_step("committed")

    def _load(self) -> Head:
        """Bring the tree up to the database, and check it against the newest signed checkpoint."""
        for line in self.store.lines(self.tree.size):
            self.ends.append(self.ends[-1] + len(line) + 1)
            self.tree.append(leaf_hash(line))
        newest = self.store.newest()
        size, note = newest if newest is not None else (-1, "")
        checkpoint = self._check(note, what="newest checkpoint of the database")
        if not size == checkpoint.size == self.tree.size:
            raise LogDamaged(
                f"database: expected a checkpoint of all its {self.tree.size} entries, got one of "
                f"{checkpoint.size}: keep the file as evidence and restore the newest backup"
            )
        return Head(size, note)

    def _advance(self, head: Head) -> None:
        """Steps 2 to 5 for a head that the database holds; each step adds only what is missing."""
        replace_file(self._last_signed, head.note.encode("utf-8"))
        self._on_step("recorded")
        folder = self.folder
        with folder.changing():
            folder.entries.reconcile(
                line + b"\n" for line in self.store.lines(folder.entries.lines)
            )
            self._on_step("entries")
            folder.leaves.reconcile(
                leaf_line(self.tree.leaf(n)) for n in range(folder.leaves.lines, head.size)
            )
            self._on_step("leaves")
            folder.history.reconcile(
                history_line(size, note) for size, note in self.store.history(self._history_size)
            )
            self._history_size = head.size
            self._on_step("history")
            folder.write_checkpoint(head.note)
        self._on_step("published")
        self.head = head
        self._settled = True

    def _check(self, note: str, *, what: str) -> Checkpoint:
        """The checkpoint in `note`, which must be of this log and of a tree this one begins with.

        Raises:
            LogDamaged: it is not.
        """
        try:
            checkpoint = open_checkpoint(note, self._signer.verifier)
        except ProofError as error:
            raise LogDamaged(
                f"{what}: {error}. If the log's key or name was changed, start with the old ones; "
                "otherwise put back the file that this log wrote"
            ) from error
        if checkpoint.size > self.tree.size:
            raise LogDamaged(
                f"{what}: it covers {checkpoint.size} entries, the database holds "
                f"{self.tree.size}: the database is an old copy, and going on from it would sign "
                "a second history. Restore the newest database; if it is lost, end this log and "
                "begin one under a new name"
            )
        if self.tree.root(checkpoint.size) != checkpoint.root:
            raise LogDamaged(
                f"{what}: expected root {checkpoint.root.hex()} at size {checkpoint.size}, got "
                f"{self.tree.root(checkpoint.size).hex()} from the database: they are two "
                "histories. Keep all files as evidence and restore the database that fits"
            )
        return checkpoint
