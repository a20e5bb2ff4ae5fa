"""The SQLite store: the contract, and what only a file can suffer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from store_contract import (
    Place,
    StoreContract,
    batch,
    check_batches_that_contradict_themselves,
    head,
)

from ledger.errors import LedgerError, LogDamaged, LogUnavailable
from ledger.store_sqlite import SqliteStore
from ledger.stores import open_store


class File(Place):
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> SqliteStore:
        return SqliteStore.open(self.path)

    def database(self) -> Path:
        return self.path

    def execute(self, sql: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute(sql)
        connection.commit()
        connection.close()


@pytest.fixture
def place(tmp_path: Path) -> File:
    return File(tmp_path / "odd ?#%41 name.sqlite")


class TestSqliteStore(StoreContract):
    """The contract."""


def test_a_batch_that_contradicts_itself() -> None:
    check_batches_that_contradict_themselves()


def test_a_path_chooses_sqlite(place: File) -> None:
    store = open_store(place.path)
    assert isinstance(store, SqliteStore)
    store.close()
    assert place.path.is_file()


def test_a_text_that_is_no_url(place: File) -> None:
    with pytest.raises(LedgerError, match="expected a path, or postgresql"):
        open_store(str(place.path))


def test_a_second_writer_is_refused(place: File) -> None:
    first, second = place.open(), place.open()
    first.append(batch(0, [b"a"]))
    assert second.head() == head(1)
    second.append(batch(1, [b"b"]))
    with pytest.raises(LogDamaged, match="head of size 1, got one of size 2: somebody else wrote"):
        first.append(batch(1, [b"c"]))
    assert list(first.lines(0)) == [b"a", b"b"]
    first.close()
    second.close()


def test_every_transaction_is_on_the_disk(place: File) -> None:
    store = place.open()
    with store._transaction() as connection:
        for pragma, expected in (("journal_mode", "wal"), ("synchronous", 2)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == expected
    store.close()


@pytest.mark.parametrize("version", [1, 3])
def test_another_version(place: File, version: int) -> None:
    place.open().close()
    place.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(LogDamaged, match=f"expected version 2 of its tables, got {version}") as got:
        place.open()
    assert "begin a log under a new name" in str(got.value)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE entries SET line = 'a text' WHERE position = 1", "entry 1: expected bytes"),
        ("UPDATE head SET frontier = 'a text'", "head: expected a size, bytes and a text"),
        ("UPDATE head SET note = x'00'", "head: expected a size, bytes and a text"),
        ("UPDATE head SET note = CAST(x'ff' AS TEXT)", "UTF-8"),
        ("UPDATE head SET size = 'many'", "head: expected a size, bytes and a text"),
        ("UPDATE idempotency SET count = 'many'", "idempotency key 'k': expected two numbers"),
    ],
    ids=range(6),
)
def test_values_of_other_types(place: File, sql: str, message: str) -> None:
    store = place.open()
    store.append(batch(0, [b"a", b"b"], [("k", 0, 2)]))
    store.close()
    place.execute(sql)
    with pytest.raises(LogDamaged, match=message):
        TestSqliteStore.use(place)


def test_a_file_that_is_no_database(place: File) -> None:
    place.path.write_bytes(b"not a database" * 1000)
    with pytest.raises(LogDamaged, match="put the newest backup in its place"):
        place.open()


@pytest.mark.parametrize("page", range(1, 6))
def test_a_damaged_page(place: File, page: int) -> None:
    store = place.open()
    store.append(batch(0, [b"entry %d" % n for n in range(500)], [("k", 0, 500)]))
    store.close()
    data = bytearray(place.path.read_bytes())
    assert len(data) >= 6 * 4096
    data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    place.path.write_bytes(data)
    with pytest.raises(LogDamaged, match="keep the file as evidence"):
        TestSqliteStore.use(place)


def test_a_full_disk(place: File) -> None:
    store = place.open()
    store.append(batch(0, [b"a"]))
    with store._transaction() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 20")
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="full; free the disk"):
            store.append(batch(1, [b"x" * 60_000] * 20, [("k", 1, 20)]))
        assert store.head() == head(1)
        assert store.find("k") is None
    with store._transaction() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    store.append(batch(1, [b"x" * 60_000] * 20, [("k", 1, 20)]))
    assert store.head() == head(21)
    store.close()


def test_a_locked_database(place: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.store_sqlite.BUSY_TIMEOUT_MS", 20)
    store = place.open()
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="locked; free the disk or the lock"):
        store.append(batch(0, [b"a"]))
    other.execute("ROLLBACK")
    other.close()
    store.append(batch(0, [b"a"]))
    store.close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="unable to open database file"):
        SqliteStore.open(tmp_path / "none" / "log.sqlite")
