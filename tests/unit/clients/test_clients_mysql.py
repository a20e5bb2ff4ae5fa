"""MySQL's URLs and TLS, without a server; tests/mysql has a real one (.ci/mysql)."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import certifi
import pytest
from test_clients_source import SQLITE, product

from clients.errors import ProductError, VaultError
from clients.mysql_source import parse_mysql_url
from clients.source_reader import read_batches
from clients.vault import open_product

SALT = bytes(32)
GOOD = "mysql://reader@db.clinic.example:3307/records?ssl_ca=/etc/ca.pem"


def test_a_url_is_read() -> None:
    url = parse_mysql_url(GOOD)
    assert (url.user, url.host, url.port, url.database) == (
        "reader", "db.clinic.example", 3307, "records"
    )  # fmt: skip
    assert url.ssl_ca == "/etc/ca.pem"


@pytest.mark.parametrize(
    ("url", "over_tls"),
    [
        ("mysql://u@db.example/d", True),
        ("mariadb://u@10.0.0.1/d", True),
        ("mysql://u@127.0.0.1.example/d", True),
        ("mysql://u@localhost.example/d", True),
        ("mysql://u@127.0.0.1/d", False),
        ("mysql://u@[::1]/d", False),
        ("mysql://u@localhost/d", False),
        ("mysql://u@/d?unix_socket=/run/s", False),
        ("mysql://u@127.0.0.1/d?ssl_ca=/ca.pem", True),
        ("mysql://u@/d?unix_socket=/run/s&ssl_ca=/ca.pem", True),
    ],
)
def test_where_nothing_but_tls_will_do(url: str, over_tls: bool) -> None:
    assert parse_mysql_url(url).over_tls is over_tls


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:S3CRET@localhost/d", "no password in it"),
        ("mysql://u:@localhost/d", "no password in it"),
        ("mysql+mysqldb://u@S3CRET/d", "another scheme"),
        ("mysql://u@localhost", "no user or no database"),
        ("mysql://localhost/S3CRET", "no user or no database"),
        ("mysql://u@/d", "either a host or unix_socket"),
        ("mysql://u@localhost/d?unix_socket=/s", "either a host or unix_socket"),
        ("mysql://u@localhost/d?password=S3CRET", "another parameter"),
        ("mysql://u@localhost/d?ssl_disabled=true", "another parameter"),
        ("mysql://u@localhost/d?local_infile=1", "another parameter"),
        ("mysql://u@localhost/d?ssl_ca=ca.pem", "with an absolute path"),
        ("mysql://u@localhost/d?ssl_ca=/a&ssl_ca=/b", "each once"),
        ("mysql://u@localhost/d?ssl_cert=/a", "ssl_cert and ssl_key together"),
        ("mysql://u@localhost:S3CRET/d", "got something else"),
    ],
)
def test_a_bad_url_is_refused_without_showing_it(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(ProductError, match=words) as caught:
        product(tmp_path, {**SQLITE, "database": url})
    assert "S3CRET" not in str(caught.value)


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    url = f"mysql://u@127.0.0.1:1/d?ssl_ca={tmp_path}/none.pem"
    with pytest.raises(VaultError, match="ssl_ca, ssl_cert and ssl_key, got FileNotFoundError"):
        open_product(product(tmp_path, {**SQLITE, "database": url}), salt=SALT)


def test_without_the_driver_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymysql", None)
    with pytest.raises(VaultError, match=r"tdspace\[mysql\]"):
        open_product(product(tmp_path, {**SQLITE, "database": "mysql://u@localhost/d"}), salt=SALT)


def greet(listening: socket.socket, told: list[bytes]) -> None:
    """A server of the MySQL protocol that offers no TLS, and keeps what it is told."""
    talk, _ = listening.accept()
    salt = b"12345678"
    hello = b"\x0a5.7.0\x00" + (1).to_bytes(4, "little") + salt + b"\x00"
    flags = 0x0008F7FF & ~0x800  # all that is usual, but CLIENT_SSL
    hello += (flags & 0xFFFF).to_bytes(2, "little") + b"\x21\x02\x00"
    hello += (flags >> 16).to_bytes(2, "little") + bytes([21]) + bytes(10) + b"123456789012\x00"
    hello += b"mysql_native_password\x00"
    talk.sendall(len(hello).to_bytes(3, "little") + b"\x00" + hello)
    talk.settimeout(5)
    with suppress(TimeoutError):
        told.append(talk.recv(4096))
    talk.close()


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_without_tls_is_told_nothing_where_tls_is_needed(
    tmp_path: Path, tls: bool
) -> None:
    told: list[bytes] = []
    word = tmp_path / "word"
    word.write_text("S3CRET-word")
    word.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=greet, args=(listening, told))
        server.start()
        url = f"mysql://reader@127.0.0.1:{listening.getsockname()[1]}/d"
        if tls:
            url += f"?ssl_ca={certifi.where()}"
        given: dict[str, Any] = {**SQLITE, "database": url, "password_file": "word"}
        with pytest.raises(VaultError, match="OperationalError") as caught:
            list(read_batches(product(tmp_path, given), (), max_rows=1))
        server.join()
    assert "S3CRET" not in repr(caught.value)
    assert b"reader" not in b"".join(told) if tls else b"reader" in told[0]
    assert json.loads((tmp_path / "product.json").read_text())["source"]["database"] == url
