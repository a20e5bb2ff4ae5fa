"""A copy of a log that is read over the network, which grows with the log.

    1. the checkpoint, signed as the auditor asks
    2. it is of a log that only grew since the copy's own: never smaller, never another root
    3. the tiles that the copy lacks; what an interrupted run has brought is not fetched again
    4. all of it is verified, the copy's own checkpoint counted among those that somebody saw
    5. only then the new checkpoint takes the place of the old one

Where 2 or 4 fails, both signed heads are kept in `evidence/`: two heads that contradict each other
convict the log, whoever holds them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from auditors.errors import AuditInputError, IntegrityBroken, TileMissing
from auditors.fetch import Source
from auditors.growth import Progress
from auditors.tilefolder import read_file
from auditors.trust import Head, Trust, open_head
from auditors.verify import Verified, verify_folder
from ledger.durable import place_file, replace_file
from ledger.errors import ProofError
from ledger.folder import CHECKPOINT, NEW
from ledger.note import MAX_NOTE_BYTES
from ledger.tiles import (
    ENTRIES,
    WIDTH,
    Tile,
    levels_of,
    new_tiles,
    parse_bundle,
    partial_tiles,
)
from ledger.tree import HASH_BYTES

EVIDENCE: Final = "evidence"
AT_ONCE: Final = 4
_ROUND: Final = 256
"""Tiles that are asked for before the next ones."""


def mirror(
    source: Source,
    folder: Path,
    *,
    trust: Trust,
    seen: Sequence[str] = (),
    fetching: Progress | None = None,
    verifying: Progress | None = None,
) -> Verified:
    """Bring a copy up to the log, and verify it; when this returns, the folder holds what it says.

    Args:
        folder: the copy; made if absent. Whatever happens here, its checkpoint covers what it did.
        trust: whose signatures are believed.
        seen: heads that others saw.
        fetching, verifying: called with tiles, and with entries, done and in all.

    Raises:
        LogUnreachable: no answer; what came is kept, and the next call goes on from there.
        IntegrityBroken: what the log serves is not what it signed, or contradicts the copy.
        AuditInputError: the folder is none, or cannot be written.
    """
    note = source.checkpoint()
    place = f"{source.url}/{CHECKPOINT}"
    head = open_head(note, place, trust)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        own = own_head(folder, trust)
        with evidence(folder, own, note):
            require_growth(own.head if own else None, head)
            fetch_tiles(source, folder, own.size if own else 0, head.checkpoint.size, fetching)
            known = [*seen, *([own.note] if own else [])]
            verified = verify_folder(
                folder,
                trust=trust,
                seen=known,
                progress=verifying,
                note=note,
            )
        keep_head(folder, note)
        drop_partial(folder, own.size if own else 0, head.checkpoint.size)
    return verified


@dataclass(frozen=True, slots=True)
class Own:
    """The head that a copy, or a monitor, holds."""

    head: Head
    note: str

    @property
    def size(self) -> int:
        """How many entries it is of."""
        return self.head.checkpoint.size


def own_head(folder: Path, trust: Trust) -> Own | None:
    """The copy's own head; None if it has none yet; errors as `auditors.verify`."""
    if not (folder / CHECKPOINT).exists():
        return None
    note = read_file(folder, CHECKPOINT, MAX_NOTE_BYTES)
    head = open_head(note, str(folder / CHECKPOINT), trust)
    return Own(head, note.decode("utf-8"))


def keep_head(folder: Path, note: bytes) -> None:
    """The new head takes the place of the old one, durably."""
    replace_file(folder / CHECKPOINT, note, fresh=folder / NEW)


def require_growth(own: Head | None, came: Head) -> None:
    """A log never gets smaller, and has one root a size.

    Raises:
        IntegrityBroken: it did, or has not.
    """
    if own is None:
        return
    old, new = own.checkpoint, came.checkpoint
    if old.origin != new.origin:
        raise AuditInputError(
            f"{came.place}: expected a head of {old.origin}, got one of {new.origin}; keep each "
            "log in a folder of its own"
        )
    if new.size < old.size:
        raise IntegrityBroken(
            came.place,
            f"a head of at least {old.size} entries, as was signed before",
            f"one of {new.size}: the log was rolled back, or somebody serves an old copy",
            f"both heads are kept in {EVIDENCE}/",
        )
    if new.size == old.size and new.root != old.root:
        raise IntegrityBroken(
            came.place,
            f"root {old.root.hex()} for {old.size} entries, as was signed before",
            f"{new.root.hex()}: the log signed two histories",
            f"both heads are kept in {EVIDENCE}/",
        )


