"""A real MariaDB as a product's source: read only, in the order of a key, over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mariadb_site import Server, certificate, running

from clients.draft import draft_of_source
from clients.errors import VaultError
from clients.product import Product, load_product
from clients.readiness import read_readiness
from clients.vault import open_product

SALT = bytes(range(32))
COLUMNS = [
    {"name": "radius", "type": "float", "role": "feature"},
    {"name": "cells", "type": "integer", "role": "feature"},
    {"name": "diagnosis", "type": "string", "role": "label"},
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        started.execute(
            "CREATE DATABASE records CHARACTER SET utf8mb4",
            "CREATE TABLE records.visits (id integer, code varchar(20), radius double, "
            "price decimal(10, 2), cells bigint, who varchar(20), diagnosis varchar(20))",
            "INSERT INTO records.visits VALUES (3, 'B', 0.5, 0.5, 4, NULL, 'benign'), "
            "(1, 'a', 1.5, 1.5, 2, 'p1%s', 'benign'), (2, 'b', -1000, -1000, 3, 'p2', 'malignant')",
            "CREATE FUNCTION records.spoil() RETURNS integer MODIFIES SQL DATA "
            "BEGIN DELETE FROM records.visits; RETURN 1; END",
            "CREATE USER reader IDENTIFIED BY 'S3CRET-word'",
            "GRANT SELECT, DELETE, EXECUTE ON records.* TO reader",
        )
        yield started


@pytest.fixture(autouse=True)
def word(tmp_path: Path) -> Path:
    place = tmp_path / "word"
    place.write_text("S3CRET-word\n")
    place.chmod(0o600)
    return place


def product(folder: Path, server: Server, **changes: Any) -> Product:
    url = f"mysql://reader@127.0.0.1:{server.port}/records?ssl_ca={server.ca}"
    source = {"database": url, "table": "visits", "key": ["id"], "password_file": "word", **changes}
    content = {
        "version": 1, "id": "clinic/visits", "title": "Visits", "columns": COLUMNS,
        "source": {key: value for key, value in source.items() if value},
        "classes": ["benign", "malignant"], "held_back": "0", "modality": "tabular",
        "classification": "general", "personal_information": False,
    }  # fmt: skip
    path = folder / "product.json"
    path.write_text(json.dumps(content))
    return load_product(path)


def check(opened: Any) -> None:
    assert opened.rows.features.tolist() == [[1.5, 2], [-1000, 3], [0.5, 4]]
    assert opened.rows.labels.tolist() == [0, 1, 0]


def test_it_is_read_in_the_order_of_the_key(tmp_path: Path, server: Server) -> None:
    opened = open_product(product(tmp_path, server), salt=SALT)
    check(opened)
    query = {
        "table": "",
        "query": "SELECT id, price AS radius, cells, diagnosis FROM visits "
        "WHERE who LIKE 'p%' OR who IS NULL",
    }
    same = open_product(product(tmp_path, server, **query), salt=SALT)
    assert same.product_commitment == opened.product_commitment


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
@pytest.mark.parametrize("way", ["tls", "plain", "socket"])
def test_ways_to_reach_it(tmp_path: Path, server: Server, scheme: str, way: str) -> None:
    at = f"reader@127.0.0.1:{server.port}/records"
    urls = {
        "tls": f"{scheme}://{at}?ssl_ca={server.ca}",
        "plain": f"{scheme}://{at}",
        "socket": f"{scheme}://reader@/records?unix_socket={server.socket}",
    }
    check(open_product(product(tmp_path, server, database=urls[way]), salt=SALT))


def test_tls_is_required_and_its_certificate_checked(tmp_path: Path, server: Server) -> None:
    server.execute("ALTER USER reader REQUIRE SSL")
    try:
        check(open_product(product(tmp_path, server), salt=SALT))
        plain = f"mysql://reader@127.0.0.1:{server.port}/records"
        with pytest.raises(VaultError, match="OperationalError 28000"):
            open_product(product(tmp_path, server, database=plain), salt=SALT)
    finally:
        server.execute("ALTER USER reader REQUIRE NONE")
    certificate(tmp_path)
    other = f"mysql://reader@127.0.0.1:{server.port}/records?ssl_ca={tmp_path}/ca.pem"
    with pytest.raises(VaultError, match="OperationalError 2003") as caught:
        open_product(product(tmp_path, server, database=other), salt=SALT)
    assert "S3CRET" not in repr(caught.value)
    named = f"mysql://reader@localhost:{server.port}/records?ssl_ca={server.ca}"
    with pytest.raises(VaultError, match="OperationalError 2003"):  # it is for 127.0.0.1
        open_product(product(tmp_path, server, database=named), salt=SALT)


def test_a_password_from_a_file_or_the_environment(
    tmp_path: Path, server: Server, word: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word.write_text("S3CRET-other")
    with pytest.raises(VaultError, match="OperationalError 28000") as caught:
        open_product(product(tmp_path, server), salt=SALT)
    assert "S3CRET" not in repr(caught.value)
    word.chmod(0o644)
    with pytest.raises(VaultError, match="only its owner"):
        open_product(product(tmp_path, server), salt=SALT)
    monkeypatch.setenv("MYSQL_PWD", "S3CRET-word")
    check(open_product(product(tmp_path, server, password_file=""), salt=SALT))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM visits WHERE spoil() = 1", "OperationalError 25006"),
        ("SELECT * FROM nothing", "ProgrammingError 42S02"),
        ("SELECT id, nothing FROM visits", "OperationalError 42S22"),
        ("SELECT * FROM visits INTO OUTFILE 'x'", "OperationalError|ProgrammingError"),
    ],
)
def test_it_cannot_be_written_to(tmp_path: Path, server: Server, query: str, words: str) -> None:
    with pytest.raises(VaultError, match=words):
        open_product(product(tmp_path, server, table="", query=query), salt=SALT)
    assert server.execute("SELECT count(*) FROM records.visits") == ((3,),)


def test_keys_that_a_collation_takes_for_the_same(tmp_path: Path, server: Server) -> None:
    opened = open_product(product(tmp_path, server, key=["code"]), salt=SALT)
    assert opened.rows.features.tolist() == [[1.5, 2], [0.5, 4], [-1000, 3]]  # a, B, b
    with pytest.raises(VaultError, match="row 2: expected a key of its own"):
        open_product(product(tmp_path, server, key=["diagnosis"]), salt=SALT)


def test_a_readiness_report(tmp_path: Path, server: Server) -> None:
    report, _ = read_readiness(product(tmp_path, server), None)
    assert (report.rows, report.duplicates) == (3, 0)


def test_a_draft(tmp_path: Path, server: Server) -> None:
    source = product(tmp_path, server).source
    assert source is not None
    draft = draft_of_source(source, tmp_path / "visits")
    found = {one.column.name: f"{one.column.role} {one.column.type}" for one in draft.guesses}
    assert found == {
        "code": "ignored string",
        "radius": "feature float",
        "price": "feature float",
        "cells": "feature integer",
        "who": "ignored string",
        "diagnosis": "label string",
    }
    assert draft.classes == ("benign", "malignant")
