"""A query over files of the owner, and all that it cannot reach."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from test_clients_product import GOOD

from clients.errors import ProductError, VaultError
from clients.product import Product, load_product
from clients.readiness import read_readiness
from clients.selection import Selector
from clients.vault import Vault, open_product

SALT = bytes(range(32))
JOIN = "SELECT id, radius, cells, who, diagnosis FROM visits JOIN labs USING (id)"
SOURCE = {"files": {"visits": "visits.csv", "labs": "labs.parquet"}, "query": JOIN, "key": ["id"]}
COLUMNS = [
    {"name": "radius", "type": "float", "role": "feature"},
    {"name": "who", "type": "string", "role": "ignored"},
    {"name": "diagnosis", "type": "string", "role": "label"},
    {"name": "cells", "type": "integer", "role": "feature"},
]
VISITS = "id,radius,who,diagnosis\n3,.5,,benign\n1, 1.5 ,p1,benign\n2,-1e3,p2,malignant\n"


def product(folder: Path, source: dict[str, Any], **changes: Any) -> Product:
    content = {**GOOD, "columns": COLUMNS, "held_back": "0", "source": source, **changes}
    del content["path"]
    path = folder / "product.json"
    path.write_text(json.dumps(content))
    return load_product(path)


def query(text: str, **changes: Any) -> dict[str, Any]:
    return {**SOURCE, "query": text, **changes}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "visits.csv").write_text(VISITS)
    duckdb.connect().execute(
        "COPY (SELECT * FROM (VALUES (2, 3::BIGINT), (3, 4), (1, 2), (9, 9)) AS t(id, cells)) "
        f"TO '{tmp_path}/labs.parquet' (FORMAT parquet)"
    )
    (tmp_path / "other.csv").write_text("secret\nS3CRET\n")
    return tmp_path


def check(opened: Any) -> None:
    assert opened.rows.features.tolist() == [[1.5, 2], [-1000, 3], [0.5, 4]]
    assert opened.rows.labels.tolist() == [0, 1, 0]


def test_two_files_are_joined_in_the_order_of_the_key(files: Path) -> None:
    opened = open_product(product(files, SOURCE), salt=SALT)
    check(opened)
    same = open_product(product(files, query(f"{JOIN} ORDER BY radius")), salt=SALT)
    assert same.product_commitment == opened.product_commitment


def test_json_lines_are_texts_as_csv_is(files: Path) -> None:
    rows = csv.DictReader(VISITS.splitlines())
    lines = [{**row, "id": int(row["id"]), "who": row["who"] or None} for row in rows]
    (files / "visits.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    named = {"visits": "visits.jsonl", "labs": "labs.parquet"}
    opened = open_product(product(files, {**SOURCE, "files": named}), salt=SALT)
    check(opened)
    assert (
        opened.product_commitment
        == open_product(product(files, SOURCE), salt=SALT).product_commitment
    )


def test_what_is_computed_has_the_declared_type(files: Path) -> None:
    text = (
        "SELECT who AS id, sum(CAST(radius AS DOUBLE)) AS radius, count(*) AS cells, who, "
        "max(diagnosis) AS diagnosis FROM visits WHERE who IS NOT NULL GROUP BY who"
    )
    opened = open_product(product(files, query(text)), salt=SALT)
    assert opened.rows.features.tolist() == [[1.5, 1], [-1000, 1]]


def test_a_change_in_a_file_shows_in_the_next_round(files: Path) -> None:
    vault, wanted = Vault(salt=SALT), product(files, SOURCE)
    before = vault.open(wanted)
    (files / "visits.csv").write_text(VISITS.replace("1.5", "2.5"))
    after = vault.open(wanted)
    assert after.rows.features.tolist()[0] == [2.5, 2]
    assert after.product_commitment != before.product_commitment


@pytest.mark.parametrize(
    "table",
    [
        "read_text('/etc/hostname')",
        "read_csv('other.csv')",
        "read_csv('{folder}/other.csv')",
        "read_csv('{folder}/visits.csv/../other.csv')",
        "read_csv('{folder}/o*.csv')",
        "read_blob('/proc/self/environ')",
        "glob('/etc/p*')",
        "'/etc/passwd'",
        "'https://example.org/a.csv'",
        "sniff_csv('/etc/passwd')",
        "sqlite_scan('{folder}/x.db', 't')",
        "query('COPY (SELECT 1) TO ''{folder}/out.csv''')",
    ],
)
def test_a_query_reaches_no_other_file(files: Path, table: str) -> None:
    text = f"SELECT 1 AS id, 1 AS radius, 1 AS cells, 'benign' AS diagnosis, * FROM {table}"
    with pytest.raises(VaultError, match=r"expected \$\.source to be read, got") as caught:
        open_product(product(files, query(text.format(folder=files))), salt=SALT)
    assert "S3CRET" not in repr(caught.value)
    assert sorted(path.name for path in files.iterdir()) == [
        "labs.parquet", "other.csv", "product.json", "visits.csv"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("4,SECRET,p,benign", "'radius', row 4: expected a finite float"),
        ("4,,p,benign", "'radius', row 4"),
        ("4,1e39,p,benign", "'radius', row 4"),
        ("4,nan,p,benign", "'radius', row 4"),
        ("4,1_0,p,benign", "'radius', row 4"),
        ("4,1,p,SECRET", "one of the product's classes"),
        ("3,1,p,benign", "row 4: expected a key of its own"),
        ("4,1,p,benign,SECRET", "InvalidInputException"),
        ("x,1,p,benign", "ConversionException"),
    ],
)
def test_a_bad_value_is_named_by_place(files: Path, row: str, words: str) -> None:
    (files / "visits.csv").write_text(f"{VISITS}{row}\n")
    text = JOIN.replace("JOIN", "LEFT JOIN").replace(" cells", " coalesce(cells, 1) AS cells")
    with pytest.raises(VaultError, match=words) as caught:
        open_product(product(files, query(text)), salt=SALT)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": "SELECT * FROM nothing"}, "CatalogException"),
        ({"query": "SELECT id, radius FROM visits"}, "BinderException"),
        ({"key": ["nothing"]}, "BinderException"),
        ({"query": f"{JOIN} WHERE FALSE"}, "yield rows, got none"),
        ({"query": "SELECT * FROM visits) AS d, (SELECT 1"}, "got"),
        ({"files": {"visits": "visits.csv", "labs": "none.parquet"}}, "No such file"),
        ({"files": {"visits": "visits.csv", "labs": "other.parquet"}}, "InvalidInputException"),
    ],
)
def test_what_cannot_be_read_is_refused(files: Path, change: dict[str, Any], words: str) -> None:
    (files / "other.parquet").write_text("no parquet")
    with pytest.raises(VaultError, match=words):
        open_product(product(files, {**SOURCE, **change}), salt=SALT)


def test_a_query_ends(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "SELECT sum(a.range * b.range) AS id FROM range(10000000) a, range(10000000) b"
    monkeypatch.setattr("clients.filequery.MAX_QUERY_S", 0.5)
    with pytest.raises(VaultError, match="InterruptException"):
        open_product(product(files, query(f"{JOIN} WHERE id = ({endless})")), salt=SALT)


def test_memory_is_bounded(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.filequery.MEMORY_LIMIT", "20MiB")
    large = "SELECT range AS id, 1 AS radius, 1 AS cells, 'benign' AS diagnosis FROM range(9000000)"
    with pytest.raises(VaultError, match="OutOfMemoryException"):
        open_product(product(files, query(large)), salt=SALT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": {}}, "either database or files"),
        ({"database": "sqlite:///a.db"}, "either database or files"),
        ({"files": {"a b": "visits.csv"}}, "names of letters"),
        ({"files": {"a": "../visits.csv"}}, "below the product file's folder"),
        ({"files": {"a": "/etc/visits.csv"}}, "below the product file's folder"),
        ({"files": {"a": "visits.txt"}}, "a file ending in"),
        ({"files": {f"a{n}": "visits.csv" for n in range(17)}}, r"\$\.source\.files"),
        ({"password_file": "word"}, "none for files of your own"),
        ({"query": "COPY visits TO 'x'"}, "one SELECT"),
        ({"query": "SELECT 1; SET threads = 9"}, "without ';'"),
    ],
)
def test_a_source_is_checked_when_the_product_file_is_read(
    files: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProductError, match=words):
        product(files, {**SOURCE, **change})


def test_a_readiness_report_counts_what_is_missing(files: Path) -> None:
    (files / "visits.csv").write_text(VISITS + '4,"",p,benign\n5,.5,p,benign\n')
    text = JOIN.replace("JOIN", "LEFT JOIN").replace("cells", "coalesce(cells, 4) AS cells", 1)
    report, _ = read_readiness(product(files, query(text)), None)
    assert (report.rows, report.duplicates) == (5, 1)
    assert report.missing == {"radius": 1, "who": 1, "diagnosis": 0, "cells": 0}


def test_only_rows_of_those_who_consent(files: Path) -> None:
    (files / "visits.csv").write_text(VISITS.replace(",,", ",p3,"))
    (files / "consents.csv").write_text(
        "subject,purpose,given,withdrawn,evidence\n"
        "p1,medical-research,2026-01-01,,form\n"
        "p2,medical-research,2026-01-01,2026-02-01,form\n"
        "p3,medical-research,2026-01-01,,form\n"
    )
    columns = [{**one, "role": "subject"} if one["name"] == "who" else one for one in COLUMNS]
    more = {"columns": columns, "subject_consent": "table", "consent": "consents.csv"}
    wanted = product(files, SOURCE, **more)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    selected = Selector(salt=SALT).select(wanted, purpose="medical-research", now=now)
    assert selected.rows.features.tolist() == [[1.5, 2], [0.5, 4]]
    assert (selected.count, selected.without_consent) == (3, 1)
    (files / "visits.csv").write_text(VISITS)
    with pytest.raises(VaultError, match="'who', row 3: expected a subject"):
        Selector(salt=SALT).select(wanted, purpose="medical-research", now=now)
