"""What every database behind a log must do; each adapter's tests run this class.

A subclass says how to open one place twice, and how to reach past the store into its tables.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError, LogDamaged, LogUnavailable
from ledger.store import Batch, Store, StoredHead

ODD_KEYS = (
    "plain",
    "'; DROP TABLE entries; --",
    '"quoted" \\ back\\slash',
    "%s %(x)s :x ? $1",
    "数据 \U0001f600 e\u0301",
    "x" * 200,
    "{a,b}",
)


def batch(
    first_index: int,
    lines: Sequence[bytes] = (),
    keys: Sequence[tuple[str, int, int]] = (),
    *,
    note: str | None = None,
) -> Batch:
    """A batch whose frontier and note are told apart by its size."""
    size = first_index + len(lines)
    return Batch(
        first_index=first_index,
        lines=lines,
        keys=keys,
        size=size,
        frontier=frontier(size),
        note=f"note of {size}\n" if note is None else note,
    )


def frontier(size: int) -> bytes:
    return b"".join(bytes([255 - n, size % 256]) * 16 for n in range(size.bit_count()))


def head(size: int) -> StoredHead:
    return StoredHead(size, frontier(size), f"note of {size}\n")


class Place(ABC):
    """Where one database lives."""

    @abstractmethod
    def open(self) -> Store:
        """Open it, or make it."""

    @abstractmethod
    def database(self) -> Path | str:
        """What `open_store` takes, for another process."""

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Change the tables behind the store's back; standard SQL only."""


