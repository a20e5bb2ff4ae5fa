"""Governance with its log on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from postgres_site import Server, running
from server_site import Site

from auditors.shares import replay_log
from auditors.verify import verify_folder
from ledger.errors import LogDamaged, LogUnavailable
from server.errors import Unavailable

TABLES = ("entries", "idempotency", "head")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[Site]:
    schema = f"s{datetime.now(UTC).timestamp():.6f}".replace(".", "_")
    site = Site.make(tmp_path / "space", log_database=server.url(schema))
    site.populate()
    yield site
    site.close()


def schema_of(site: Site) -> str:
    return str(site.space.log_database).rsplit("schema=", 1)[1]


def test_a_run_whose_log_is_on_postgresql(server: Server, site: Site) -> None:
    run = site.open_run()
    first = site.whole_round(run, "ask-1")
    assert site.permit(first).body.kind == "train"
    server.end_connections()
    with pytest.raises(Unavailable):
        site.authorize(run, "ask-2")
    second = site.whole_round(run, "ask-2")  # connected again, and decided once
    assert site.permit(second).body.attempt == 1
    assert site.kinds().count("PermitIssued") == 2
    site.reopen()
    assert site.permit(site.whole_round(run, "ask-3")).body.kind == "evaluate"
    assert list((site.folder / "governance").glob("ledger.db*")) == []
    [(entries,)] = server.execute("SELECT count(*) FROM entries", schema=schema_of(site))
    verified = verify_folder(site.space.log_folder, verifier_key=site.space.card.log_key)
    assert entries == verified.size == site.log.size
    assert replay_log(site.space.log_folder, jobs=1).violations == ()


def test_one_governance_at_a_time(site: Site) -> None:
    other = Site(site.folder, site.now)
    with pytest.raises(LogUnavailable, match="only writer"):
        other.open()
    assert site.authorize(site.open_run()).permit


def test_yesterdays_database_is_refused(server: Server, site: Site) -> None:
    schema = schema_of(site)
    for table in TABLES:
        server.execute(f"CREATE TABLE old_{table} AS SELECT * FROM {table}", schema=schema)
    assert site.authorize(site.open_run()).permit
    site.close()
    for table in TABLES:
        server.execute(
            f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM old_{table}", schema=schema
        )
    with pytest.raises(LogDamaged, match="the database is an old copy"):
        site.open()
