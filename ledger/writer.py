"""The durable steps of an append, and the way back after a crash.

`Writer` runs them from wherever the last one stopped:

1. committed  one database transaction: entries, idempotency keys, frontier, signed checkpoint.
              Crash before it: nothing happened. Crash after it: the entries are in the log, though
              the caller was not told; nobody has seen the new checkpoint yet.
2. recorded   the last-signed record, kept outside the folder and outside what is backed up.
              Before it no checkpoint leaves the log, so that everything anyone ever saw is at most
              as large as the record. That is why a database that holds less than the record says is
              refused: going on from it would sign a second history.
3. placed     each new tile and bundle of the folder; then `synced`, and partial ones whose full
              one is there are `dropped`. A crash leaves whole tiles that no checkpoint names yet.
4. published  the folder's `checkpoint`, last, so that it never names an entry that is not there.
5. the head in memory moves; only then is the caller told.

On opening, the same steps run over all of the database: recovery is the normal path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from ledger.durable import replace_file
from ledger.errors import LogDamaged, ProofError
from ledger.folder import Folder, Piece, read_note
from ledger.note import NoteSigner, add_signatures
from ledger.store import Batch, Store, StoredHead
from ledger.tiles import ENTRIES, WIDTH, Tile, bundle_bytes, last_tiles, new_tiles
from ledger.tree import Tree, leaf_hash

_LEVELS_A_TILE = WIDTH.bit_length() - 1


@dataclass(frozen=True, slots=True)
class Head:
    """The newest published checkpoint.

    Attributes:
        size: number of entries.
        note: the checkpoint, with the cosignatures that came for it.
        tail: the newest entries, those of the bundle that is not full yet.
    """

    size: int
    note: str
    tail: tuple[bytes, ...] = ()


class Writer:
    """Everything that changes a log; one thread at a time.

    `tree` and `head` may be read by other threads meanwhile, up to `head.size`: what lies below it
    never changes.

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
        self.head = Head(0, "")
        self._tail: list[bytes] = []  # the entries since the last full bundle
        self._published = 0  # up to here the folder's tiles are known to be there
        self._settled = False

    def append(self, lines: Sequence[bytes], keys: Sequence[tuple[str, int, int]]) -> None:
        """Steps 1 to 5 for these entries; `settle` first.

        Args:
            keys: idempotency keys, each with the index and the number of its entries.

        Raises:
            OSError, LogUnavailable: a step failed; `settle` finds out which, and goes on from it.
            LogDamaged: somebody else wrote.
        """
        self._settled = False
        fresh = [*self._tail, *lines]
        start = self.tree.size - len(self._tail)
        leaves = [leaf_hash(line) for line in lines]
        head = self._commit(lines, leaves, keys)
        for leaf in leaves:
            self.tree.append(leaf)
        self._tail = fresh[head.size // WIDTH * WIDTH - start :]
        self._advance(head, iter(fresh))

    def settle(self) -> None:
        """Take over what the database holds, check it against record and folder, finish steps 2-4.

        Does nothing unless the log was just opened, or an append did not reach its end.

        Raises:
            OSError, LogUnavailable: a step failed; call again.
            LogDamaged: database, record and folder do not tell one story.
        """
        if self._settled:
            return
        if self.store.head() is None and next(self.store.lines(0), None) is None:
            self._commit([], [], [])  # a new log: the checkpoint of no entries
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
        if self._published == 0:
            self.folder.check(head.size, self._last_pieces(head.size))
        start = self._published // WIDTH * WIDTH
        self._advance(head, self.store.lines(start))

    def cosign(self, size: int, lines: Sequence[str]) -> str | None:
        """Add cosignatures to the newest checkpoint, in the database and in the folder.

        Args:
            size: of the checkpoint that they are for.
            lines: signature lines, each with its newline; verified by the caller.

        Returns:
            The checkpoint with them; None if the log has grown since.

        Raises:
            LedgerError: no signature lines, or too many.
            OSError, LogUnavailable, LogDamaged: as `append`.
        """
        self.settle()
        if size != self.head.size:
            return None
        note = add_signatures(self.head.note, lines)
        if note != self.head.note:
            self._settled = False
            self.store.replace_note(size, note)
            # A crash here leaves the database with more cosignatures: `settle` publishes them.
            self.folder.write_checkpoint(note)
            self.head = replace(self.head, note=note)
            self._settled = True
        return note

    def _commit(
        self, lines: Sequence[bytes], leaves: Sequence[bytes], keys: Sequence[tuple[str, int, int]]
    ) -> StoredHead:
        # Signed before it is durable, but it leaves the database only after step 2.
        first, size = self.tree.size, self.tree.size + len(lines)
        root, frontier = self.tree.ahead(leaves)
        note = sign_checkpoint(Checkpoint(self._signer.name, size, root), self._signer)
        self._on_step("signed")
        self.store.append(
            Batch(
                first_index=first, lines=lines, keys=keys, size=size, frontier=frontier, note=note
            )
        )
        self._on_step("committed")
        return StoredHead(size, frontier, note)

    def _load(self) -> StoredHead:
        """Bring the tree up to the database, and check it against the newest signed checkpoint."""
        for line in self.store.lines(self.tree.size):
            self.tree.append(leaf_hash(line))
            self._tail.append(line)
            if len(self._tail) == WIDTH:
                self._tail = []
        head = self.store.head() or StoredHead(-1, b"", "")
        checkpoint = self._check(head.note, what="newest checkpoint of the database")
        if not head.size == checkpoint.size == self.tree.size:
            raise LogDamaged(
                f"database: expected a checkpoint of all its {self.tree.size} entries, got one of "
                f"{checkpoint.size}: keep the file as evidence and restore the newest backup"
            )
        if head.frontier != self.tree.frontier():
            raise LogDamaged(
                f"database: expected the frontier of its {self.tree.size} entries, got another: "
                "keep the file as evidence and restore the newest backup"
            )
        return head

    def _advance(self, head: StoredHead, lines: Iterator[bytes]) -> None:
        """Steps 2 to 5 for a head that the database holds; each step adds only what is missing.

        Args:
            lines: the entries from the last full bundle before `_published` on.
        """
        replace_file(self._last_signed, head.note.encode("utf-8"))
        self._on_step("recorded")
        self.folder.publish(self._pieces(new_tiles(self._published, head.size), lines))
        self._published = head.size
        self.folder.write_checkpoint(head.note)
        self._on_step("published")
        self.head = Head(head.size, head.note, tuple(self._tail))
        self._settled = True

    def _pieces(self, tiles: Iterator[Tile], lines: Iterator[bytes]) -> Iterator[Piece]:
        for tile in tiles:
            if tile.level == ENTRIES:
                yield tile, bundle_bytes(list(islice(lines, tile.width)))
            else:
                yield tile, self._hashes(tile)

    def _last_pieces(self, size: int) -> Iterator[Piece]:
        last = (size - 1) // WIDTH * WIDTH if size else 0
        return self._pieces(last_tiles(size), self.store.lines(last))

    def _hashes(self, tile: Tile) -> bytes:
        start = tile.index * WIDTH
        return self.tree.hashes(_LEVELS_A_TILE * tile.level, start, start + tile.width)

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
