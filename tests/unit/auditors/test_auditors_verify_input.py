"""What cannot be verified at all, a folder that is in use, and one that does harm."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from auditors_folder import (
    ENTRIES,
    OTHER,
    SIGNER,
    Change,
    current,
    flip,
    head,
    put,
    verify,
    write_log,
)

import auditors.verify
from auditors.errors import AuditInputError, IntegrityBroken
from auditors.tilefolder import TileFolder
from auditors.trust import KeyTrust
from auditors.verify import verify_folder
from ledger.log import Log


def test_no_log_in_the_folder(tmp_path: Path, folder: Path) -> None:
    for path in (tmp_path / "nowhere", folder / "checkpoint"):
        with pytest.raises(AuditInputError, match="expected a log's folder, got none"):
            verify(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuditInputError, match="a file checkpoint, got none; copy the whole"):
        verify(tmp_path / "empty")


def test_a_log_without_entries(tmp_path: Path) -> None:
    folder = write_log(tmp_path, heads=[])
    assert (verify(folder).size, verify(folder).ahead) == (0, 0)
    (folder / "tile").rmdir()
    assert verify(folder, (head([]),)).size == 0


@pytest.mark.parametrize("name", ["tile/0/001", "checkpoint", "tile/0"])
def test_what_cannot_be_read(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, listed = os.open, os.scandir

    def failing(path: Path, flags: int, *args: int, **more: int) -> int:
        if str(path).endswith(name):
            raise OSError(5, "Input/output error")
        return whole(path, flags, *args, **more)

    def unlisted(path: Path) -> object:
        if str(path).endswith(name):
            raise OSError(5, "Input/output error")
        return listed(path)

    monkeypatch.setattr(os, "open", failing)
    monkeypatch.setattr(os, "scandir", unlisted)
    with pytest.raises(AuditInputError, match="Input/output error; copy the folder again"):
        verify(folder)


@pytest.mark.parametrize("key", ["", "no key", SIGNER.verifier_key[:-1], "x+00000000+AAAA"])
def test_a_key_that_is_none(folder: Path, key: str) -> None:
    with pytest.raises(AuditInputError, match="the log's key"):
        verify_folder(folder, verifier_key=key)


def test_one_source_of_trust(folder: Path) -> None:
    with pytest.raises(AuditInputError, match="the log's key or a policy, and not both"):
        verify_folder(folder)
    with pytest.raises(AuditInputError, match="and not both"):
        verify_folder(folder, verifier_key="x", trust=KeyTrust(SIGNER.verifier))
    assert verify_folder(folder, trust=KeyTrust(SIGNER.verifier)).size == 600


def test_the_key_of_another_log(folder: Path) -> None:
    with pytest.raises(IntegrityBroken, match="make sure that the key handed in"):
        verify_folder(folder, verifier_key=OTHER.verifier_key)


@pytest.mark.parametrize("note", ["", "no note", head(ENTRIES, OTHER)])
def test_a_seen_checkpoint_that_proves_nothing(folder: Path, note: str) -> None:
    with pytest.raises(AuditInputError, match=r"seen checkpoint 2: .* proves nothing"):
        verify(folder, (head(ENTRIES[:5]), note))


# -- a folder in use -------------------------------------------------------------------------------

LONGER = [*ENTRIES, *(b"%d" % n for n in range(600, 800))]


@pytest.mark.parametrize(("size", "ahead"), [(650, 2), (768, 3), (800, 5)])
def test_what_was_published_after_the_checkpoint_is_counted(
    folder: Path, tmp_path: Path, size: int, ahead: int
) -> None:
    """From 768 on the partial files of 600 are gone, and the full ones stand in their place."""
    longer = write_log(tmp_path, LONGER, [1, 300, 520, 600, size], "longer")
    current(head(ENTRIES))(longer)
    verified = verify(longer, (head(ENTRIES),))
    assert (verified.size, verified.ahead) == (600, ahead)
    assert (longer / "tile/0/002.p/88").exists() == (size < 768)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (flip("tile/entries/002", 1), "entry 512, byte 0 of tile/entries/002"),
        (flip("tile/0/002", 32), "byte 32 of tile/0/002"),
        (put("tile/0/002", bytes(100)), "byte 100 of tile/0/002"),
        (put("tile/0/003.p/32", bytes(31)), "byte 31 of tile/0/003.p/32"),
        (put("tile/entries/003.p/32", b""), "byte 0 of tile/entries/003.p/32"),
    ],
)
def test_what_stands_in_for_partial_files_is_checked(
    tmp_path: Path, change: Change, place: str
) -> None:
    longer = write_log(tmp_path, LONGER, [600, 800], "longer")
    current(head(ENTRIES))(longer)
    change(longer)
    with pytest.raises(IntegrityBroken) as broken:
        verify(longer)
    assert broken.value.place.startswith(place)


@pytest.mark.parametrize(
    ("path", "size", "says"),
    [
        ("tile/0/004", 8192, "no full tile stands before it"),
        ("tile/entries/777", 768, "no full tile stands before it"),
        ("tile/2/000.p/1", 32, "it speaks of 65536 entries"),
        ("tile/63/000.p/1", 32, "it speaks of"),
        ("tile/0/x009/x007/x199/x254/x740/x991", 8192, "another name"),
        ("tile/0/x009/x007/x199/x254/x740/991", 8192, "no full tile stands before it"),
    ],
)
def test_what_no_growth_explains(folder: Path, path: str, size: int, says: str) -> None:
    put(path, bytes(size))(folder)
    with pytest.raises(IntegrityBroken, match=says) as broken:
        verify(folder)
    assert broken.value.place in path


def test_partial_files_that_the_log_removes_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed, and gone when they are looked at: the log went on from 600 to 768."""
    looked = TileFolder.look

    def later(path: Path) -> TileFolder:
        there = looked(path)
        longer = write_log(folder.parent, LONGER, [600, 768], "longer")
        shutil.rmtree(folder / "tile")
        shutil.copytree(longer / "tile", folder / "tile")
        return there

    monkeypatch.setattr(auditors.verify.TileFolder, "look", later)
    assert verify(folder).size == 600


