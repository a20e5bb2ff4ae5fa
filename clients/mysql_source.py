"""A MySQL or MariaDB server as a product's source: its URL, and how it is spoken to.

    mysql://USER@HOST:PORT/DATABASE?ssl_ca=FILE
    mysql://USER@/DATABASE?unix_socket=/run/mysqld/mysqld.sock

The URL stands in the product file and holds no password: `password_file` does, or the environment
variable MYSQL_PWD. A server on another machine is spoken to over TLS only, its certificate and name
checked against `ssl_ca` or the system's CAs; one on this machine where `ssl_ca` is given.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from clients.errors import VaultError
from policies.errors import DocumentError

SCHEMES: Final = ("mysql", "mariadb")
PASSWORD_VARIABLE: Final = "MYSQL_PWD"  # noqa: S105 - the name of a variable, as MySQL's own
DEFAULT_PORT: Final = 3306
_FIELD: Final = "$.source.database"
_ALLOWED: Final = ("unix_socket", "ssl_ca", "ssl_cert", "ssl_key")


@dataclass(frozen=True, slots=True)
class MysqlUrl:
    """A URL that was checked.

    Attributes:
        host: "" for a socket.
        unix_socket, ssl_ca, ssl_cert, ssl_key: absolute paths; "" is not stated.
    """

    user: str
    host: str
    port: int
    database: str
    unix_socket: str
    ssl_ca: str
    ssl_cert: str
    ssl_key: str

    @property
    def over_tls(self) -> bool:
        """Whether nothing but TLS will do."""
        return bool(self.ssl_ca) or not (self.unix_socket or _is_here(self.host))


def is_mysql_url(text: str) -> bool:
    """Whether this is meant to be one; `parse_mysql_url` says whether it is."""
    return text.partition(":")[0].partition("+")[0] in SCHEMES


def parse_mysql_url(text: str) -> MysqlUrl:
    """Check a URL.

    Raises:
        DocumentError: no such URL, a password in it, or an unknown parameter. The text shows no
            part of the URL.
    """
    form = "mysql://USER@HOST:PORT/DATABASE"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # their texts may repeat what was given, password and all
        raise DocumentError(_FIELD, form, "something else") from None
    if url.drivername not in SCHEMES:
        raise DocumentError(_FIELD, form, "another scheme")
    if url.password is not None:
        wanted = f"no password in it, but $.source.password_file or {PASSWORD_VARIABLE}"
        raise DocumentError(_FIELD, wanted, "one")
    given: dict[str, str] = {}
    for name, value in url.query.items():
        if name not in _ALLOWED or not isinstance(value, str) or not Path(value).is_absolute():
            wanted = f"only {', '.join(_ALLOWED)}, each once and with an absolute path"
            raise DocumentError(_FIELD, wanted, "another parameter")
        given[name] = value
    if not url.username or not url.database:
        raise DocumentError(_FIELD, form, "no user or no database")
    if bool(url.host) == ("unix_socket" in given):
        raise DocumentError(_FIELD, "either a host or unix_socket", "both or none")
    if ("ssl_cert" in given) != ("ssl_key" in given):
        raise DocumentError(_FIELD, "ssl_cert and ssl_key together", "one of them")
    return MysqlUrl(
        user=url.username,
        host=url.host or "",
        port=url.port or DEFAULT_PORT,
        database=url.database,
        **{name: given.get(name, "") for name in _ALLOWED},
    )


def mysql_engine(text: str, password: str | None, *, connect_s: int, query_s: int) -> Engine:
    """An engine whose transactions only read, in one snapshot each.

    Args:
        password: None takes it from the environment.
        connect_s, query_s: how long to wait for a connection, and for a query.

    Raises:
        VaultError: no driver, or certificates that cannot be read.
    """
    try:
        import pymysql  # noqa: F401, PLC0415 - an extra; only this adapter needs it
    except ImportError as error:
        raise VaultError(
            "expected PyMySQL to reach MySQL or MariaDB with, got none that works; install it "
            "with: pip install 'tdspace[mysql]'"
        ) from error
    url = parse_mysql_url(text)
    engine = create_engine(
        URL.create(
            "mysql+pymysql",
            username=url.user,
            password=os.environ.get(PASSWORD_VARIABLE, "") if password is None else password,
            host=url.host or None,
            port=url.port if url.host else None,
            database=url.database,
        ),
        poolclass=NullPool,
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        connect_args=_connect_args(url, connect_s=connect_s, query_s=query_s),
    )
    event.listen(engine, "connect", _only_read)
    return engine


def _connect_args(url: MysqlUrl, *, connect_s: int, query_s: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "charset": "utf8mb4",
        "connect_timeout": connect_s,
        "read_timeout": query_s,
        "write_timeout": connect_s,
        "local_infile": False,
        "program_name": "tdspace source",
    }
    if url.unix_socket:
        arguments["unix_socket"] = url.unix_socket
    if not url.over_tls:
        return arguments | {"ssl_disabled": True}
    try:
        # Given a context, PyMySQL sends no password before the server's certificate was checked.
        context = ssl.create_default_context(cafile=url.ssl_ca or None)
        if url.ssl_cert:
            context.load_cert_chain(url.ssl_cert, url.ssl_key)
    except OSError as error:  # ssl.SSLError is one
        raise VaultError(
            "$.source.database: expected certificates that can be read at ssl_ca, ssl_cert and "
            f"ssl_key, got {type(error).__name__}"
        ) from None
    return arguments | {"ssl": context}


def _only_read(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
