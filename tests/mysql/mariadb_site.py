"""A MariaDB server for tests, made in a temporary folder and ended with them.

Debian's packages mariadb-server-core and mariadb-client-core have its programs and start nothing
by themselves (.ci/mysql).
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_START_S = 60


class Server:
    """One server over a folder; root of the database has no password, through the socket only."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tds-my-"))
        self.port = _free_port()
        self.socket = self.folder / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    @property
    def ca(self) -> Path:
        """The certificate that the server's own is, for 127.0.0.1."""
        return self.folder / "ca.pem"

    def make(self) -> None:
        """Lay out its folder."""
        for program in ("mariadb-install-db", "my_print_defaults", "mariadbd"):
            if shutil.which(program, path="/usr/bin:/usr/sbin") is None:
                pytest.fail(f"expected {program} of Debian's MariaDB: run .ci/mysql")
        certificate(self.folder)
        how = ("--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db")
        made = subprocess.run(
            ["/usr/bin/mariadb-install-db", *how, f"--datadir={self.folder}/data"],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self._as,
        )
        assert made.returncode == 0, made.stdout + made.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [
                "/usr/sbin/mariadbd",
                "--no-defaults",
                f"--datadir={self.folder}/data",
                f"--socket={self.socket}",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=16M",
                f"--ssl-cert={self.ca}",
                f"--ssl-key={self.folder}/key.pem",
            ],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            **self._as,
        )
        log.close()
        until = time.monotonic() + _START_S
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.socket)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > until:
                text = (self.folder / "log").read_text(errors="replace")
                pytest.fail(f"MariaDB did not start:\n{text[-3000:]}")
            time.sleep(0.1)

    def remove(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=_START_S)
        shutil.rmtree(self.folder)

    def execute(self, *statements: str) -> tuple[Any, ...]:
        """As its root; the last statement's rows."""
        with (
            pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True) as opened,
            opened.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())


def certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    for place in ("ca.pem", "key.pem"):
        (folder / place).chmod(0o644)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


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
