"""What a PostgreSQL URL may say, and that no text repeats a password."""

from __future__ import annotations

import builtins
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError
from ledger.postgres_url import is_postgres_url, parse_postgres_url
from ledger.stores import open_store

SECRET = "s3cret"  # no other text has it
P = "postgresql+psycopg"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"{P}:///log", f"{P}:///log?schema=tdspace"),
        ("postgresql://tds@/log", f"{P}://tds@/log?schema=tdspace"),
        (f"{P}://tds@localhost:5433/log", f"{P}://tds@localhost:5433/log?schema=tdspace"),
        (f"{P}://tds@127.0.0.9/log", f"{P}://tds@127.0.0.9/log?schema=tdspace"),
        (f"{P}://tds@[::1]/log", f"{P}://tds@[::1]/log?schema=tdspace"),
        (f"{P}:///log?host=/run/pg", f"{P}:///log?host=%2Frun%2Fpg&schema=tdspace"),
        (f"{P}://h/log?sslmode=verify-full", f"{P}://h/log?schema=tdspace&sslmode=verify-full"),
        (f"{P}://h/log?sslmode=verify-ca", f"{P}://h/log?schema=tdspace&sslmode=verify-ca"),
        (f"{P}:///log?schema=", f"{P}:///log?schema=tdspace"),
        (f"{P}:///log?schema=hospital_7", f"{P}:///log?schema=hospital_7"),
    ],
)
def test_what_is_accepted(url: str, shown: str) -> None:
    parsed = parse_postgres_url(url, {})
    assert parsed.shown == shown
    assert parsed.connect.drivername == P
    assert "schema" not in parsed.connect.query
    assert shown.endswith(parsed.schema) or f"schema={parsed.schema}&" in shown
    assert parse_postgres_url(shown, {}) == parsed
    assert is_postgres_url(url)


TLS = "expected sslmode=verify-full"
FORM = "expected that form"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"{P}://tds:{SECRET}@localhost/log", "expected no password in it"),
        (f"{P}://tds:{SECRET}@h/log?sslmode=verify-full", "expected no password in it"),
        (f"{P}://tds:@localhost/log", "expected no password in it"),
        (f"{P}://tds:{SECRET}@x@localhost/log", "expected no password in it"),
        (f"{P}://tds@localhost/log?password={SECRET}", "expected no password in it"),
        (f"{P}://tds@localhost/log?sslpassword={SECRET}", "expected no password in it"),
        (f"{P}://tds:{SECRET}/log", FORM),  # taken for a port
        (f"{P}:/{SECRET}", FORM),
        (f"mysql://tds:{SECRET}@localhost/log", FORM),
        (f"postgresql+asyncpg://tds:{SECRET}@localhost/log", FORM),
        (f"{P}://tds@localhost/", "the name of a database"),
        (f"{P}://tds@localhost", "the name of a database"),
        (f"{P}:///log?options=-csynchronous_commit%3Doff", "got options"),
        (f"{P}:///log?service=far", "got service"),
        (f"{P}:///log?hostaddr=192.0.2.1", "got hostaddr"),
        (f"{P}:///log?Schema=x", "got Schema"),
        (f"{P}:///log?host=/a&host=/b", "got host"),
        (f"{P}:///log?schema=a&schema=b", "a schema of up to 63"),
        (f"{P}:///log?schema=pg_catalog", "a schema of up to 63"),
        (f"{P}:///log?schema=Log", "a schema of up to 63"),
        (f"{P}:///log?schema=a%22b", "a schema of up to 63"),
        (f"{P}:///log?schema={'a' * 64}", "a schema of up to 63"),
        (f"{P}://db.example/log", TLS),
        (f"{P}://db.example/log?sslmode=disable", TLS),
        (f"{P}://db.example/log?sslmode=prefer", TLS),
        (f"{P}://db.example/log?sslmode=require", TLS),
        (f"{P}://192.0.2.1/log", TLS),
        (f"{P}://[2001:db8::1]/log", TLS),
        (f"{P}://localhost.example/log", TLS),
        (f"{P}://localhost/log?host=db.example", TLS),
        (f"{P}:///log?host=localhost,db.example", TLS),
        (f"{P}:///log?host=localhost:5432", TLS),
    ],
)
def test_what_is_refused(url: str, message: str) -> None:
    with pytest.raises(LedgerError, match=message) as caught:
        parse_postgres_url(url, {})
    error: BaseException | None = caught.value
    assert SECRET not in str(error)
    assert error is not None
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize(
    ("url", "defaults", "refused"),
    [
        (f"{P}:///log", {"host": "db.example"}, True),
        (f"{P}:///log", {"host": "/run/pg"}, False),
        (f"{P}://localhost/log", {"host": "db.example"}, False),
        (f"{P}://localhost/log", {"hostaddr": "192.0.2.1"}, True),
        (f"{P}://db.example/log", {"hostaddr": "127.0.0.1"}, True),
        (f"{P}://db.example/log", {"sslmode": "require"}, True),
        (f"{P}://db.example/log", {"sslmode": "verify-full"}, False),
        (f"{P}://db.example/log?sslmode=disable", {"sslmode": "verify-full"}, True),
        (f"{P}://tds@", {"dbname": "log"}, False),
    ],
)
def test_what_libpq_adds_counts_too(url: str, defaults: Mapping[str, str], refused: bool) -> None:
    if refused:
        with pytest.raises(LedgerError, match=TLS):
            parse_postgres_url(url, defaults)
    else:
        assert parse_postgres_url(url, defaults).schema == "tdspace"


@given(st.text(max_size=60), st.sampled_from(["", f"{P}:", f"{P}://", f"{P}:///log?"]))
def test_any_text_is_parsed_or_refused(text: str, start: str) -> None:
    try:
        parsed = parse_postgres_url(start + text, {})
    except LedgerError as error:
        assert "database URL" in str(error)
    else:
        assert parse_postgres_url(parsed.shown, {}) == parsed


@pytest.mark.parametrize("text", [f"sqlite:///{SECRET}", "log.sqlite", "", f"mysql://u:{SECRET}@h"])
def test_a_text_that_is_no_url_of_postgresql(text: str) -> None:
    assert not is_postgres_url(text)
    with pytest.raises(LedgerError, match="expected a path, or postgresql") as caught:
        open_store(text)
    assert SECRET not in str(caught.value)


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.split(".", 1)[0] == "psycopg":
            raise ImportError("No module named 'psycopg'")
        return real(name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LedgerError, match=r"pip install 'tdspace\[postgres\]'"):
        open_store(f"{P}:///log")
