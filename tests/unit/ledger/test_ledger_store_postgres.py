"""The PostgreSQL store: the contract on a real server, and what only a server can suffer."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ledger_site import Site
from postgres_site import Server, running
from sqlalchemy import text
from store_contract import Place, StoreContract, batch, head

from auditors.verify import verify_folder
from ledger.errors import LogDamaged, LogUnavailable
from ledger.log import Log
from ledger.postgres_session import lock_key
from ledger.store import Store
from ledger.store_postgres import PostgresStore
from ledger.stores import open_store

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tdspace log'"
_NUMBERS = itertools.count(1)


class Schema(Place):
    """A schema of its own for each test."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.schema = f"log_{next(_NUMBERS)}"

    def open(self) -> PostgresStore:
        return PostgresStore.open(self.database())

    def database(self) -> str:
        return self.server.url(self.schema)

    def execute(self, sql: str) -> None:
        self.server.execute(sql, schema=self.schema)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def place(server: Server) -> Schema:
    return Schema(server)


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.postgres_session.LOCK_WAIT_S", 0.1)


class TestPostgresStore(StoreContract):
    """The contract."""

    def open_after_kill(self, place: Place) -> Store:
        """The server notices in its own time that the writer is gone, and only then unlocks."""
        until = time.monotonic() + 20
        while True:
            try:
                return place.open()
            except LogUnavailable as error:
                assert "only writer" in str(error)
                assert time.monotonic() < until
                time.sleep(0.02)


def test_a_url_chooses_postgresql(place: Schema) -> None:
    store = open_store(place.database())
    assert isinstance(store, PostgresStore)
    store.close()
    with pytest.raises(LogUnavailable, match="it was closed"):
        store.head()


def test_logs_in_two_schemas_are_two_logs(server: Server) -> None:
    one, other = Schema(server), Schema(server)
    first, second = one.open(), other.open()
    first.append(batch(0, [b"a"]))
    assert second.head() is None
    first.close()
    second.close()


def test_a_second_writer_is_refused(place: Schema) -> None:
    store = place.open()
    [(pid,)] = place.server.execute(SESSIONS)
    with pytest.raises(LogUnavailable, match="only writer") as caught:
        PostgresStore.open(place.database() + "&application_name=other")
    assert f"server process {pid} for tdspace log from a local socket" in str(caught.value)
    store.append(batch(0, [b"a"]))
    store.close()
    second = place.open()
    assert second.head() == head(1)
    second.close()


