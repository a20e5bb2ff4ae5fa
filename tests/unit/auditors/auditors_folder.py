"""A log's folder, and ways to tamper with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.verify import Verified, verify_folder
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tree import Tree, leaf_hash

SIGNER = NoteSigner("logs.example/audit", Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))
OTHER = NoteSigner("logs.example/audit", Ed25519PrivateKey.from_private_bytes(bytes([4]) * 32))
ENTRIES = [b'{"entry":%d}' % n for n in range(20)]
# Sizes of the heads: 0, 1, then two entries at a time up to 19, then 20.
BATCHES = [1, *[2] * 9, 1]

Change = Callable[[Path], None]


def verify(folder: Path, seen: tuple[str, ...] = ()) -> Verified:
    return verify_folder(folder, verifier_key=SIGNER.verifier_key, seen=seen)


def head(entries: list[bytes], signer: NoteSigner = SIGNER) -> str:
    tree = Tree(leaf_hash(entry) for entry in entries)
    return sign_checkpoint(Checkpoint(signer.name, tree.size, tree.root()), signer)


def edit(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Change:
    def apply(folder: Path) -> None:
        lines = (folder / name).read_bytes().splitlines(keepends=True)
        (folder / name).write_bytes(b"".join(change(lines)))

    return apply


def entry(index: int, text: bytes) -> Change:
    return edit("entries.jsonl", lambda d: [*d[:index], text + b"\n", *d[index + 1 :]])


def leaf(index: int, text: bytes) -> Change:
    return edit("leaves", lambda d: [*d[:index], text + b"\n", *d[index + 1 :]])


def both(index: int, text: bytes) -> Change:
    return together(entry(index, text), leaf(index, leaf_hash(text).hex().encode()))


def together(*changes: Change) -> Change:
    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def current(note: str) -> Change:
    return lambda folder: (folder / "checkpoint").write_text(note, encoding="utf-8") and None


def drop_last(entries: int, heads: int) -> Change:
    """The last entries and leaves dropped, and the newest heads with them."""

    def apply(folder: Path) -> None:
        edit("entries.jsonl", lambda d: d[:-entries])(folder)
        edit("leaves", lambda d: d[:-entries])(folder)
        if heads:
            edit("checkpoints.jsonl", lambda d: d[:-heads])(folder)
        current(head(ENTRIES[:-entries]))(folder)

    return apply


def rewrite(entries: list[bytes]) -> Change:
    """What the log's own key can do: everything again, with other entries."""

    def apply(folder: Path) -> None:
        shutil.rmtree(folder)
        with Log.open(
            folder=folder,
            database=folder.parent / "again.sqlite",
            last_signed=folder.parent / "again-last",
            signer=SIGNER,
        ) as log:
            log.append(entries)

    return apply
