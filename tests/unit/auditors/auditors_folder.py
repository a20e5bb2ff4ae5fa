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
from ledger.tiles import bundle_bytes, parse_bundle
from ledger.tree import Tree, leaf_hash

SIGNER = NoteSigner("logs.example/audit", Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))
OTHER = NoteSigner("logs.example/audit", Ed25519PrivateKey.from_private_bytes(bytes([4]) * 32))
ENTRIES = [b'{"entry":%d}' % n for n in range(600)]
# Heads of these sizes, and of 0. What is left of the older ones: the partial bundle and tile of 520
# entries, and the level-1 tiles of one and two hashes.
HEADS = [1, 300, 520, 600]

Change = Callable[[Path], None]


def verify(folder: Path, seen: tuple[str, ...] = ()) -> Verified:
    return verify_folder(folder, verifier_key=SIGNER.verifier_key, seen=seen)


def head(entries: list[bytes], signer: NoteSigner = SIGNER) -> str:
    tree = Tree(leaf_hash(entry) for entry in entries)
    return sign_checkpoint(Checkpoint(signer.name, tree.size, tree.root()), signer)


def write_log(
    root: Path, entries: list[bytes] = ENTRIES, heads: list[int] = HEADS, name: str = "folder"
) -> Path:
    with Log.open(
        folder=root / name,
        database=root / f"{name}.sqlite",
        last_signed=root / f"{name}-last",
        signer=SIGNER,
    ) as log:
        for size in heads:
            log.append(entries[log.size : size])
    return root / name


def edit(path: str, change: Callable[[bytes], bytes]) -> Change:
    def apply(folder: Path) -> None:
        (folder / path).write_bytes(change((folder / path).read_bytes()))

    return apply


def flip(path: str, at: int) -> Change:
    """One bit of a byte, counted from the end if negative."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    return edit(path, change)


def bundle(path: str, width: int, change: Callable[[list[bytes]], list[bytes]]) -> Change:
    return edit(path, lambda data: bundle_bytes(change(parse_bundle(data, width))))


def entry(index: int, text: bytes) -> Change:
    """Another entry in the place of one; its hash stays."""
    number, slot = divmod(index, 256)
    path, width = (
        (f"tile/entries/{number:03}", 256) if number < 2 else ("tile/entries/002.p/88", 88)
    )
    return bundle(path, width, lambda old: [*old[:slot], text, *old[slot + 1 :]])


def put_hash(path: str, slot: int, value: bytes) -> Change:
    return edit(path, lambda data: data[: 32 * slot] + value + data[32 * slot + 32 :])


def leaf(index: int, value: bytes) -> Change:
    number, slot = divmod(index, 256)
    return put_hash("tile/0/002.p/88" if number == 2 else f"tile/0/{number:03}", slot, value)


def both(index: int, text: bytes) -> Change:
    return together(entry(index, text), leaf(index, leaf_hash(text)))


def together(*changes: Change) -> Change:
    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def current(note: str) -> Change:
    return lambda folder: (folder / "checkpoint").write_text(note, encoding="utf-8") and None


def drop(*paths: str) -> Change:
    return lambda folder: [(folder / path).unlink() for path in paths] and None


def put(path: str, data: bytes = b"x") -> Change:
    def apply(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return apply


def copied(source: str, target: str) -> Change:
    return lambda folder: put(target, (folder / source).read_bytes())(folder)


def rewrite(entries: list[bytes]) -> Change:
    """What the log's own key can do: everything again, with other entries."""

    def apply(folder: Path) -> None:
        shutil.rmtree(folder)
        write_log(folder.parent, entries, [len(entries)], "again")
        (folder.parent / "again").rename(folder)

    return apply
