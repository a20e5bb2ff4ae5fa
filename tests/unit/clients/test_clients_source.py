"""Databases as sources: SQLite and a real PostgreSQL, read only, in the order of a key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from postgres_site import Server, running
from test_clients_product import GOOD

from clients.draft import draft_of_source
from clients.errors import ProductError, VaultError
from clients.product import Product, load_product
from clients.readiness import read_readiness
from clients.selection import Selector
from clients.vault import Vault, open_product

SALT = bytes(range(32))
SQLITE = {"database": "sqlite:///records.db", "table": "visits", "key": ["id"]}
TABLE = (
    "CREATE TABLE visits (id integer, radius {float}, cells bigint, patient text, diagnosis text)"
)
ROWS = [(3, 0.5, 4, None, "benign"), (1, 1.5, 2, "p1", "benign"), (2, -1e3, 3, "p2", "malignant")]
COLUMNS = [
    {"name": "radius", "type": "float", "role": "feature"},
    {"name": "patient", "type": "string", "role": "ignored"},
    {"name": "diagnosis", "type": "string", "role": "label"},
    {"name": "cells", "type": "integer", "role": "feature"},
]


def product(folder: Path, source: dict[str, Any], **changes: Any) -> Product:
    content = {**GOOD, "columns": COLUMNS, "held_back": "0", "source": source, **changes}
    del content["path"]
    path = folder / "product.json"
    path.write_text(json.dumps(content))
    return load_product(path)


def database(folder: Path, *more: tuple[Any, ...]) -> Path:
    path = folder / "records.db"
    with sqlite3.connect(path) as opened:
        opened.execute(TABLE.format(float="real"))
        opened.executemany("INSERT INTO visits VALUES (?, ?, ?, ?, ?)", [*ROWS, *more])
    opened.close()
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        started.execute(
            TABLE.format(float="double precision"),
            "INSERT INTO visits VALUES (3, 0.5, 4, NULL, 'benign'), (1, 1.5, 2, 'p1', 'benign'),"
            " (2, -1000, 3, 'p2', 'malignant')",
            "CREATE FUNCTION spoil() RETURNS integer LANGUAGE sql AS "
            "'DELETE FROM visits RETURNING 1'",
            "CREATE ROLE reader LOGIN PASSWORD 'S3CRET-word'",
            "GRANT SELECT ON visits TO reader",
        )
        yield started


def postgres(server: Server, **changes: Any) -> dict[str, Any]:
    url = f"postgresql://tds@/postgres?host={server.folder}&port={server.port}"
    return {"database": url, "table": "visits", "key": ["id"], **changes}


def check(opened: Any) -> None:
    assert opened.rows.features.tolist() == [[1.5, 2], [-1000, 3], [0.5, 4]]
    assert opened.rows.labels.tolist() == [0, 1, 0]


def test_sqlite_is_read_in_the_order_of_the_key(tmp_path: Path) -> None:
    database(tmp_path)
    wanted = product(tmp_path, SQLITE)
    opened = open_product(wanted, salt=SALT)
    check(opened)
    query = {**SQLITE, "table": "", "query": "SELECT * FROM visits ORDER BY radius"}
    same = open_product(product(tmp_path, query), salt=SALT)
    assert same.product_commitment == opened.product_commitment
    assert open_product(wanted, salt=SALT[::-1]).product_commitment != opened.product_commitment


def test_a_change_in_the_database_shows_in_the_next_round(tmp_path: Path) -> None:
    path = database(tmp_path)
    vault, wanted = Vault(salt=SALT), product(tmp_path, SQLITE)
    before = vault.open(wanted)
    with sqlite3.connect(path) as opened:
        opened.execute("UPDATE visits SET cells = 5 WHERE id = 2")
    opened.close()
    after = vault.open(wanted)
    assert after.rows.features.tolist()[1] == [-1000, 5]
    assert after.product_commitment != before.product_commitment


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((4, "SECRET", 3, "p", "benign"), "'radius', row 4: expected a finite float"),
        ((4, None, 3, "p", "benign"), "'radius', row 4"),
        ((4, 1e39, 3, "p", "benign"), "'radius', row 4"),
        ((4, float("inf"), 3, "p", "benign"), "'radius', row 4"),
        ((4, 1, 7.5, "p", "benign"), "'cells', row 4: expected a finite integer"),
        ((4, 1, 1, "p", "SECRET"), "one of the product's classes"),
        ((4, 1, 1, "p", None), "'diagnosis', row 4"),
        ((3, 1, 1, "p", "benign"), "row 4: expected a key of its own"),
        ((None, 1, 1, "p", "benign"), "row 1: expected a key of its own"),
    ],
)
def test_a_bad_value_is_named_by_place(tmp_path: Path, row: tuple[Any, ...], words: str) -> None:
    database(tmp_path, row)
    with pytest.raises(VaultError, match=words) as caught:
        open_product(product(tmp_path, SQLITE), salt=SALT)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"table": "nothing"}, "OperationalError"),
        ({"key": ["nothing"]}, "OperationalError"),
        ({"table": "", "query": "SELECT id, radius FROM visits"}, "OperationalError"),
        ({"table": "", "query": "SELECT * FROM visits WHERE id > 9"}, "got none"),
        ({"table": "", "query": "SELECT * FROM visits) AS d, (SELECT 1"}, "got"),
        ({"database": "sqlite:///none.db"}, "No such file"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    database(tmp_path)
    with pytest.raises(VaultError, match=words):
        open_product(product(tmp_path, {**SQLITE, **change}), salt=SALT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": "SELECT 1"}, "either query or table"),
        ({"table": ""}, "either query or table"),
        ({"table": "visits; DROP TABLE visits"}, "SCHEMA.NAME"),
        ({"table": "", "query": "DELETE FROM visits"}, "one SELECT"),
        ({"table": "", "query": "SELECT 1; DELETE FROM visits"}, "without ';'"),
        ({"table": "", "query": "SELECT 1) AS d --"}, "without ';'"),
        ({"key": []}, r"\$\.source\.key"),
        ({"key": ["id", "id"]}, "each column once"),
        ({"database": "sqlite:////etc/records.db"}, "below the product file's folder"),
        ({"database": "sqlite:///../records.db"}, "below the product file's folder"),
        ({"database": "sqlite:///records.db?mode=rw"}, "below the product file's folder"),
        ({"database": "oracle://scott:S3CRET@host/db"}, "another form"),
        ({"database": "postgresql://u:S3CRET@localhost/db"}, "no password in it"),
        ({"database": "postgresql://u@localhost/db?password=S3CRET"}, "no password in it"),
        ({"database": "postgresql://u@db.example/db"}, "sslmode=verify-full"),
        ({"database": "postgresql://u@localhost/db?options=-c%20x"}, "got options"),
        ({"password_file": "word"}, "none for files of your own"),
        ({"more": 1}, r"\$\.source\.more"),
    ],
)
def test_a_source_is_checked_when_the_product_file_is_read(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProductError, match=words) as caught:
        product(tmp_path, {**SQLITE, **change})
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("kind", ["string", "integer"])
def test_only_rows_of_those_who_consent(tmp_path: Path, kind: str) -> None:
    database(tmp_path)
    who = "coalesce(patient, 'p3')" if kind == "string" else "id"
    names = {"p1": "p1", "p2": "p2", "p3": "p3"}
    if kind == "integer":
        names = {"p1": "1", "p2": "2", "p3": "3"}
    (tmp_path / "consents.csv").write_text(
        "subject,purpose,given,withdrawn,evidence\n"
        f"{names['p1']},marketing,2026-01-01,,form\n"
        f"{names['p2']},marketing,2026-01-01,2026-02-01,form\n"
        f"{names['p3']},marketing,2026-01-01,,form\n"
    )
    query = f"SELECT id, radius, cells, {who} AS who, diagnosis FROM visits"
    columns = [one for one in COLUMNS if one["name"] != "patient"]
    wanted = product(
        tmp_path,
        {**SQLITE, "table": "", "query": query},
        columns=[*columns, {"name": "who", "type": kind, "role": "subject"}],
        subject_consent="table",
        consent="consents.csv",
    )
    now = datetime(2026, 6, 1, tzinfo=UTC)
    selected = Selector(salt=SALT).select(wanted, purpose="marketing", now=now)
    assert (selected.count, selected.without_consent) == (3, 1)
    assert selected.rows.features.tolist() == [[1.5, 2], [0.5, 4]]


def test_keys_that_a_collation_takes_for_the_same(tmp_path: Path) -> None:
    for rows in ("(1, 'b'), (2, 'A'), (3, 'a')", "(3, 'a'), (2, 'A'), (1, 'b')"):
        with sqlite3.connect(tmp_path / "records.db") as opened:
            opened.execute("DROP TABLE IF EXISTS visits")
            opened.execute("CREATE TABLE visits (cells integer, id text COLLATE NOCASE)")
            opened.execute(f"INSERT INTO visits VALUES {rows}")
        opened.close()
        query = "SELECT *, 1 AS radius, 'p' AS patient, 'benign' AS diagnosis FROM visits"
        found = open_product(product(tmp_path, {**SQLITE, "table": "", "query": query}), salt=SALT)
        assert found.rows.features[:, 1].tolist() == [2, 3, 1]


def test_a_readiness_report_counts_what_is_missing(tmp_path: Path) -> None:
    again = (9, 0.5, 4, "p", "benign")
    database(tmp_path, (8, None, 1, "p", "benign"), again)
    report, _ = read_readiness(product(tmp_path, SQLITE), None)
    assert (report.rows, report.duplicates) == (5, 1)
    assert report.missing == {"radius": 1, "patient": 1, "diagnosis": 0, "cells": 0}


def test_postgres_is_read_as_sqlite_is(tmp_path: Path, server: Server) -> None:
    database(tmp_path)
    here = open_product(product(tmp_path, SQLITE), salt=SALT)
    there = open_product(product(tmp_path, postgres(server)), salt=SALT)
    check(there)
    assert there.product_commitment == here.product_commitment


def test_a_draft_from_postgres(tmp_path: Path, server: Server) -> None:
    source = product(tmp_path, postgres(server)).source
    assert source is not None
    draft = draft_of_source(source, tmp_path / "visits")
    found = {one.column.name: f"{one.column.role} {one.column.type}" for one in draft.guesses}
    assert found == {
        "radius": "feature float",
        "cells": "feature integer",
        "patient": "ignored string",
        "diagnosis": "label string",
    }
    assert (draft.rows, draft.classes, draft.personal) == (3, ("benign", "malignant"), True)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM visits WHERE spoil() = 1", "25006"),
        ("WITH gone AS (DELETE FROM visits RETURNING *) SELECT * FROM gone", "got"),
        ("SELECT * FROM visits WHERE patient::integer = 1", "22P02"),
        ("SELECT * FROM nothing", "42P01"),
    ],
)
def test_postgres_cannot_be_written_to(
    tmp_path: Path, server: Server, query: str, words: str
) -> None:
    wanted = product(tmp_path, postgres(server, table="", query=query))
    with pytest.raises(VaultError, match=words) as caught:
        open_product(wanted, salt=SALT)
    assert '"p1"' not in str(caught.value)
    assert server.execute("SELECT count(*) FROM visits") == [(3,)]


@pytest.mark.parametrize(("word", "allowed"), [("S3CRET-word", True), ("S3CRET-other", False)])
def test_a_password_comes_from_a_private_file(
    tmp_path: Path, server: Server, word: str, allowed: bool
) -> None:
    url = f"postgresql://reader@127.0.0.1:{server.port}/postgres"
    wanted = product(tmp_path, postgres(server, database=url, password_file="word"))
    place = tmp_path / "word"
    place.write_text(word + "\n")
    place.chmod(0o644)
    with pytest.raises(VaultError, match="only its owner"):
        open_product(wanted, salt=SALT)
    place.chmod(0o600)
    if allowed:
        check(open_product(wanted, salt=SALT))
        return
    with pytest.raises(VaultError, match="OperationalError") as caught:
        open_product(wanted, salt=SALT)
    assert "S3CRET" not in repr(caught.value)
