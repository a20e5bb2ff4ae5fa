"""The URL of a log's PostgreSQL database: what it may say, and what it must not.

    postgresql+psycopg://USER@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE&schema=NAME

It stands in configuration files, backups and error messages, so it holds no password. A server on
another machine is spoken to over TLS with its certificate checked; nothing else is accepted.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ledger.errors import LedgerError

DEFAULT_SCHEMA = "tdspace"

_DRIVERS = ("postgresql+psycopg", "postgresql")
_VERIFIED = ("verify-full", "verify-ca")
# Of libpq's parameters those that neither hold a secret nor change what a session means.
_ALLOWED = {
    *("host", "port", "requirepeer", "target_session_attrs", "application_name"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslcertmode"),
    *("passfile", "require_auth", "channel_binding", "gssencmode", "krbsrvname"),
    *("connect_timeout", "tcp_user_timeout", "ssl_min_protocol_version"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
}
_SECRETS = {
    *("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"),
}
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PASSFILE = (
    "put it on a line HOST:PORT:DATABASE:USER:PASSWORD of a file of mode 0600, and name that file "
    "in the environment variable PGPASSFILE or as passfile=FILE; or use peer authentication or a "
    "client certificate (sslcert=FILE, sslkey=FILE)"
)


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A URL that was checked.

    Attributes:
        connect: what SQLAlchemy connects to.
        schema: where the tables are.
        shown: the whole of it, for messages.
    """

    connect: URL
    schema: str
    shown: str


def is_postgres_url(text: str) -> bool:
    """Whether this is meant to be one; `parse_postgres_url` says whether it is."""
    return text.split(":", 1)[0] in (*_DRIVERS, "postgres")


def parse_postgres_url(text: str, defaults: Mapping[str, str]) -> PostgresUrl:
    """Check a URL.

    Args:
        defaults: libpq's own (environment, service file), for what the URL leaves out.

    Raises:
        LedgerError: no such URL, a password in it, an unknown parameter, or a server on another
            machine without a checked certificate. The text never holds the URL's secrets.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # their texts may repeat what was given, password and all
        raise _wrong("that form, got something else (not shown: it may hold a password)") from None
    if url.drivername not in _DRIVERS:
        raise _wrong(f"that form, got {url.drivername}://")
    secret = next((name for name in url.query if name in _SECRETS), None)
    if url.password is not None or secret is not None:
        raise LedgerError(
            "database URL: expected no password in it (it would stand in files, backups and "
            f"messages), got one; {_PASSFILE}"
        )
    query = dict(url.query)
    schema = query.pop("schema", DEFAULT_SCHEMA)
    for name, value in query.items():
        if name not in _ALLOWED or not isinstance(value, str):
            raise _wrong(f"each of {', '.join(sorted(_ALLOWED))}, schema at most once, got {name}")
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise _wrong(
            "a schema of up to 63 of a-z, 0-9 and _, not beginning with a digit or pg_, got "
            f"{schema!r:.80}"
        )
    _require_database(url, defaults)
    _require_tls(url, defaults)
    connect = url.set(drivername=_DRIVERS[0], query=query)
    return PostgresUrl(
        connect, schema, connect.update_query_dict({"schema": schema}).render_as_string()
    )


def _require_database(url: URL, defaults: Mapping[str, str]) -> None:
    if not url.database and "dbname" not in defaults:
        raise _wrong("the name of a database, got none")


def _require_tls(url: URL, defaults: Mapping[str, str]) -> None:
    given = {name: str(value) for name, value in url.query.items()}
    named = [host for host in (url.host, given.get("host")) if host] or [defaults.get("host", "")]
    given = {**defaults, **given}
    hosts = ",".join([*named, given.get("hostaddr", "")]).split(",")
    far = next((host for host in hosts if not _is_here(host)), None)
    mode = given.get("sslmode", "prefer")
    if far is not None and mode not in _VERIFIED:
        raise LedgerError(
            f"database URL: expected sslmode=verify-full (or verify-ca) for the server {far}, "
            f"which is not on this machine, got sslmode={mode}, which lets somebody between read "
            "and change the log; add ?sslmode=verify-full&sslrootcert=FILE with the certificate "
            "of the server's CA"
        )


def _is_here(host: str) -> bool:
    if not host or host == "localhost" or host.startswith(("/", "@")):
        return True  # a socket, or what every resolver answers for this machine
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _wrong(what: str) -> LedgerError:
    return LedgerError(
        "database URL (postgresql+psycopg://USER@HOST:PORT/DATABASE?sslmode=verify-full): "
        f"expected {what}"
    )
