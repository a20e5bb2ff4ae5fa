"""What a log finds when it opens: what it repairs, and what it refuses."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_site import Site

from auditors.verify import verify_folder
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.errors import LogDamaged
from ledger.folder import history_line
from ledger.note import NoteSigner

FILES = ("entries.jsonl", "leaves", "checkpoints.jsonl", "checkpoint")


@pytest.fixture
def full(site: Site) -> Site:
    """Five entries in three appends; `old` holds a copy of everything as of three entries."""
    with site.open() as log:
        log.append([b"a", b"b"])
        log.append([b"c"])
    for name in ("folder", "state", "apart"):
        shutil.copytree(site.root / name, site.root / "old" / name)
    with site.open() as log:
        log.append([b"d", b"e"])
    return site


def contents(site: Site) -> dict[str, bytes]:
    return {name: (site.folder / name).read_bytes() for name in FILES}


def cut(name: str, keep: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_bytes(keep(path.read_bytes()))

    return apply


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
    assert contents(full) == before


def test_an_older_folder_is_brought_up(full: Site) -> None:
    before = contents(full)
    shutil.rmtree(full.folder)
    shutil.copytree(full.root / "old" / "folder", full.folder)
    full.open().close()
    assert contents(full) == before


@pytest.mark.parametrize("name", FILES[:3])
@pytest.mark.parametrize(
    "keep",
    [
        pytest.param(lambda data: data[:-1], id="no-newline"),
        pytest.param(lambda data: data[: data[:-1].rindex(b"\n") + 2], id="one-byte-of-a-line"),
        pytest.param(lambda data: data[: data[:-1].rindex(b"\n") + 1], id="no-last-line"),
        pytest.param(lambda data: data[: data[:-1].rindex(b"\n") + 1] + bytes(99), id="zeros"),
        pytest.param(lambda data: data[: data[:-1].rindex(b"\n") + 1] + b"?", id="garbage"),
        pytest.param(lambda _: b"", id="empty"),
    ],
)
def test_a_torn_end_is_repaired(full: Site, name: str, keep: Callable[[bytes], bytes]) -> None:
    before = contents(full)
    cut(name, keep)(full.folder)
    full.open().close()
    assert contents(full) == before
    assert verify_folder(full.folder, verifier_key=full.signer.verifier_key).size == 5


def signed(site: Site, size: int, root: bytes, signer: NoteSigner | None = None) -> bytes:
    signer = signer or site.signer
    return sign_checkpoint(Checkpoint(signer.name, size, root), signer).encode()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("entries.jsonl", lambda d: d.replace(b"b", b"B"), "line 2 is not the one"),
        ("entries.jsonl", lambda d: d + b"f\n", "expected the end after 5 lines"),
        ("entries.jsonl", lambda d: d + b"f", "expected the end after 5 lines"),
        ("entries.jsonl", lambda d: d[:-4] + b"longer\n", "line 4 is not the one"),
        ("entries.jsonl", lambda d: b"a\nc\n", "line 2 is not the one"),
        ("leaves", lambda d: d.replace(b"a", b"b", 1), "is not the one"),
        ("leaves", lambda d: d + d, "expected the end after 5 lines"),
        ("checkpoints.jsonl", lambda d: d.replace(b"2,", b"3,", 1), "line 2 is not the one"),
        ("checkpoints.jsonl", lambda d: d + history_line(6, "x"), "expected the end after 4"),
        ("checkpoint", lambda d: d[:-1], "published checkpoint"),
        ("checkpoint", lambda d: b"", "published checkpoint"),
        ("checkpoint", lambda d: b"\xff", "bytes that are no text"),
        ("checkpoint", lambda d: d * 9000, "at most 1000000 bytes"),
    ],
    ids=range(13),
)
def test_a_folder_that_says_something_else(
    full: Site, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    cut(name, change)(full.folder)
    before = contents(full)
    for _ in range(2):
        with pytest.raises(LogDamaged, match=message):
            full.open()
    assert contents(full) == before


@pytest.mark.parametrize("where", ["folder/checkpoint", "apart/last-signed"])
@pytest.mark.parametrize(
    ("size", "root", "message"),
    [
        pytest.param(6, bytes(32), "covers 6 entries, the database holds 5", id="ahead"),
        pytest.param(5, bytes(32), "two histories", id="fork"),
        pytest.param(2, bytes(32), "two histories", id="old-fork"),
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
    (full.root / where).write_bytes(signed(full, 5, bytes(32), other))
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
    with pytest.raises(LogDamaged, match="covers 5 entries, the database holds 0"):
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
        assert log.size == 5


def test_an_older_record_is_what_a_crash_leaves(full: Site) -> None:
    restore(full, "apart")
    with full.open() as log:
        assert log.size == 5
    assert full.last_signed.read_bytes() == (full.folder / "checkpoint").read_bytes()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE entries SET line = CAST('B' AS BLOB) WHERE position = 1", "two histories"),
        ("DELETE FROM entries WHERE position = 1", "expected entry 1, got entry 2"),
        ("DELETE FROM entries WHERE position = 4", "covers 5 entries, the database holds 4"),
        ("DELETE FROM checkpoints WHERE size = 5", "a checkpoint of all its 5 entries"),
        ("DELETE FROM checkpoints", "newest checkpoint of the database"),
        ("UPDATE checkpoints SET size = 9 WHERE size = 5", "a checkpoint of all its 5 entries"),
        ("UPDATE checkpoints SET note = '' WHERE size = 5", "newest checkpoint of the database"),
        ("DELETE FROM checkpoints WHERE size = 2", "line 2 is not the one"),
        ("PRAGMA user_version = 2", "expected version 1 of its tables, got 2"),
        ("DROP TABLE checkpoints", "no such table"),
    ],
    ids=range(10),
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
        connection.execute("INSERT INTO entries VALUES (5, CAST('x' AS BLOB))")
        connection.commit()
        connection.close()
        for _ in range(2):
            with pytest.raises(LogDamaged):
                log.append([b"f"])
        assert log.size == 5


def test_an_entry_changed_while_the_log_runs(full: Site) -> None:
    with full.open() as log:
        cut("entries.jsonl", lambda data: data.replace(b"b", b"B"))(full.folder)
        assert log.entry(0) == b"a"
        with pytest.raises(LogDamaged, match=r"entry 1 \(line 2\) was changed"):
            log.entries(0, 3)