def test_the_next_writer_waits_a_moment_for_one_that_was_killed(
    place: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.postgres_session.LOCK_WAIT_S", 20)
    first = place.open()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(place.open)
        _wait_for(place, f"{SESSIONS} OFFSET 1")
        assert not second.done()
        place.server.end_oldest_connection()
        second.result(timeout=20).close()
    first.close()


def test_a_store_that_was_closed_lets_the_next_writer_in_at_once(
    place: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.postgres_session.LOCK_WAIT_S", 0)
    for _ in range(20):
        place.open().close()


def test_closing_a_lost_connection(place: Schema) -> None:
    store = place.open()
    place.server.end_connections()
    store.close()
    place.open().close()


def test_a_second_writer_that_ends_before_it_is_named(
    place: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.open()
    monkeypatch.setattr("ledger.postgres_session._HOLDER", text("SELECT 1 WHERE :key = 0.5"))
    with pytest.raises(LogUnavailable, match="holds its lock: one that ended meanwhile"):
        place.open()
    store.close()


def test_a_second_writer_that_ignored_the_lock(place: Schema) -> None:
    store = place.open()
    store.append(batch(0, [b"a"]))
    place.execute("UPDATE head SET size = 2, frontier = ''")
    with pytest.raises(LogDamaged, match="head of size 1, got one of size 2: somebody else wrote"):
        store.append(batch(1, [b"b"]))
    store.close()


def test_lock_keys_are_signed_and_of_64_bits() -> None:
    keys = {lock_key(database, f"s{n}") for database in ("a", "b") for n in range(100)}
    assert len(keys) == 200
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert min(keys) < 0 < max(keys)


def test_a_lost_connection_is_made_again_with_its_lock(place: Schema) -> None:
    store = place.open()
    store.append(batch(0, [b"a"]))
    for size in (1, 2):
        place.server.end_connections()
        with pytest.raises(LogUnavailable, match="the next call connects again"):
            store.append(batch(size, [b"b"]))
        assert store.head() == head(size)
        with pytest.raises(LogUnavailable, match="only writer"):
            place.open()
        store.append(batch(size, [b"b"]))
        assert store.head() == head(size + 1)
    store.close()


def test_a_connection_lost_while_reading(place: Schema) -> None:
    store = place.open()
    store.append(batch(0, [b"%d" % n for n in range(1500)]))
    lines = store.lines(0)
    assert next(lines) == b"0"
    place.server.end_connections()
    with pytest.raises(LogUnavailable, match="the next call connects again"):
        list(lines)
    assert sum(1 for _ in store.lines(0)) == 1500
    store.close()


def test_somebody_else_wrote_while_the_connection_was_lost(place: Schema) -> None:
    store = place.open()
    store.append(batch(0, [b"a"]))
    place.server.end_connections()
    other = place.open()
    with pytest.raises(LogUnavailable, match="the next call"):
        store.head()
    with pytest.raises(LogUnavailable, match="only writer"):
        store.head()
    other.append(batch(1, [b"b"]))
    other.close()
    for _ in range(2):
        with pytest.raises(LogDamaged, match="head of size 1 after the connection was lost, got 2"):
            store.find("k")
    store.close()


def test_an_append_whose_answer_was_lost(place: Schema) -> None:
    """A commit that waits for a standby is on the disk already: the connection ends just then."""
    store = place.open()
    store.append(batch(0, [b"a"]))
    place.server.set("synchronous_standby_names", "nobody")
    with ThreadPoolExecutor(1) as pool:
        try:
            lost = pool.submit(_append_until_lost, store)  # the server takes up a setting by and by
            _wait_for(place, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            place.server.end_connections()
            size = lost.result(timeout=20)
        finally:
            place.server.set("synchronous_standby_names", None)
    assert store.head() == head(size + 1)
    with pytest.raises(LogDamaged, match=f"head of size {size}, got one of size {size + 1}"):
        store.append(batch(size, [b"b"]))
    store.append(batch(size + 1, [b"c"]))
    assert list(store.lines(0)) == [b"a", *[b"b"] * size, b"c"]
    store.close()


def test_a_connection_lost_in_the_middle_of_an_append(place: Schema) -> None:
    """The connection ends while the append waits inside its transaction."""
    store = place.open()
    store.append(batch(0, [b"a"]))
    waiting = threading.Thread(target=_append_and_lose, args=(store,))
    with place.server.connect(place.schema) as connection, connection.transaction():
        connection.execute("LOCK TABLE entries")
        waiting.start()
        _wait_for(place, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        place.server.end_connections()
        waiting.join(timeout=20)
    assert not waiting.is_alive()
    assert store.head() == head(1)
    store.append(batch(1, [b"b"]))
    store.close()


def _append_until_lost(store: PostgresStore) -> int:
    """The size before the append that raised."""
    for size in range(1, 10_000):
        try:
            store.append(batch(size, [b"b"]))
        except LogUnavailable as error:
            assert "the next call" in str(error)
            return size
    raise AssertionError("expected an append to wait")


def _append_and_lose(store: PostgresStore) -> None:
    with pytest.raises(LogUnavailable, match="the next call"):
        store.append(batch(1, [b"b"]))


def _wait_for(place: Schema, sql: str) -> None:
    until = time.monotonic() + 20
    while not place.server.execute(sql):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_server_that_crashed_has_all_that_was_acknowledged(place: Schema) -> None:
    store = place.open()
    for size in range(20):
        store.append(batch(size, [b"x" * 1000], [(f"k{size}", size, 1)]))
    place.server.stop(signal.SIGQUIT)
    with pytest.raises(LogUnavailable, match="the next call connects again"):
        store.append(batch(20, [b"y"]))
    with pytest.raises(LogUnavailable, match="see that the server runs"):
        store.head()
    place.server.start()
    assert store.head() == head(20)
    assert sum(1 for _ in store.lines(0)) == 20
    assert store.find("k19") == (19, 1)
    store.append(batch(20, [b"y"]))
    store.close()


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("53100", "free the server's disk"),  # disk_full
        ("57014", "end what holds the tables"),  # query_canceled
        ("42501", "grant this role"),  # insufficient_privilege
        ("25006", "primary server"),  # read_only_sql_transaction
        ("40001", "then try again"),  # serialization_failure
        ("58030", "see that the server runs"),  # io_error
    ],
)
def test_what_the_server_cannot_do_now(place: Schema, state: str, remedy: str) -> None:
    """A trigger raises the server's own error: a full disk of a server is not a test's to make."""
    store = place.open()
    store.append(batch(0, [b"a"]))
    place.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; END$$"
    )
    place.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON entries "
        f"FOR EACH ROW EXECUTE FUNCTION {place.schema}.refuse()"
    )
    for _ in range(2):
        with pytest.raises(LogUnavailable, match=remedy) as caught:
            store.append(batch(1, [b"b"], [("k", 1, 1)]))
        assert "injected" in str(caught.value)
        assert store.head() == head(1)
        assert store.find("k") is None
    place.execute("DROP TRIGGER refuse ON entries")
    store.append(batch(1, [b"b"], [("k", 1, 1)]))
    assert store.head() == head(2)
    store.close()


def test_a_table_that_somebody_holds(place: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.postgres_session._SESSION", ("SET statement_timeout = 50",))
    store = place.open()
    store.append(batch(0, [b"a"]))
    with place.server.connect(place.schema) as connection, connection.transaction():
        connection.execute("LOCK TABLE head")
        with pytest.raises(LogUnavailable, match="statement timeout; end what holds the tables"):
            store.append(batch(1, [b"b"]))
    store.append(batch(1, [b"b"]))
    store.close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_forgets(place: Schema, setting: str) -> None:
    place.server.set(setting, "off")
    try:
        with pytest.raises(LogUnavailable, match=f"a server with {setting} = on, got off"):
            place.open()
    finally:
        place.server.set(setting, None)
    place.open().close()


def test_a_database_of_another_encoding(place: Schema) -> None:
    place.server.execute("CREATE DATABASE ascii ENCODING SQL_ASCII TEMPLATE template0")
    with pytest.raises(LogUnavailable, match="server_encoding = UTF8, got SQL_ASCII"):
        PostgresStore.open(place.server.url("log", database="ascii"))


def test_an_old_server(place: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.postgres_session._OLDEST_SERVER", 99)
    with pytest.raises(LogUnavailable, match="expected PostgreSQL 99 or newer, got 1"):
        place.open()


def test_a_standby_is_refused_until_it_is_the_primary(place: Schema) -> None:
    store = place.open()
    store.append(batch(0, [b"a"]))
    place.server.stop()
    (place.server.data / "standby.signal").touch()
    place.server.start()
    with pytest.raises(LogUnavailable, match="the next call connects again"):
        store.head()
    with pytest.raises(LogUnavailable, match="expected the primary server, got a standby"):
        store.head()
    place.server.execute("SELECT pg_promote()")
    assert store.head() == head(1)
    store.append(batch(1, [b"b"]))
    assert store.head() == head(2)
    store.close()


@pytest.mark.parametrize(
    ("role", "session"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")],
)
def test_commits_are_synchronous_whatever_the_role_says(
    place: Schema, role: str, session: str
) -> None:
    place.server.execute(f"ALTER ROLE tds SET synchronous_commit = {role}")
    try:
        store = place.open()
        with store._transaction() as connection:
            got = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
        assert got == session
        store.close()
    finally:
        place.server.execute("ALTER ROLE tds RESET synchronous_commit")


@pytest.mark.parametrize(
    ("sql", "got"),
    [
        ("UPDATE log_version SET version = 1", "got 1"),
        ("UPDATE log_version SET version = 3", "got 3"),
        ("INSERT INTO log_version VALUES (9)", "got 2 and 9"),
        ("DELETE FROM log_version", "got none"),
    ],
)
def test_another_version(place: Schema, sql: str, got: str) -> None:
    place.open().close()
    place.execute(sql)
    with pytest.raises(LogDamaged, match=f"expected version 2 of its tables, {got}: ") as caught:
        place.open()
    assert "schema=NAME" in str(caught.value)


def test_a_schema_of_something_else(place: Schema) -> None:
    place.server.execute(f"CREATE SCHEMA {place.schema}")
    place.execute("CREATE TABLE entries (n integer)")
    with pytest.raises(LogDamaged, match='relation "entries" already exists'):
        place.open()


def test_the_least_privileges(place: Schema, tmp_path: Path) -> None:
    """A role that owns one schema and nothing else, with a password from a passfile."""
    server, name, secret = place.server, place.schema, "correct horse"
    server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{secret}'")
    passfile = tmp_path / "pass"
    passfile.write_text(f"127.0.0.1:{server.port}:postgres:{name}:{secret}\n")
    passfile.chmod(0o600)
    url = f"postgresql+psycopg://{name}@127.0.0.1:{server.port}/postgres?schema={name}"
    with pytest.raises(LogUnavailable, match="no password supplied"):
        PostgresStore.open(url)
    with pytest.raises(LogUnavailable, match=r"permission denied.*grant this role the schema"):
        PostgresStore.open(f"{url}&passfile={passfile}")
    server.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
    store = PostgresStore.open(f"{url}&passfile={passfile}")
    store.append(batch(0, [b"a"]))
    assert store.head() == head(1)
    with pytest.raises(LogUnavailable, match="only writer") as caught:
        PostgresStore.open(f"{url}&passfile={passfile}")
    assert "from 127.0.0.1/32" in str(caught.value)
    store.close()
    passfile.write_text(passfile.read_text().replace(secret, "not the secret"))
    with pytest.raises(LogUnavailable, match="password authentication failed") as caught:
        PostgresStore.open(f"{url}&passfile={passfile}")
    assert "the secret" not in _whole(caught.value)


def _whole(error: BaseException | None) -> str:
    """The texts of an error and of all that it came from."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@pytest.mark.parametrize(
    "there", ["host=/nowhere&schema=x", "host=127.0.0.1&port=1&connect_timeout=2"]
)
def test_no_server(there: str) -> None:
    with pytest.raises(LogUnavailable, match="see that the server runs"):
        PostgresStore.open(f"postgresql+psycopg://tds@/postgres?{there}")


def test_a_log_that_many_append_to(place: Schema, site: Site) -> None:
    """The log over this store: callers share transactions, and a lost connection tells them."""
    log = Log.open(
        folder=site.folder,
        database=place.database(),
        last_signed=site.last_signed,
        signer=site.signer,
    )

    def append(n: int) -> int:
        while True:
            try:
                return log.append([b"entry %d" % n], idempotency_key=f"k{n}").first_index
            except LogUnavailable:
                time.sleep(0.01)

    with log, ThreadPoolExecutor(20) as pool:
        places = [pool.submit(append, n) for n in range(300)]
        place.server.end_connections()
        indexes = [one.result(timeout=60) for one in places]
        assert sorted(indexes) == list(range(300))
        assert log.entries(0, 300) == [
            b"entry %d" % n for n in sorted(range(300), key=indexes.__getitem__)
        ]
    verified = verify_folder(site.folder, verifier_key=site.signer.verifier_key)
    assert verified.size == 300


def test_many_rows_go_fast(place: Schema) -> None:
    """A floor far below what is measured, so that only a row-by-row path falls through it."""
    store = place.open()
    lines = [b"x" * 300] * 10_000
    begun = time.perf_counter()
    store.append(batch(0, lines, [(f"k{n}", n, 1) for n in range(10_000)]))
    took = time.perf_counter() - begun
    assert took < 10
    store.close()