class StoreContract:
    """Fixture `place`: a `Place` that is empty."""

    def test_a_new_database_holds_nothing(self, place: Place) -> None:
        store = place.open()
        assert store.head() is None
        assert list(store.lines(0)) == []
        assert store.find("k") is None
        assert store.find_many([]) == {}
        store.close()
        store.close()

    def test_what_was_appended_is_there_when_opened_again(self, place: Place) -> None:
        store = place.open()
        store.append(batch(0))
        assert store.head() == head(0)
        store.append(batch(0, [b"a", b"b"], [("k", 0, 2)]))
        store.append(batch(2, [b"c"], [("l", 2, 1), ("none", 3, 0)]))
        for _ in range(2):
            assert list(store.lines(0)) == [b"a", b"b", b"c"]
            assert list(store.lines(2)) == [b"c"]
            assert list(store.lines(3)) == []
            assert store.head() == head(3)
            assert store.find("k") == (0, 2)
            assert store.find_many(["l", "k", "m", "none"]) == {
                "k": (0, 2),
                "l": (2, 1),
                "none": (3, 0),
            }
            store.close()
            store = place.open()
        store.close()

    def test_the_first_batch_may_hold_entries(self, place: Place) -> None:
        store = place.open()
        store.append(batch(0, [b"a"]))
        assert store.head() == head(1)
        store.close()

    def test_reading_goes_on_past_a_batch(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = place.open()
        lines = [str(n).encode() for n in range(2001)]
        store.append(batch(0, lines))
        assert list(store.lines(0)) == lines
        assert list(store.lines(1001)) == lines[1001:]
        store.close()

    def test_a_batch_of_ten_thousand(self, place: Place) -> None:
        store = place.open()
        lines = [b"%d" % n for n in range(10_000)]
        keys = [(f"k{n}", n, 1) for n in range(10_000)]
        store.append(batch(0, lines, keys))
        found = store.find_many([key for key, _, _ in keys] + ["other"])
        assert found == {key: (first, count) for key, first, count in keys}
        assert sum(1 for _ in store.lines(0)) == 10_000
        store.close()

    def test_the_largest_that_a_log_takes(self, place: Place) -> None:
        store = place.open()
        entry, note = b"x" * 65_535, "n" * 999_999 + "\n"
        store.append(batch(0, [entry, b"\x00\xff\n'"], note=note))
        assert list(store.lines(0)) == [entry, b"\x00\xff\n'"]
        assert store.head() == StoredHead(2, frontier(2), note)
        store.close()

    def test_keys_of_odd_characters(self, place: Place) -> None:
        store = place.open()
        store.append(batch(0, [b"a"], [(key, n, n + 1) for n, key in enumerate(ODD_KEYS)]))
        assert store.find_many(ODD_KEYS) == {k: (n, n + 1) for n, k in enumerate(ODD_KEYS)}
        for n, key in enumerate(ODD_KEYS):
            assert store.find(key) == (n, n + 1)
            assert store.find(key.upper() + " ") is None
        store.close()

    def test_a_note_with_cosignatures_takes_the_place_of_the_note(self, place: Place) -> None:
        store = place.open()
        store.append(batch(0, [b"a", b"b", b"c"]))
        store.replace_note(3, "with a cosignature\n")
        store.close()
        store = place.open()
        assert store.head() == StoredHead(3, frontier(3), "with a cosignature\n")
        store.append(batch(3, [b"d"]))
        assert store.head() == head(4)
        with pytest.raises(LogDamaged, match="expected a head of size 3"):
            store.replace_note(3, "too late\n")
        assert store.head() == head(4)
        store.close()

    def test_no_head_to_put_cosignatures_on(self, place: Place) -> None:
        store = place.open()
        with pytest.raises(LogDamaged, match="expected a head of size 0"):
            store.replace_note(0, "n")
        assert store.head() is None
        store.close()

    @pytest.mark.parametrize(
        ("refused", "message"),
        [
            pytest.param(batch(1, [b"x"]), "head of size 1, got one of size 2", id="older"),
            pytest.param(batch(0, [b"x"]), "head of size 0, got one of size 2", id="first-again"),
            pytest.param(batch(0), "head of size 0, got one of size 2", id="begun-again"),
            pytest.param(batch(3, [b"x"]), "head of size 3, got one of size 2", id="ahead"),
            pytest.param(batch(2, [b"x"], [("k", 2, 1)]), "(?i)unique", id="key-taken"),
            pytest.param(
                batch(2, [b"x"], [("n", 2, 1), ("n", 2, 1)]), "(?i)unique", id="key-twice"
            ),
        ],
    )
    def test_a_batch_that_does_not_go_on_from_the_head(
        self, place: Place, refused: Batch, message: str
    ) -> None:
        store = place.open()
        store.append(batch(0, [b"a", b"b"], [("k", 0, 2)]))
        for _ in range(2):
            with pytest.raises(LogDamaged, match=message):
                store.append(refused)
            assert store.head() == head(2)
            assert list(store.lines(0)) == [b"a", b"b"]
            assert store.find_many(["k", "n"]) == {"k": (0, 2)}
        store.append(batch(2, [b"c"]))
        assert store.head() == head(3)
        store.close()

    def test_a_database_without_its_head_does_not_begin_again(self, place: Place) -> None:
        store = place.open()
        store.append(batch(0, [b"a", b"b"]))
        place.execute("DELETE FROM head")
        with pytest.raises(LogDamaged, match="head of size 2, got none"):
            store.append(batch(2, [b"c"]))
        with pytest.raises(LogDamaged, match=r"(?i)unique"):
            store.append(batch(0, [b"c"]))
        assert store.head() is None
        store.close()

    def test_a_gap_is_found(self, place: Place) -> None:
        store = place.open()
        store.append(batch(0, [b"a", b"b", b"c"]))
        place.execute("DELETE FROM entries WHERE position = 1")
        with pytest.raises(LogDamaged, match="expected entry 1, got entry 2") as caught:
            list(store.lines(0))
        assert "newest backup" in str(caught.value)
        assert list(store.lines(2)) == [b"c"]
        store.close()

    def test_an_entry_ahead_of_the_head_is_in_the_way(self, place: Place) -> None:
        store = place.open()
        store.append(batch(0, [b"a"]))
        place.execute("INSERT INTO entries (position, line) SELECT 2, line FROM entries")
        with pytest.raises(LogDamaged, match=r"(?i)unique"):
            store.append(batch(1, [b"b", b"c"]))
        assert store.head() == head(1)
        store.close()

    @pytest.mark.parametrize("table", ["entries", "idempotency", "head"])
    def test_a_missing_table(self, place: Place, table: str) -> None:
        place.open().close()
        place.execute(f"DROP TABLE {table}")
        with pytest.raises(LogDamaged, match=table):
            self.use(place)

    @staticmethod
    def use(place: Place) -> None:
        """Open the store, and read and write each of its tables."""
        store = place.open()
        try:
            list(store.lines(0))
            store.find("k")
            store.head()
        finally:
            store.close()

    @pytest.mark.parametrize("after", [0, 1, 2, 3])
    def test_killed_in_the_middle_of_a_transaction(self, place: Place, after: int) -> None:
        store = place.open()
        store.append(batch(0, [b"a"], [("k", 0, 1)]))
        store.close()
        self.kill_in_append(place, after)
        store = self.open_after_kill(place)
        assert store.head() == head(1)
        assert list(store.lines(0)) == [b"a"]
        assert store.find_many(["k", "killed"]) == {"k": (0, 1)}
        store.append(batch(1, [b"b", b"c"], [("killed", 1, 2)]))
        assert store.head() == head(3)
        store.close()

    def test_killed_after_an_append(self, place: Place) -> None:
        self.kill_in_append(place, None)
        store = self.open_after_kill(place)
        assert store.head() == head(1002)
        assert sum(1 for _ in store.lines(0)) == 1002
        assert store.find("killed") == (1, 1001)
        store.close()

    def open_after_kill(self, place: Place) -> Store:
        return place.open()

    @staticmethod
    def kill_in_append(place: Place, after: int | None) -> None:
        """Kill a process after so many of an append's three statements, before its commit.

        None: when it has returned.
        """
        program = Path(__file__).with_name("store_victim.py")
        child = subprocess.run(
            [sys.executable, str(program), str(place.database()), str(after)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.returncode == -signal.SIGKILL, child.stderr


@given(first=st.integers(0, 5), lines=st.integers(0, 5), off=st.integers(-3, 3).filter(bool))
@settings(max_examples=50)
def check_batches_that_contradict_themselves(first: int, lines: int, off: int) -> None:
    good = batch(first, [b"x"] * lines)
    with pytest.raises(LedgerError, match="expected size"):
        Batch(first, good.lines, (), good.size + off, good.frontier, "n")
    with pytest.raises(LedgerError, match="expected a frontier"):
        Batch(first, good.lines, (), good.size, good.frontier + b"x", "n")


__all__ = [
    "LogUnavailable",
    "Place",
    "StoreContract",
    "batch",
    "check_batches_that_contradict_themselves",
    "head",
]
