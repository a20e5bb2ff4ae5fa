"""A node's database that an older program wrote: brought up whole, or left as it was."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from clients.errors import StateUnavailable
from clients.migration import bring_up, copy_of
from clients.schema import SCHEMA_VERSION
from clients.state import NodeState

WRITTEN_BY_3 = Path(__file__).parent / "state_v3.sql"
AGREEMENT = "urn:tdspace:agreement:1"
UNFINISHED = "permit-2"

Columns = dict[str, set[tuple[str, str, int, int]]]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file as version 3 left it: in WAL, with a use in the middle and entries that wait."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(WRITTEN_BY_3.read_text())
    path.chmod(0o600)
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def columns(path: Path) -> Columns:
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: {
                (column, kind, required, key)
                for _, column, kind, required, _, key in connection.execute(
                    f"PRAGMA table_info({name})"
                )
            }
            for (name,) in names
        }


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def test_an_older_file_gets_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    NodeState.open(old).close()
    fresh = tmp_path / "fresh.db"
    NodeState.open(fresh).close()
    assert columns(old) == columns(fresh)
    assert version(old) == version(fresh) == SCHEMA_VERSION


def test_running_state_is_still_there(old: Path) -> None:
    state = NodeState.open(old)
    assert [use.permit_id for use in state.unfinished()] == [UNFINISHED]
    record = state.agreement(AGREEMENT)
    assert record is not None
    assert (record.uses, record.metered_s) == (2, 60)
    # What consumers stated then bounded nothing.
    assert (record.losses, record.delta, record.given.epsilon) == ('{"unbounded":2}', "", None)
    assert [number for number, _ in state.pending_entries()] == [1]
    assert [waiting.id for waiting in state.pending_withdrawals()] == ["w1"]
    state.finish_use(UNFINISHED, "stopped")
    state.approve_app("cd" * 32, time="2026-03-01T13:00:00.000Z")
    assert [number for number, _ in state.pending_entries()] == [1, 3]
    state.close()


def test_a_failing_step_leaves_the_file_as_it_was(old: Path) -> None:
    before = content(old)
    with pytest.raises(sqlite3.OperationalError, match="no such table: none"):
        upgrade(old, "CREATE TABLE more (id)", "ALTER TABLE none ADD COLUMN a")
    assert (content(old), version(old)) == (before, 3)
    assert content(copy_of(old, 3)) == before


def test_a_copy_is_kept_that_the_old_program_can_open(old: Path) -> None:
    before = content(old)
    upgrade(old, "CREATE TABLE more (id)")
    kept = copy_of(old, 3)
    assert (kept.name, version(kept), version(old)) == ("state.db.v3", 3, 4)
    assert content(kept) == before
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not list(old.parent.glob(".*.new"))


def test_a_function_is_a_step(old: Path) -> None:
    upgrade(old, lambda connection: connection.exec_driver_sql("DELETE FROM uses"))
    assert version(old) == 4
    assert "INSERT INTO" not in "".join(line for line in content(old) if "uses" in line)


def test_a_second_try_replaces_the_copy_of_the_first(old: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        upgrade(old, "no SQL")
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM withdrawals")  # the old program went on meanwhile
    before = content(old)
    upgrade(old, "CREATE TABLE more (id)")
    assert content(copy_of(old, 3)) == before


def test_nothing_is_changed_where_no_copy_can_be_kept(old: Path) -> None:
    copy_of(old, 3).mkdir()
    before = content(old)
    with pytest.raises(StateUnavailable, match=r"no copy of it could be kept.*make room"):
        upgrade(old, "CREATE TABLE more (id)")
    assert (content(old), version(old)) == (before, 3)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (SCHEMA_VERSION + 1, f"got {SCHEMA_VERSION + 1}: a newer tds wrote it; run that one"),
        (-3, "knows no way"),
    ],
)
def test_what_this_program_does_not_know_is_refused(old: Path, found: int, text: str) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute(f"PRAGMA user_version = {found}")
    before = content(old)
    with pytest.raises(StateUnavailable, match=text):
        NodeState.open(old)
    assert (content(old), version(old)) == (before, found)
    assert not list(old.parent.glob("state.db.v*"))


KILLED = """
import os, sys
from pathlib import Path
from clients import migration
from clients.database import Database
def kill(connection):
    connection.exec_driver_sql("DELETE FROM agreements")
    os.kill(os.getpid(), 9)
migration.bring_up.__kwdefaults__.update(
    upgrades={**migration.UPGRADES, migration.SCHEMA_VERSION: (kill,)},
    newest=migration.SCHEMA_VERSION + 1,
)
Database.open(Path(sys.argv[1]))
"""


def test_killed_in_the_middle_the_old_version_stands_and_is_brought_up_again(old: Path) -> None:
    before = content(old)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(old)], timeout=60, check=False)
    assert ended.returncode == -9
    assert (content(old), version(old)) == (before, 3)
    state = NodeState.open(old)
    assert [agreement.id for agreement in state.agreements()] == [AGREEMENT]
    state.close()


def upgrade(path: Path, *steps: object) -> None:
    """From version 3 to an invented 4, as `Database.open` would."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                bring_up(connection, path, upgrades={3: steps}, newest=4)  # type: ignore[dict-item]
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")
    except OperationalError as error:
        assert error.orig is not None
        raise error.orig from error
    finally:
        engine.dispose()
