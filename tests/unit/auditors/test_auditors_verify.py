"""Tampering with a folder, one way a row: what is found, and where it is said to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from auditors_folder import (
    ENTRIES,
    OTHER,
    SIGNER,
    Change,
    both,
    bundle,
    copied,
    current,
    drop,
    edit,
    entry,
    flip,
    head,
    leaf,
    put,
    put_hash,
    rewrite,
    together,
    verify,
)

from auditors.errors import IntegrityBroken
from auditors.frontier import subtree_root
from auditors.verify import verify_folder
from ledger.tree import Tree, leaf_hash

LEAVES = [leaf_hash(line) for line in ENTRIES]
FILES = [
    "checkpoint",
    "tile/0/000",
    "tile/0/001",
    "tile/0/002.p/8",
    "tile/0/002.p/88",
    "tile/1/000.p/1",
    "tile/1/000.p/2",
    "tile/entries/000",
    "tile/entries/001",
    "tile/entries/002.p/8",
    "tile/entries/002.p/88",
]


def test_an_untouched_folder_verifies(folder: Path) -> None:
    there = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert there == FILES
    steps: list[tuple[int, int]] = []
    verified = verify_folder(
        folder,
        verifier_key=SIGNER.verifier_key + "\n",
        seen=[head(ENTRIES[:n]) for n in (599, 0, 1, 1, 255, 256, 257, 512, 600)],
        progress=lambda done, total: steps.append((done, total)),
    )
    assert (verified.origin, verified.size) == ("logs.example/audit", 600)
    assert verified.root_hex == Tree(LEAVES).root().hex()
    assert (verified.cosigners, verified.ahead, verified.beside) == ((), 0, ())
    assert verified.note == (folder / "checkpoint").read_text(encoding="utf-8")
    assert verified.frontier.root() == verified.root
    assert steps == [(600, 600)]


def test_progress_is_told_on_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditors.growth.PROGRESS_EVERY", 1)
    steps: list[int] = []
    verify_folder(
        folder,
        verifier_key=SIGNER.verifier_key,
        progress=lambda done, _total: steps.append(done),
    )
    assert steps == [256, 512, 600, 600]


HARMLESS: dict[str, Change] = {
    "no stale partial files": drop("tile/0/002.p/8", "tile/entries/002.p/8", "tile/1/000.p/1"),
    "what was being written": put(".new"),
    "a folder that is empty": lambda folder: (folder / "tile/0/x000").mkdir(),
    "another stale partial file": copied("tile/0/002.p/8", "tile/0/002.p/8"),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_is_as_a_log_may_leave_it(folder: Path, change: Change) -> None:
    change(folder)
    verified = verify(folder)
    assert (verified.size, verified.ahead, verified.beside) == (600, 0, ())


def test_what_lies_beside_the_log_is_named(folder: Path) -> None:
    put("entries.jsonl")(folder)
    put("notes/mine.txt")(folder)
    assert verify(folder).beside == ("entries.jsonl", "notes")


def _again(number: int) -> Change:
    """A bundle's first entry changed, with everything above it but the checkpoint."""

    def apply(folder: Path) -> None:
        start = 256 * number
        both(start, b"{}")(folder)
        if number < 2:
            leaves = [leaf_hash(b"{}"), *LEAVES[start + 1 : start + 256]]
            put_hash("tile/1/000.p/2", number, subtree_root(leaves))(folder)
            if number == 0:
                put_hash("tile/1/000.p/1", 0, subtree_root(leaves))(folder)
        else:
            together(
                bundle("tile/entries/002.p/8", 8, lambda old: [b"{}", *old[1:]]),
                put_hash("tile/0/002.p/8", 0, leaf_hash(b"{}")),
            )(folder)

    return apply


