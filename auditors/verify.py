"""Verifying a log's folder offline: the folder, the log's public key, and nothing else.

What holds after `verify_folder` has returned: the log's key signed a head over exactly the entries
that stand in the folder; every older head of its history, and every head that somebody else saw, is
a head over a prefix of them. Nothing was changed, cut or reordered since those heads were signed.

What it cannot show: that everything was logged; and, without heads that others saw (`seen`), that
the log did not sign a second history for somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from auditors.errors import AuditInputError, IntegrityBroken
from auditors.snapshot import Snapshot
from ledger.checkpoint import Checkpoint, open_checkpoint
from ledger.errors import KeyRefused, ProofError
from ledger.folder import CHECKPOINT, ENTRIES, HISTORY, LEAVES, parse_history_line
from ledger.note import NoteVerifier
from ledger.tree import Tree, leaf_hash

PROGRESS_EVERY = 4096

_KEEP = "keep this folder as evidence, and ask others for the heads they saw"
_LIVE = (
    "if this copy was made while the log was appending, copy and verify again; otherwise keep it"
)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified.

    Args:
        origin: the log's name.
        size: number of entries.
        root_hex: root over all of them.
        checkpoints: number of signed heads in the folder's history, all of which hold.
    """

    origin: str
    size: int
    root_hex: str
    checkpoints: int


@dataclass(frozen=True, slots=True)
class _Head:
    """A signed head and where it stands."""

    place: str
    checkpoint: Checkpoint


