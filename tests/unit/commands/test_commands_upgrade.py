"""docs/upgrade.md: the versions that it states, and what it says of files of another one."""

from __future__ import annotations

import re
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from commands_site import Tds

from clients import schema as node_schema
from commands.inprocess import LocalGovernance, LocalSuperLink
from ledger import store as log_store
from server import registry
from server.errors import RegistryDamaged
from server.space import load_space

PAGE = (Path(__file__).parents[3] / "docs" / "upgrade.md").read_text(encoding="utf-8")


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (r"`governance/governance\.db` \| schema (\d+)", registry.SCHEMA_VERSION),
        (r"a node's `ledger\.db` \| tables (\d+)", log_store.SCHEMA_VERSION),
        (r"a node's `state\.db` \| tables (\d+)", node_schema.SCHEMA_VERSION),
        (r"expected schema (\d+), got", registry.SCHEMA_VERSION),
    ],
)
def test_the_page_states_the_versions_of_now(line: str, version: int) -> None:
    found = re.search(line, PAGE)
    assert found, line
    assert int(found[1]) == version


def test_a_registry_of_another_version_is_refused_and_made_again_from_the_log(desk: Path) -> None:
    space = load_space(desk / "space")
    alter(space.database, "UPDATE meta SET value = value - 1 WHERE name = 'schema'")
    older = registry.SCHEMA_VERSION - 1
    said = f"expected schema {registry.SCHEMA_VERSION}, got {older}; stop, move the file away"
    with ExitStack() as stack, pytest.raises(RegistryDamaged, match=said):
        LocalGovernance.open(stack, space, LocalSuperLink())
    for name in ("governance.db", "governance.db-wal", "governance.db-shm"):
        (space.database.parent / name).unlink(missing_ok=True)
    with ExitStack() as stack:
        LocalGovernance.open(stack, space, LocalSuperLink())
    with closing(sqlite3.connect(space.database)) as database:
        known = {row[0] for row in database.execute("SELECT id FROM participants")}
    assert {"operator", "consortium", "clinic"} <= known


@pytest.mark.parametrize(
    ("path", "call", "code", "said"),
    [
        ("clinic/state.db", "node status --node clinic", 1, "newer"),
        (
            "space/governance/ledger.db",
            "space backup --space space --out b.tar",
            3,
            "another release",
        ),
        ("clinic/ledger.db", "node backup --node clinic --out b.tar", 3, "another release"),
    ],
)
def test_a_database_of_another_version_is_refused(
    tds: Tds, desk: Path, path: str, call: str, code: int, said: str
) -> None:
    before = (desk / path).read_bytes()
    alter(desk / path, "PRAGMA user_version = 99")
    ran = tds(*call.split())
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert not (desk / "b.tar").exists()
    assert len((desk / path).read_bytes()) == len(before)