@contextmanager
def evidence(folder: Path, own: Own | None, note: bytes) -> Iterator[None]:
    """Keeps both heads in the folder if the log is found broken, and not only incomplete."""
    try:
        yield
    except TileMissing:
        raise
    except IntegrityBroken:
        kept = folder / EVIDENCE
        kept.mkdir(exist_ok=True)
        for one in ([own.note.encode("utf-8")] if own else []) + [note]:
            _, size, root = one.decode("utf-8").split("\n")[:3]
            name = "".join(char if char.isalnum() else "-" for char in root[:12])
            replace_file(kept / f"checkpoint-{size}-{name}", one)
        raise


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Nobody else writes to a copy, or to a monitor's state, meanwhile.

    Raises:
        AuditInputError: somebody does, or the folder cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AuditInputError(
                f"{folder}: expected to be its only user, but another process is at work there; "
                "wait for it, or use another folder"
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that refuses is nothing the log did."""
    try:
        yield
    except OSError as error:
        raise AuditInputError(
            f"{folder}: expected to write the copy there, got: {error}; free the disk, or choose "
            "another folder"
        ) from error


def fetch_tiles(
    source: Source, folder: Path, old: int, size: int, progress: Progress | None = None
) -> None:
    """The folder has every tile of a log of this size, well-formed but unverified.

    Args:
        old: the size of which it has all of them.

    Raises:
        LogUnreachable: no answer.
        IntegrityBroken: the log has no such tile, or it is none.
    """
    wanted, done, total = new_tiles(old, size), 0, _count(old, size)
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mirror")
    try:
        while some := list(islice(wanted, _ROUND)):
            lacking = [tile for tile in some if not _there(folder, tile)]
            for tile, data in pool.map(lambda tile: _fetched(source, tile), lacking):
                path = folder / tile.path
                path.parent.mkdir(parents=True, exist_ok=True)
                place_file(path, data, fresh=folder / NEW)
            done += len(some)
            if progress is not None:
                progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)


def drop_partial(folder: Path, old: int, size: int) -> None:
    """Remove the partial tiles of `old` that are full now; after the full ones were verified."""
    for tile in partial_tiles(old):
        full = folder / tile.full.path
        if full.exists() and (tile.index + 1) * WIDTH <= size // WIDTH ** max(tile.level, 0):
            shutil.rmtree(full.with_name(f"{full.name}.p"), ignore_errors=True)


def _count(old: int, size: int) -> int:
    """How many `new_tiles` there are; counted without them, for a size is soon signed."""
    total = 0
    for level in (ENTRIES, *range(levels_of(size))):
        span = WIDTH ** max(level, 0)
        before, after = old // span, size // span
        total += -(-after // WIDTH) - before // WIDTH if after > before else 0
    return total


def _there(folder: Path, tile: Tile) -> bool:
    return (folder / tile.path).exists() or (tile.partial and (folder / tile.full.path).exists())


def _fetched(source: Source, tile: Tile) -> tuple[Tile, bytes]:
    """The tile, or the full one where the log went on and has removed it."""
    data = source.tile(tile)
    if data is None and tile.partial:
        tile = tile.full
        data = source.tile(tile)
    place = f"{source.url}/{tile.path}"
    if data is None:
        raise TileMissing(
            place,
            "a tile of the tree that its log signed",
            "404",
            "ask the operator for the whole log, and keep the signed checkpoint",
        )
    if tile.level != ENTRIES:
        if len(data) != HASH_BYTES * tile.width:
            expected = f"a tile of {HASH_BYTES * tile.width} bytes"
            raise IntegrityBroken(place, expected, f"{len(data)} bytes")
        return tile, data
    try:
        parse_bundle(data, tile.width)
    except ProofError as error:
        raise IntegrityBroken(place, f"a bundle of {tile.width} entries", str(error)) from error
    return tile, data