TAMPERED: dict[str, tuple[Change, str, str]] = {
    "an entry": (
        entry(17, b"{}"),
        "entry 17, byte 228 of tile/entries/000",
        "byte 544 of tile/0/000, which fits the level above",
    ),
    "the first entry": (entry(0, b"{}"), "entry 0, byte 0 of tile/entries/000", "fits"),
    "the last entry": (
        entry(599, b"{}"),
        "entry 599, byte 1305 of tile/entries/002.p/88",
        "byte 2784 of tile/0/002.p/88, which fits the level above",
    ),
    "two entries": (together(entry(300, b"{}"), entry(3, b"{}")), "entry 3, byte 39 of", ""),
    "a space": (entry(5, b'{"entry": 5}'), "entry 5, byte 65 of tile/entries/000", ""),
    "a length": (
        flip("tile/entries/000", 1),
        "entry 0, byte 0 of tile/entries/000",
        "one with",
    ),
    "the last length": (
        flip("tile/entries/002.p/88", -14),
        "entry 599, byte 1305 of tile/entries/002.p/88",
        "an entry with hash",
    ),
    "an entry twice": (
        bundle("tile/entries/001", 256, lambda d: [*d[:6], d[5], *d[6:]]),
        "entry 262, byte 90 of tile/entries/001",
        "",
    ),
    "an entry left out": (
        bundle("tile/entries/001", 256, lambda d: [*d[:6], *d[7:]]),
        "entry 262, byte 90 of tile/entries/001",
        "",
    ),
    "the last entry of a bundle left out": (
        bundle("tile/entries/001", 256, lambda d: d[:-1]),
        "entry 511, byte 3825 of tile/entries/001",
        "expected an entry of 1 to 65535 bytes, got the end of the file",
    ),
    "entries swapped": (
        bundle("tile/entries/001", 256, lambda d: [d[1], d[0], *d[2:]]),
        "entry 256, byte 0 of tile/entries/001",
        "",
    ),
    "an entry more": (
        bundle("tile/entries/002.p/88", 88, lambda d: [*d, b"{}"]),
        "entry 600, byte 1320 of tile/entries/002.p/88",
        "expected the end after 88 entries, got 4 bytes more",
    ),
    "a torn bundle": (
        edit("tile/entries/001", lambda data: data[:-1]),
        "entry 511, byte 3825 of tile/entries/001",
        "a length of 13 where 12 bytes are left",
    ),
    "half a length": (
        edit("tile/entries/002.p/88", lambda data: data[:1306]),
        "entry 599, byte 1305 of tile/entries/002.p/88",
        "the end of the file",
    ),
    "an empty entry": (
        edit("tile/entries/002.p/88", lambda data: data[:1305] + bytes(15)),
        "entry 599, byte 1305 of tile/entries/002.p/88",
        "a length of 0 where 13 bytes are left",
    ),
    "an empty bundle": (
        edit("tile/entries/000", lambda data: b""),
        "byte 0 of tile/entries/000",
        "a file of 768 to 16777472 bytes, got 0 bytes",
    ),
    "a leaf": (
        leaf(17, bytes(32)),
        "byte 544 of tile/0/000, the hash of entry 17",
        "the entry in tile/entries/000, which fits the level above",
    ),
    "a leaf in the last tile": (
        leaf(599, bytes(32)),
        "byte 2784 of tile/0/002.p/88, the hash of entry 599",
        "the entry in tile/entries/002.p/88, which fits the level above",
    ),
    "an entry and another's leaf": (
        together(entry(18, b"{}"), leaf(17, bytes(32))),
        "entry 17, byte 228 of tile/entries/000, and byte 544 of tile/0/000",
        "neither of which fits the level above",
    ),
    "a leaf, and the hash above": (
        together(leaf(17, bytes(32)), put_hash("tile/1/000.p/2", 0, bytes(32))),
        "entry 17, byte 228 of tile/entries/000, and byte 544 of tile/0/000",
        "neither",
    ),
    "a leaf, and no tile above": (
        together(leaf(17, bytes(32)), drop("tile/1/000.p/2")),
        "entry 17, byte 228 of tile/entries/000, and byte 544 of tile/0/000",
        "neither",
    ),
    "a leaf, and half a tile above": (
        together(leaf(17, bytes(32)), edit("tile/1/000.p/2", lambda data: data[:-1])),
        "entry 17, byte 228 of tile/entries/000, and byte 544 of tile/0/000",
        "neither",
    ),
    "a torn tile": (
        edit("tile/0/001", lambda data: data[:-1]),
        "byte 8191 of tile/0/001",
        "expected a file of 8192 bytes, got 8191 bytes",
    ),
    "a longer tile": (
        edit("tile/0/002.p/88", lambda data: data + bytes(32)),
        "byte 2816 of tile/0/002.p/88",
        "expected a file of 2816 bytes, got 2848 bytes",
    ),
    "a tile of the level above": (
        put_hash("tile/1/000.p/2", 1, bytes(32)),
        "byte 32 of tile/1/000.p/2",
        "the root of the tile below",
    ),
    "an entry with its leaf": (
        both(300, b"{}"),
        "entries 256 to 511, tile/entries/001",
        "entries and their hashes were changed together",
    ),
    "an entry with its leaf, in the last bundle": (
        both(599, b"{}"),
        "entries 0 to 599, tile/entries/000 to tile/entries/002.p/88",
        "as checkpoint signed for size 600",
    ),
    "an entry with all above it": (_again(0), "entries 0 to 599, tile/entries/000 to", "root"),
    "an entry of the second bundle with all above it": (_again(1), "entries 0 to 599", "root"),
    "an entry of the last bundle with all of its files": (_again(2), "entries 0 to 599", "root"),
    "bundles swapped": (
        together(copied("tile/entries/000", "x"), copied("tile/entries/001", "tile/entries/000")),
        "entry 0, byte 0 of tile/entries/000",
        "",
    ),
    "a stale partial bundle": (
        flip("tile/entries/002.p/8", 2),
        "byte 2 of tile/entries/002.p/8",
        "the bytes that tile/entries/002.p/88 begins with",
    ),
    "a stale partial bundle cut": (
        edit("tile/entries/002.p/8", lambda data: data[:-1]),
        "byte 119 of tile/entries/002.p/8",
        "the end of the file",
    ),
    "a stale partial bundle longer": (
        edit("tile/entries/002.p/8", lambda data: data + b"x"),
        "byte 120 of tile/entries/002.p/8",
        "got 78",
    ),
    "a stale partial tile": (flip("tile/0/002.p/8", 0), "byte 0 of tile/0/002.p/8", ""),
    "a stale partial tile cut": (
        edit("tile/0/002.p/8", lambda data: data[:-1]),
        "byte 255 of tile/0/002.p/8",
        "256 bytes",
    ),
    "a stale partial tile above": (flip("tile/1/000.p/1", 31), "byte 31 of tile/1/000.p/1", ""),
    "a stale partial of a full tile": (
        copied("tile/0/002.p/8", "tile/0/001.p/8"),
        "byte 0 of tile/0/001.p/8",
        "the bytes that tile/0/001 begins with",
    ),
    "a bundle gone": (
        drop("tile/entries/001"),
        "tile/entries/001",
        "a file (the log signed 600 entries), got none",
    ),
    "the last bundle gone": (drop("tile/entries/002.p/88"), "tile/entries/002.p/88", ""),
    "a tile gone": (drop("tile/0/000"), "tile/0/000", "got none"),
    "the last tile gone": (drop("tile/0/002.p/88"), "tile/0/002.p/88", "got none"),
    "a tile above gone": (drop("tile/1/000.p/2"), "tile/1/000.p/2", "got none"),
    "the checkpoint gone": (drop("checkpoint"), "checkpoint", "expected a file, got none"),
    "an older checkpoint and files": (
        together(current(head(ENTRIES[:520])), flip("tile/0/002.p/88", 40)),
        "byte 40 of tile/0/002.p/88",
        "a file that begins as tile/0/002.p/8",
    ),
    "a checkpoint of another history": (current(head([b"x"] * 600)), "entries 0 to 599", "root"),
    "a checkpoint by another key": (current(head(ENTRIES, OTHER)), "checkpoint", "signed by"),
    "a changed checkpoint": (current(head(ENTRIES).replace("600", "601")), "checkpoint", ""),
    "no text in the checkpoint": (current(""), "checkpoint", "signed by"),
    "bytes in the checkpoint": (put("checkpoint", b"\xff"), "checkpoint", "signed by"),
    "a huge checkpoint": (
        put("checkpoint", bytes(1_000_001)),
        "byte 1000000 of checkpoint",
        "got 1000001 bytes",
    ),
}