def test_a_folder_of_partial_files_that_goes_while_it_is_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def gone(path: Path) -> object:
        if path == folder / "tile/0/002.p":
            raise FileNotFoundError
        return listed(path)

    monkeypatch.setattr(os, "scandir", gone)
    assert verify(folder).size == 600


def test_beside_a_log_that_appends(tmp_path: Path) -> None:
    """Whatever moment it is, the folder verifies for the checkpoint that was there."""
    sizes: list[int] = []

    def look(step: str) -> None:
        if step in {"placed", "synced", "dropped"} and log_folder.joinpath("checkpoint").exists():
            sizes.append(verify(log_folder).size)

    log_folder = tmp_path / "folder"
    with Log.open(
        folder=log_folder,
        database=tmp_path / "db",
        last_signed=tmp_path / "last",
        signer=SIGNER,
        on_step=look,
    ) as log:
        for size in (200, 300, 512, 515, 600):
            log.append(ENTRIES[log.size : size])
    assert set(sizes) == {0, 200, 300, 512, 515}
    assert verify(log_folder).size == 600


# -- what is no file -------------------------------------------------------------------------------


MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "a symbolic link"),
    "a link to what was there": (
        lambda path: path.symlink_to(path.parents[4] / "kept"),
        "a symbolic link",
    ),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "a symbolic link"),
    "a pipe": (os.mkfifo, "a device, a pipe or a socket"),
    "a folder": (Path.mkdir, "a folder"),
}


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/001", "tile/entries/002.p/88"])
@pytest.mark.parametrize(("make", "kind"), MADE.values(), ids=MADE.keys())
def test_what_is_no_regular_file(
    folder: Path, name: str, make: Callable[[Path], object], kind: str
) -> None:
    (folder / name).rename(folder.parent / "kept")
    make(folder / name)
    with pytest.raises(IntegrityBroken, match=kind.replace("folder", "(folder|tile)")) as broken:
        verify(folder)
    assert broken.value.place == name


@pytest.mark.parametrize("name", ["tile", "tile/0", "tile/entries/002.p"])
def test_what_is_no_folder(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name)
    os.mkfifo(folder / name)
    with pytest.raises(IntegrityBroken, match="a device, a pipe or a socket"):
        verify(folder)
    (folder / name).unlink()
    (folder / name).write_bytes(b"")
    with pytest.raises(IntegrityBroken) as broken:
        verify(folder)
    assert broken.value.place == name


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/001", "tile/entries/001"])
def test_a_file_of_a_terabyte_is_not_read(folder: Path, name: str) -> None:
    os.truncate(folder / name, 1 << 40)
    with pytest.raises(IntegrityBroken, match=f"got {1 << 40} bytes"):
        verify(folder)
