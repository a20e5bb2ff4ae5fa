"""What a log finds when it opens: what it repairs, and what it refuses."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_site import Site

from auditors.verify import verify_folder
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.errors import LogDamaged, LogUnavailable
from ledger.note import NoteSigner

FILES = (
    "checkpoint",
    "tile/0/000",
    "tile/0/001.p/4",
    "tile/1/000.p/1",
    "tile/entries/000",
    "tile/entries/001.p/4",
)
"""What a log of 260 entries needs; the others are partial tiles that it grew through."""


@pytest.fixture
def full(site: Site) -> Site:
    """260 entries in four appends; `old` holds a copy of everything as of 200."""
    with site.open() as log:
        log.append([b"entry %d" % n for n in range(100)])
        log.append([b"entry %d" % n for n in range(100, 200)])
    for name in ("folder", "state", "apart"):
        shutil.copytree(site.root / name, site.root / "old" / name)
    with site.open() as log:
        log.append([b"entry %d" % n for n in range(200, 258)])
        log.append([b"entry %d" % n for n in range(258, 260)])
    return site


def contents(site: Site) -> dict[str, bytes]:
    return {
        str(path.relative_to(site.folder)): path.read_bytes()
        for path in site.folder.rglob("*")
        if path.is_file()
    }


def test_partial_tiles_go_when_the_full_one_is_there(full: Site) -> None:
    kept = ("tile/0/001.p/2", "tile/entries/001.p/2")
    assert sorted(contents(full)) == sorted([*FILES, *kept])


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_published_again(full: Site, name: str) -> None:
    before = contents(full)
    (full.folder / name).unlink()
    full.open().close()
    assert contents(full) == before


def test_a_folder_moved_away_is_published_again(full: Site) -> None:
    before = contents(full)
    shutil.rmtree(full.folder)
    full.open().close()
    assert contents(full) == {name: before[name] for name in FILES}


def test_an_older_folder_is_brought_up(full: Site) -> None:
    before = contents(full)
    shutil.rmtree(full.folder)
    shutil.copytree(full.root / "old" / "folder", full.folder)
    full.open().close()
    assert contents(full) == {name: before[name] for name in FILES}
    assert verify_folder(full.folder, verifier_key=full.signer.verifier_key).size == 260


def test_what_a_crash_left_is_taken_away(full: Site) -> None:
    before = contents(full)
    (full.folder / ".new").write_bytes(b"half a ti")
    for stale in ("tile/0/000.p/7", "tile/entries/000.p/7"):
        (full.folder / stale).parent.mkdir()
        (full.folder / stale).write_bytes(b"anything")
    full.open().close()
    assert contents(full) == before


def signed(site: Site, size: int, root: bytes, signer: NoteSigner | None = None) -> bytes:
    signer = signer or site.signer
    return sign_checkpoint(Checkpoint(signer.name, size, root), signer).encode()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tile/entries/000", lambda d: d.replace(b"y 7", b"y 8"), "not the one in the database"),
        ("tile/entries/000", lambda d: d[:-1], "not the one in the database"),
        ("tile/entries/000", lambda d: d + b"x", "not the one in the database"),
        ("tile/entries/001.p/4", lambda _: b"", "not the one in the database"),
        ("tile/entries/001.p/2", lambda d: d.replace(b"6", b"7"), "not the one in the database"),
        ("tile/entries/001.p/5", lambda _: b"x", "nothing beyond 260 entries"),
        ("tile/entries/001", lambda _: b"x", "nothing beyond 260 entries"),
        ("tile/0/000", lambda d: bytes(32) + d[32:], "not the one in the database"),
        ("tile/0/001.p/2", lambda d: d[:-1] + b"x", "not the one in the database"),
        ("tile/0/002.p/1", lambda _: bytes(32), "nothing beyond 260 entries"),
        ("tile/1/000.p/1", lambda _: bytes(32), "not the one in the database"),
        ("tile/1/000.p/2", lambda _: bytes(64), "nothing beyond 260 entries"),
        ("tile/2/000.p/1", lambda _: bytes(32), "nothing beyond 260 entries"),
        ("checkpoint", lambda d: d[:-1], "published checkpoint"),
        ("checkpoint", lambda _: b"", "published checkpoint"),
        ("checkpoint", lambda _: b"\xff", "bytes that are no text"),
        ("checkpoint", lambda d: d * 9000, "at most 1000000 bytes"),
    ],
    ids=range(17),
)
def test_a_folder_that_says_something_else(
    full: Site, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    path = full.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change(path.read_bytes() if path.exists() else b""))
    before = contents(full)
    for _ in range(2):
        with pytest.raises(LogDamaged, match=message):
            full.open()
    assert contents(full) == before


@pytest.mark.parametrize("where", ["folder/checkpoint", "apart/last-signed"])
@pytest.mark.parametrize(
    ("size", "root", "message"),
    [
        pytest.param(261, bytes(32), "covers 261 entries, the database holds 260", id="ahead"),
        pytest.param(260, bytes(32), "two histories", id="fork"),
        pytest.param(100, bytes(32), "two histories", id="old-fork"),
    ],
)
def test_a_signed_head_of_another_history(
    full: Site, where: str, size: int, root: bytes, message: str
) -> None:
    (full.root / where).write_bytes(signed(full, size, root))
    with pytest.raises(LogDamaged, match=message):
        full.open()


@pytest.mark.parametrize("where", ["folder/checkpoint", "apart/last-signed"])
def test_a_head_by_another_key(full: Site, where: str) -> None:
    other = NoteSigner("logs.example/test", Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32))
    (full.root / where).write_bytes(signed(full, 260, bytes(32), other))
    with pytest.raises(LogDamaged, match="start with the old ones"):
        full.open()


def test_another_signer_cannot_go_on(full: Site) -> None:
    other = NoteSigner("logs.example/test", Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32))
    with pytest.raises(LogDamaged, match="newest checkpoint of the database"):
        Site(full.root, other).open()


def restore(site: Site, name: str) -> None:
    shutil.rmtree(site.root / name)
    shutil.copytree(site.root / "old" / name, site.root / name)


def test_a_restored_backup_of_everything_but_the_record(full: Site) -> None:
    restore(full, "state")
    restore(full, "folder")
    with pytest.raises(LogDamaged, match="Restore the newest database"):
        full.open()


def test_a_lost_database(full: Site) -> None:
    shutil.rmtree(full.database.parent)
    with pytest.raises(LogDamaged, match="covers 260 entries, the database holds 0"):
        full.open()


def test_a_lost_database_and_record(full: Site) -> None:
    shutil.rmtree(full.database.parent)
    full.last_signed.unlink()
    with pytest.raises(LogDamaged, match="published checkpoint"):
        full.open()


def test_a_lost_record_names_the_way_back(full: Site) -> None:
    full.last_signed.unlink()
    with pytest.raises(LogDamaged, match="Put the record back"):
        full.open()
    shutil.copy(full.folder / "checkpoint", full.last_signed)
    with full.open() as log:
        assert log.size == 260


def test_an_older_record_is_what_a_crash_leaves(full: Site) -> None:
    restore(full, "apart")
    with full.open() as log:
        assert log.size == 260
    assert full.last_signed.read_bytes() == (full.folder / "checkpoint").read_bytes()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE entries SET line = CAST('B' AS BLOB) WHERE position = 1", "two histories"),
        ("DELETE FROM entries WHERE position = 1", "expected entry 1, got entry 2"),
        ("DELETE FROM entries WHERE position = 259", "covers 260 entries, the database holds 259"),
        ("DELETE FROM head", "newest checkpoint of the database"),
        ("UPDATE head SET size = 9", "a checkpoint of all its 260 entries"),
        ("UPDATE head SET note = ''", "newest checkpoint of the database"),
        ("UPDATE head SET frontier = zeroblob(64)", "expected the frontier of its 260 entries"),
        ("PRAGMA user_version = 1", "expected version 2 of its tables, got 1"),
        ("DROP TABLE head", "no such table"),
    ],
    ids=range(9),
)
def test_a_changed_database(full: Site, sql: str, message: str) -> None:
    connection = sqlite3.connect(full.database)
    connection.execute(sql)
    connection.commit()
    connection.close()
    with pytest.raises(LogDamaged, match=message):
        full.open()


def test_a_file_that_is_no_database(full: Site) -> None:
    full.database.write_bytes(b"not a database" * 1000)
    with pytest.raises(LogDamaged, match="put the newest backup in its place"):
        full.open()


def test_a_second_writer_that_ignored_the_lock(full: Site) -> None:
    with full.open() as log:
        connection = sqlite3.connect(full.database)
        connection.execute("INSERT INTO entries VALUES (260, CAST('x' AS BLOB))")
        connection.commit()
        connection.close()
        for _ in range(2):
            with pytest.raises(LogDamaged):
                log.append([b"f"])
        assert log.size == 260


def test_an_entry_changed_while_the_log_runs(full: Site) -> None:
    with full.open() as log:
        path = full.folder / "tile/entries/000"
        path.write_bytes(path.read_bytes().replace(b"entry 7", b"entry 8"))
        assert log.entries(259, 260) == [b"entry 259"]
        assert log.entry(0) == b"entry 0"
        with pytest.raises(LogDamaged, match=r"entry 7 is another: it was changed while the log"):
            log.entries(0, 30)
        path.write_bytes(b"")
        with pytest.raises(LogDamaged, match="expected 256 entries in 0 bytes"):
            log.entries(0, 30)
        path.unlink()
        with pytest.raises(LogUnavailable, match="reading failed"):
            log.entries(0, 30)