@pytest.mark.parametrize(("change", "place", "says"), TAMPERED.values(), ids=TAMPERED.keys())
def test_tampering_is_found_and_placed(folder: Path, change: Change, place: str, says: str) -> None:
    change(folder)
    with pytest.raises(IntegrityBroken) as broken:
        verify(folder)
    text = str(broken.value)
    assert broken.value.place.startswith(place), text
    assert text.startswith(f"{broken.value.place}: expected {broken.value.expected}, got")
    assert says in text
    assert broken.value.hint


REWRITTEN = rewrite([*ENTRIES[:8], b"{}", *ENTRIES[9:]])
SEEN: dict[str, tuple[Change, list[list[bytes]], str, str]] = {
    # Everything in the folder fits together; only what somebody else saw tells.
    "an older checkpoint": (
        current(head(ENTRIES[:520])),
        [ENTRIES],
        "checkpoint",
        "rolled back",
    ),
    "entries dropped": (rewrite(ENTRIES[:300]), [ENTRIES[:301]], "checkpoint", "rolled back"),
    "written again": (
        REWRITTEN,
        [ENTRIES[:5], ENTRIES[:8], ENTRIES[:11], ENTRIES],
        "entries 8 to 10, tile/entries/000",
        "two histories",
    ),
    "written again, seen one by one": (
        REWRITTEN,
        [ENTRIES[:9], ENTRIES[:8]],
        "entry 8, tile/entries/000",
        "two histories",
    ),
    "written again, seen at the end": (
        REWRITTEN,
        [ENTRIES[:5], ENTRIES],
        "entries 5 to 599, tile/entries/000 to tile/entries/002.p/88",
        "two histories",
    ),
    "two heads of one size": (
        together(),
        [ENTRIES[:256], [b"x"] * 256],
        "seen checkpoint 2",
        "two histories",
    ),
}