def verify_folder(
    folder: Path,
    *,
    verifier_key: str,
    seen: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Verify a log's folder (`ledger/FORMAT.md`), or a copy of one; see the module for the promise.

    Entries are read as a stream; what is held in memory is two hashes an entry and the heads.

    Args:
        folder: holds `entries.jsonl`, `leaves`, `checkpoints.jsonl`, `checkpoint`.
        verifier_key: the log's public key, `name+hash+base64`, from a source other than the folder.
        seen: checkpoints (signed notes) that nodes, other auditors or earlier runs saw.
        progress: called now and then, and at the end, with entries done and entries in all.

    Raises:
        IntegrityBroken: with the place, what was expected there, and what came.
        AuditInputError: a file cannot be read; the key, or a seen checkpoint, is not this log's.
    """
    # 1. What was handed in.
    verifier, seen_heads = _inputs(verifier_key, seen)
    # 2. The folder as of one moment.
    snapshot = Snapshot.take(folder)
    # 3. The current checkpoint, and every older one.
    current = _current(snapshot, verifier)
    history = _history(snapshot, verifier)
    # 4. Nothing newer was ever signed.
    _check_newest(snapshot, current, history, seen_heads)
    # 5. Every entry, every leaf, every head.
    tree = _check_entries(snapshot, current.checkpoint, history, progress)
    # 6. The heads others saw.
    _check_seen(tree, seen_heads)
    newest = current.checkpoint
    return Verified(newest.origin, newest.size, newest.root.hex(), len(history))


def _inputs(verifier_key: str, seen: Sequence[str]) -> tuple[NoteVerifier, list[_Head]]:
    try:
        verifier = NoteVerifier.parse(verifier_key.strip())
    except KeyRefused as error:
        raise AuditInputError(f"the log's key: {error}") from error
    heads: list[_Head] = []
    for number, note in enumerate(seen, 1):
        try:
            heads.append(_Head(f"seen checkpoint {number}", open_checkpoint(note, verifier)))
        except ProofError as error:
            raise AuditInputError(
                f"seen checkpoint {number}: {error}; it proves nothing about this log"
            ) from error
    return verifier, sorted(heads, key=lambda head: head.checkpoint.size)


def _current(snapshot: Snapshot, verifier: NoteVerifier) -> _Head:
    try:
        text = snapshot.checkpoint.decode("utf-8")
        return _Head(CHECKPOINT, open_checkpoint(text, verifier))
    except (UnicodeDecodeError, ProofError) as error:
        raise IntegrityBroken(
            CHECKPOINT,
            f"a checkpoint signed by {verifier.name}",
            str(error),
            "make sure that the key handed in is this log's",
        ) from error


def _history(snapshot: Snapshot, verifier: NoteVerifier) -> list[_Head]:
    heads: list[_Head] = []
    size_before = -1
    for number, line in enumerate(snapshot.lines(HISTORY), 1):
        place = f"line {number} of {HISTORY}"
        try:
            size, note = parse_history_line(line)
            checkpoint = open_checkpoint(note, verifier)
        except ProofError as error:
            expected = f"a checkpoint signed by {verifier.name}"
            raise IntegrityBroken(place, expected, str(error), _KEEP) from error
        if size != checkpoint.size:
            raise IntegrityBroken(place, f"size {checkpoint.size}, as signed", str(size), _KEEP)
        if size <= size_before:
            raise IntegrityBroken(place, f"a size above {size_before}", str(size), _KEEP)
        size_before = size
        heads.append(_Head(place, checkpoint))
    return heads


def _check_newest(
    snapshot: Snapshot, current: _Head, history: Sequence[_Head], seen: Sequence[_Head]
) -> None:
    size = current.checkpoint.size
    newer = [head for head in (*history, *seen) if head.checkpoint.size > size]
    if newer:
        largest = max(newer, key=lambda head: head.checkpoint.size)
        there = sum(1 for _ in snapshot.lines(ENTRIES))
        signed = f"{largest.place} signed {largest.checkpoint.size} entries"
        if there >= largest.checkpoint.size:
            raise IntegrityBroken(
                CHECKPOINT,
                f"the newest head ({signed})",
                f"an older head of {size} entries: the log was rolled back",
                _LIVE,
            )
        raise IntegrityBroken(
            _place(there, there + 1),
            f"an entry ({signed})",
            f"the end of the file and a head of {size} entries: the log was rolled back",
            _LIVE,
        )
    if not history or history[-1].checkpoint != current.checkpoint:
        got = f"a head of {history[-1].checkpoint.size} entries" if history else "an empty file"
        if history and history[-1].checkpoint.size == size:
            got = "another root for the same size: the log signed two histories"
        expected = f"the current checkpoint, of {size} entries, as its last line"
        raise IntegrityBroken(HISTORY, expected, got, _LIVE)


def _check_entries(
    snapshot: Snapshot,
    newest: Checkpoint,
    history: Sequence[_Head],
    progress: Callable[[int, int], None] | None,
) -> Tree:
    tree, good_size = Tree(), 0
    heads = iter([head for head in history if head.checkpoint.size > 0])
    head = next(heads, None)
    leaves = snapshot.lines(LEAVES)
    for index, line in enumerate(snapshot.lines(ENTRIES)):
        if head is None:
            got = f"a line more: {line[:60]!r}"
            raise IntegrityBroken(
                _place(index, index + 1), f"the end (signed are {newest.size} entries)", got, _LIVE
            )
        stored, value = next(leaves, b""), leaf_hash(line)
        if stored != value.hex().encode("ascii"):
            raise _changed(snapshot, index, stored, value, head)
        tree.append(value)
        if tree.size == head.checkpoint.size:
            _check_root(tree, head, good_size, _KEEP)
            good_size, head = tree.size, next(heads, None)
        if progress is not None and tree.size % PROGRESS_EVERY == 0:
            progress(tree.size, newest.size)
    if head is not None:
        expected = f"an entry ({head.place} signed {head.checkpoint.size} entries)"
        raise IntegrityBroken(
            _place(tree.size, tree.size + 1), expected, "the end of the file", _LIVE
        )
    if next(leaves, None) is not None:
        raise IntegrityBroken(
            f"line {tree.size + 1} of {LEAVES}", "the end", "a leaf without an entry", _LIVE
        )
    if progress is not None:
        progress(tree.size, newest.size)
    return tree


def _check_seen(tree: Tree, seen: Sequence[_Head]) -> None:
    good_size = 0
    for head in seen:
        _check_root(tree, head, good_size, f"the log signed two histories; {_KEEP}")
        good_size = head.checkpoint.size


def _check_root(tree: Tree, head: _Head, good_size: int, hint: str) -> None:
    """Entry and leaf agree, so that only the heads tell where both were changed."""
    size, root = head.checkpoint.size, head.checkpoint.root
    if tree.root(size) != root:
        place = _place(good_size, size) if size > good_size else head.place
        expected = f"root {root.hex()}, as {head.place} signed for size {size}"
        raise IntegrityBroken(place, expected, tree.root(size).hex(), hint)


def _changed(
    snapshot: Snapshot, index: int, stored: bytes, value: bytes, head: _Head
) -> IntegrityBroken:
    """Which of the two was changed, entry or leaf: the one that does not fit the signed head."""
    expected = head.checkpoint
    entries = (leaf_hash(line) for line in snapshot.lines(ENTRIES))
    if _fits(entries, expected):
        place = f"leaf {index}, line {index + 1} of {LEAVES}"
        got = stored.decode("ascii", "replace") or "the end of the file"
        return IntegrityBroken(place, value.hex(), got, _KEEP)
    leaf = stored.decode("ascii", "replace") or "none"
    return IntegrityBroken(
        _place(index, index + 1),
        f"an entry with the leaf hash in line {index + 1} of {LEAVES}, {leaf}",
        f"one with {value.hex()}",
        _KEEP,
    )


def _fits(hashes: Iterable[bytes], head: Checkpoint) -> bool:
    try:
        tree = Tree(islice(hashes, head.size))
    except IntegrityBroken:
        return False
    return tree.size == head.size and tree.root() == head.root


def _place(start: int, stop: int) -> str:
    if stop - start == 1:
        return f"entry {start}, line {start + 1} of {ENTRIES}"
    return f"entries {start} to {stop - 1}, lines {start + 1} to {stop} of {ENTRIES}"
