"""Reading a log's entries as they stand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from auditors_folder import ENTRIES, Change, current, drop, edit, flip, head, put, write_log

from auditors.errors import AuditInputError, IntegrityBroken
from auditors.snapshot import Snapshot


def test_the_entries_from_anywhere(folder: Path) -> None:
    snapshot = Snapshot.take(folder)
    assert (snapshot.size, snapshot.checkpoint) == (600, head(ENTRIES))
    for start in (0, 1, 255, 256, 511, 512, 599, 600):
        assert list(snapshot.lines(start)) == ENTRIES[start:]
    assert list(snapshot.entries()) == list(enumerate(ENTRIES))


def test_a_snapshot_stays_at_its_moment(folder: Path, tmp_path: Path) -> None:
    snapshot = Snapshot.take(folder)
    longer = write_log(tmp_path, [*ENTRIES, *[b"{}"] * 200], [600, 800], "longer")
    for path in ("tile/entries/002", "tile/entries/003.p/32", "checkpoint"):
        put(path, (longer / path).read_bytes())(folder)
    drop("tile/entries/002.p/88")(folder)
    assert list(snapshot.lines()) == ENTRIES


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (drop("tile/entries/001"), "entry 256, tile/entries/001"),
        (flip("tile/entries/002.p/88", -14), "entry 512, tile/entries/002.p/88"),
        (edit("tile/entries/000", lambda data: data[:-1]), "entry 0, tile/entries/000"),
        (put("tile/entries/000", b""), "byte 0 of tile/entries/000"),
        (put("checkpoint", b"\xff"), "checkpoint"),
        (current("no note"), "checkpoint"),
        (current(head(ENTRIES).replace("600", "0600")), "checkpoint"),
        (drop("checkpoint"), "checkpoint"),
    ],
)
def test_what_is_no_log(folder: Path, change: Change, place: str) -> None:
    change(folder)
    with pytest.raises(IntegrityBroken) as broken:
        list(Snapshot.take(folder).lines())
    assert broken.value.place == place


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")],
    ids=["pipe", "folder", "link"],
)
@pytest.mark.parametrize("name", ["checkpoint", "tile/entries/001"])
def test_what_is_no_file(folder: Path, make: Callable[[Path], object], name: str) -> None:
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(IntegrityBroken, match="a regular file"):
        list(Snapshot.take(folder).lines())


def test_no_log_at_all(tmp_path: Path) -> None:
    with pytest.raises(AuditInputError, match="expected a log's folder"):
        Snapshot.take(tmp_path)
