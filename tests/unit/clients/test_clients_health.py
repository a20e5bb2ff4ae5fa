"""The health endpoint: real sockets, what it answers, and what it bears."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from test_clients_gate import NOW

from clients.errors import ClientError
from clients.health import (
    MAX_AT_ONCE,
    TIMEOUT_S,
    HealthUnavailable,
    ask_health,
    health_server,
    parse_health_address,
)
from clients.vitals import FRESH, Contact, Readiness, Told

WELL = Told(connected=True, last=NOW)
AWAY = Told(connected=False, last=None)
READY = Readiness(superlink=WELL, governance=WELL, sandbox=True, tasks=1)


class Site:
    """A server whose readiness can be set."""

    def __init__(self) -> None:
        self.found = READY
        self.told = ""

    def connect(self) -> socket.socket:
        host, _, port = self.told.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=TIMEOUT_S * 3)

    def raw(self, request: bytes) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            answer = b""
            while data := client.recv(4096):
                answer += data
        return answer


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    with health_server(parse_health_address("127.0.0.1:0"), lambda: site.found) as site.told:
        yield site


@pytest.mark.parametrize(
    ("found", "status", "well"),
    [
        (READY, 200, True),
        (Readiness(AWAY, WELL, True, 0), 503, False),
        (Readiness(WELL, AWAY, True, 0), 503, False),
        (Readiness(WELL, WELL, False, 0), 503, False),
    ],
    ids=["ready", "no SuperLink", "no governance", "no sandbox"],
)
def test_readiness(site: Site, found: Readiness, status: int, well: bool) -> None:
    site.found = found
    connection = http.client.HTTPConnection(site.told, timeout=5)
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    assert (response.status, response.getheader("Content-Type")) == (status, "application/json")
    told = json.loads(response.read())
    connection.close()
    assert told == found.to_json()
    assert ask_health(site.told) == (well, told)
    assert ask_health(site.told, path="/healthz") == (True, {"live": True})


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /readyz/../node.json HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /readyz?x=1 HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /readyz HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"501"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b""),
        (b"GET /readyz HTTP/1.1\r\n" + b"a: b\r\n" * 5000, b""),
    ],
    ids=["root", "path", "query", "post", "nonsense", "long line", "many headers"],
)
def test_what_else_comes(site: Site, request_: bytes, status: bytes) -> None:
    try:
        answer = site.raw(request_)
    except ConnectionError:  # hung up on while it sent on
        answer = b""
    first = answer.split(b"\r\n")[0]
    assert status in first
    assert b"HTTP/1.0 200" not in first
    assert ask_health(site.told)[0]


def test_who_is_slow_is_hung_up_on_and_places_are_few(site: Site) -> None:
    slow = [site.connect() for _ in range(MAX_AT_ONCE)]
    time.sleep(0.2)
    begun = time.monotonic()
    with pytest.raises(HealthUnavailable):
        ask_health(site.told)
    for number in range(8):
        for client in slow:
            try:
                client.sendall(b"GET /"[number % 5 : number % 5 + 1])
            except OSError:
                break
        time.sleep(TIMEOUT_S / 8)
    for client in slow:
        client.settimeout(TIMEOUT_S)
        try:
            while client.recv(4096):
                pass
        except ConnectionError:
            pass
        client.close()
    assert time.monotonic() - begun < 3 * TIMEOUT_S
    assert ask_health(site.told)[0]


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0:8080", "10.0.0.1:8080", "[::]:8080", "example.org:8080", "8080", ""),
        *("127.0.0.1:65536", "127.0.0.1:x", "unix:relative", "unix:/" + "x" * 200, "999.1.1.1:1"),
    ],
)
def test_addresses_of_this_machine_only(text: str) -> None:
    with pytest.raises(ClientError, match="health: expected"):
        parse_health_address(text)


def test_a_taken_port_is_refused(site: Site) -> None:
    address = parse_health_address(site.told)
    with (
        pytest.raises(HealthUnavailable, match="expected a free address"),
        health_server(address, lambda: READY),
    ):
        pass


def test_a_unix_socket_is_the_owners_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "health.sock"
    text = f"unix:{path}"
    with health_server(parse_health_address(text), lambda: READY) as told:
        assert told == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask_health(text)[0]
        with (
            pytest.raises(HealthUnavailable, match="free address"),
            health_server(parse_health_address(text), lambda: READY),
        ):
            pass
        assert ask_health(text)[0]
    assert not path.exists()
    with pytest.raises(HealthUnavailable, match="is the node running"):
        ask_health(text)


def test_a_socket_that_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "health.sock"
    code = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.exists()
    with health_server(parse_health_address(f"unix:{path}"), lambda: READY):
        assert ask_health(f"unix:{path}")[0]


def test_a_file_at_the_sockets_place_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "health.sock"
    path.write_text("mine")
    with (
        pytest.raises(HealthUnavailable),
        health_server(parse_health_address(f"unix:{path}"), lambda: READY),
    ):
        pass
    assert path.read_text() == "mine"


def test_who_answers_otherwise_is_no_node() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n[1]")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(HealthUnavailable, match="JSON object"):
            ask_health(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_a_contact_is_fresh_after_an_answer_and_not_for_ever() -> None:
    now = [NOW]
    contact = Contact(lambda: now[0])
    assert contact.told() == AWAY
    contact.answered()
    now[0] += FRESH
    assert contact.told() == Told(connected=True, last=NOW)
    now[0] += timedelta(seconds=1)
    assert contact.told() == Told(connected=False, last=NOW)
    contact.answered()
    contact.failed()
    assert contact.told() == Told(connected=False, last=now[0])
    contact.answered()
    assert contact.told().connected