@pytest.mark.parametrize(("change", "seen", "place", "message"), SEEN.values(), ids=SEEN.keys())
def test_what_others_saw(
    folder: Path, change: Change, seen: list[list[bytes]], place: str, message: str
) -> None:
    change(folder)
    assert verify(folder).size > 0
    with pytest.raises(IntegrityBroken, match=message) as broken:
        verify(folder, tuple(head(entries) for entries in seen))
    assert broken.value.place == place


STRAY: dict[str, Callable[[Path], object]] = {
    "tile/0/0": put("tile/0/0"),
    "tile/0/000.p/0": put("tile/0/000.p/0"),
    "tile/0/000.p/256": put("tile/0/000.p/256"),
    "tile/64/000": put("tile/64/000"),
    "tile/hashes": put("tile/hashes/000"),
    "tile/00": put("tile/00/000"),
    "tile/0/000.bak": put("tile/0/000.bak"),
    "tile/0/.new": put("tile/0/.new"),
    "tile/entries/README": put("tile/entries/README"),
    "tile/checkpoint": put("tile/checkpoint"),
    "tile/0/x000/000": put("tile/0/x000/000"),
    "tile/0/003": lambda folder: (folder / "tile/0/003").mkdir(),
    "tile/0/004": lambda folder: (folder / "tile/0/004").symlink_to("000"),
    "tile/1/x000": lambda folder: (folder / "tile/1/x000").symlink_to(folder / "tile/0"),
    "tile": lambda folder: [
        (folder / "tile").rename(folder / "moved"),
        (folder / "tile").symlink_to(folder / "moved"),
    ],
    "tile/0/\udcff": put("tile/0/\udcff"),
}


@pytest.mark.parametrize(("path", "change"), STRAY.items(), ids=map(ascii, STRAY))
def test_a_name_that_no_log_has(folder: Path, path: str, change: Callable[[Path], object]) -> None:
    change(folder)
    with pytest.raises(IntegrityBroken, match="somebody put it there") as broken:
        verify(folder)
    assert broken.value.place == path
