"""Tampering with a folder, one way a row: what is found, and where it is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from auditors_folder import (
    ENTRIES,
    OTHER,
    SIGNER,
    Change,
    both,
    current,
    drop_last,
    edit,
    entry,
    head,
    leaf,
    rewrite,
    together,
    verify,
)

from auditors.errors import IntegrityBroken
from auditors.verify import Verified, verify_folder
from ledger.folder import history_line
from ledger.tree import Tree, leaf_hash


def test_an_untouched_folder_verifies(folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    verified = verify_folder(
        folder,
        verifier_key=SIGNER.verifier_key + "\n",
        seen=[head(ENTRIES[:n]) for n in (19, 0, 7, 7, 20)],
        progress=lambda done, total: steps.append((done, total)),
    )
    root = Tree(leaf_hash(line) for line in ENTRIES).root().hex()
    assert verified == Verified("logs.example/audit", 20, root, 12)
    assert steps == [(20, 20)]


def test_progress_is_told_on_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditors.verify.PROGRESS_EVERY", 8)
    steps: list[int] = []
    verify_folder(
        folder,
        verifier_key=SIGNER.verifier_key,
        progress=lambda done, _total: steps.append(done),
    )
    assert steps == [8, 16, 20]


TAMPERED = {
    "an entry": (entry(17, b"{}"), "entry 17, line 18 of entries.jsonl"),
    "the first entry": (entry(0, b"{}"), "entry 0, line 1 of entries.jsonl"),
    "the last entry": (entry(19, b"{}"), "entry 19, line 20 of entries.jsonl"),
    "two entries": (together(entry(3, b"{}"), entry(9, b"{}")), "entry 3, line 4 of"),
    "a space": (entry(5, b'{"entry": 5}'), "entry 5, line 6 of entries.jsonl"),
    "a carriage return": (entry(5, b'{"entry":5}\r'), "entry 5, line 6 of entries.jsonl"),
    "an empty line": (entry(5, b""), "entry 5, line 6 of entries.jsonl"),
    "an entry twice": (
        edit("entries.jsonl", lambda d: [*d[:6], d[5], *d[6:]]),
        "entry 6, line 7 of entries.jsonl",
    ),
    "an entry left out": (
        edit("entries.jsonl", lambda d: [*d[:6], *d[7:]]),
        "entry 6, line 7 of entries.jsonl",
    ),
    "entries swapped": (
        edit("entries.jsonl", lambda d: [*d[:6], d[7], d[6], *d[8:]]),
        "entry 6, line 7 of entries.jsonl",
    ),
    "a leaf": (leaf(17, bytes(32).hex().encode()), "leaf 17, line 18 of leaves"),
    "a leaf in capitals": (
        leaf(17, leaf_hash(ENTRIES[17]).hex().upper().encode()),
        "leaf 17, line 18 of leaves",
    ),
    "leaves cut": (edit("leaves", lambda d: d[:-1]), "leaf 19, line 20 of leaves"),
    "a leaf more": (edit("leaves", lambda d: [*d, d[0]]), "line 21 of leaves"),
    "a long leaf": (leaf(17, b"0" * 65), "line 18 of leaves"),
    "entry and leaf, alone under a head": (both(0, b"{}"), "entry 0, line 1 of entries.jsonl"),
    "last entry and leaf": (both(19, b"{}"), "entry 19, line 20 of entries.jsonl"),
    "entry and leaf, one of two": (
        both(17, b"{}"),
        "entries 17 to 18, lines 18 to 19 of entries.jsonl",
    ),
    "entry and leaf, and an entry": (
        together(both(18, b"{}"), entry(17, b"[]")),
        "entry 17, line 18 of entries.jsonl",
    ),
    "an entry more": (
        together(
            edit("entries.jsonl", lambda d: [*d, b"{}\n"]),
            edit("leaves", lambda d: [*d, leaf_hash(b"{}").hex().encode() + b"\n"]),
        ),
        "entry 20, line 21 of entries.jsonl",
    ),
    "a line without its end": (
        lambda folder: (folder / "entries.jsonl").write_bytes(b"\n".join(ENTRIES)) and None,
        "line 20 of entries.jsonl",
    ),
    "a leaf, and a line torn under the same head": (
        together(
            leaf(17, b"0" * 64),
            edit("entries.jsonl", lambda d: [*d[:18], d[18][:-1]]),
        ),
        "entry 17, line 18 of entries.jsonl",
    ),
    "the last entry dropped": (
        edit("entries.jsonl", lambda d: d[:-1]),
        "entry 19, line 20 of entries.jsonl",
    ),
    "entries dropped, older checkpoint": (
        drop_last(3, heads=0),
        "entry 17, line 18 of entries.jsonl",
    ),
    "only an older checkpoint": (current(head(ENTRIES[:17])), "checkpoint"),
    "history cut": (edit("checkpoints.jsonl", lambda d: d[:-1]), "checkpoints.jsonl"),
    "no history": (edit("checkpoints.jsonl", lambda d: []), "checkpoints.jsonl"),
    "history out of order": (
        edit("checkpoints.jsonl", lambda d: [*d[:4], d[5], d[4], *d[6:]]),
        "line 6 of checkpoints.jsonl",
    ),
    "a history line by another key": (
        edit(
            "checkpoints.jsonl",
            lambda d: [*d[:2], history_line(3, head(ENTRIES[:3], OTHER)), *d[3:]],
        ),
        "line 3 of checkpoints.jsonl",
    ),
    "a history line with another size": (
        edit("checkpoints.jsonl", lambda d: [*d[:2], history_line(2, head(ENTRIES[:3])), *d[3:]]),
        "line 3 of checkpoints.jsonl",
    ),
    "a history line of another spelling": (
        edit("checkpoints.jsonl", lambda d: [*d[:2], d[2].replace(b":", b": ", 1), *d[3:]]),
        "line 3 of checkpoints.jsonl",
    ),
    "a signed head of another history": (
        edit(
            "checkpoints.jsonl",
            lambda d: [*d[:2], history_line(3, head([b"x", b"y", b"z"])), *d[3:]],
        ),
        "entries 1 to 2, lines 2 to 3 of entries.jsonl",
    ),
    "a current checkpoint of another history": (
        current(head([b"x"] * 20)),
        "checkpoints.jsonl",
    ),
    "a checkpoint by another key": (current(head(ENTRIES, OTHER)), "checkpoint"),
    "a changed checkpoint": (current(head(ENTRIES).replace("20", "21")), "checkpoint"),
    "no text in the checkpoint": (current(""), "checkpoint"),
}


@pytest.mark.parametrize(("change", "place"), TAMPERED.values(), ids=TAMPERED.keys())
def test_tampering_is_found_and_placed(folder: Path, change: Change, place: str) -> None:
    change(folder)
    with pytest.raises(IntegrityBroken) as broken:
        verify(folder)
    assert broken.value.place.startswith(place)
    assert str(broken.value).startswith(f"{broken.value.place}: expected {broken.value.expected}")
    assert broken.value.got in str(broken.value)


def test_bytes_that_are_no_checkpoint(folder: Path) -> None:
    (folder / "checkpoint").write_bytes(b"\xff")
    with pytest.raises(IntegrityBroken, match=f"checkpoint: expected .* by {SIGNER.name}"):
        verify(folder)


SEEN = {
    # Everything in the folder fits together; only what somebody else saw tells.
    "entries and heads dropped": (
        drop_last(3, heads=2),
        [ENTRIES],
        "entry 17, line 18 of entries.jsonl",
        "rolled back",
    ),
    "written again": (
        rewrite([*ENTRIES[:8], b"{}", *ENTRIES[9:]]),
        [ENTRIES[:5], ENTRIES[:8], ENTRIES[:11], ENTRIES],
        "entries 8 to 10, lines 9 to 11 of entries.jsonl",
        "two histories",
    ),
    "written again, seen one by one": (
        rewrite([*ENTRIES[:8], b"{}", *ENTRIES[9:]]),
        [ENTRIES[:9], ENTRIES[:8]],
        "entry 8, line 9 of entries.jsonl",
        "two histories",
    ),
    "two heads of one size": (
        together(),
        [ENTRIES[:5], [b"x"] * 5],
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
