"""The node's health over HTTP, for this machine only: on loopback or a Unix socket.

    GET /healthz   200 while the process answers
    GET /readyz    200 or 503, with the reasons (clients.vitals)

A request is bounded in size and time, few are answered at once, nothing but these two is answered,
and an answer holds no secret. Whoever shares the machine may read it: names of the other side and
of runs are not in it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import socketserver
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from clients.errors import ClientError
from clients.vitals import Readiness
from policies.canonical import Json

TIMEOUT_S: Final = 3.0
MAX_AT_ONCE: Final = 8
MAX_ANSWER_BYTES: Final = 16 * 1024
_MAX_REQUEST_BYTES: Final = 8 * 1024
_MAX_SOCKET_PATH: Final = 100

_TCP: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):([0-9]{1,5})", re.ASCII)


class HealthUnavailable(ClientError):
    """The health endpoint cannot be opened, or nobody answers there."""


@dataclass(frozen=True, slots=True)
class HealthAddress:
    """Where health is told.

    Attributes:
        text: as it was given.
        path: of a Unix socket; None for TCP.
        host, port: on loopback; port 0 takes a free one.
    """

    text: str
    path: Path | None = None
    host: str = ""
    port: int = 0


def parse_health_address(text: str) -> HealthAddress:
    """`127.0.0.1:PORT`, `[::1]:PORT`, `localhost:PORT` or `unix:/PATH`.

    Raises:
        ClientError: something else, or an address that others can reach.
    """
    if text.startswith("unix:/"):
        path = Path(text.removeprefix("unix:"))
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise ClientError(
                f"health: expected a socket's path of at most {_MAX_SOCKET_PATH} bytes, got {path}"
            )
        return HealthAddress(text=text, path=path)
    found = _TCP.fullmatch(text)
    if found is None or int(found[2]) > 65535:
        raise ClientError(
            f"health: expected 127.0.0.1:PORT, [::1]:PORT or unix:/PATH, got {text[:80]!r}"
        )
    host = "127.0.0.1" if found[1] == "localhost" else found[1].strip("[]")
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ClientError(
            f"health: expected an address of this machine only, such as 127.0.0.1:{found[2]}, got "
            f"{text}; a container's health check calls `tds node health` inside it"
        )
    return HealthAddress(text=text, host=host, port=int(found[2]))


@contextmanager
def health_server(address: HealthAddress, readiness: Callable[[], Readiness]) -> Iterator[str]:
    """Answer while the block lasts; gives the address, with the port that was taken.

    Args:
        readiness: asked at each `/readyz`, from several threads; does not raise.

    Raises:
        HealthUnavailable: the address is taken, or not to be had.
    """
    try:
        server = _open(address, readiness)
    except OSError as error:
        raise HealthUnavailable(
            f"health {address.text}: expected a free address, got: {error.strerror or error}"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if address.path is not None:
            address.path.unlink(missing_ok=True)


def ask_health(text: str, *, path: str = "/readyz") -> tuple[bool, dict[str, Json]]:
    """Whether the node at this address is well, and what it says.

    Raises:
        HealthUnavailable: nobody answers there, or not like this.
        ClientError: no such address.
    """
    address = parse_health_address(text)
    connection = _Connection(address)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        told = json.loads(response.read(MAX_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HealthUnavailable(
            f"health {text}: expected an answer, got none ({type(error).__name__}); is the node "
            "running with this --health?"
        ) from error
    finally:
        connection.close()
    if not isinstance(told, dict):
        raise HealthUnavailable(f"health {text}: expected a JSON object; is it a node's?")
    return response.status == HTTPStatus.OK, told


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: HealthAddress) -> None:
        super().__init__(address.host or "localhost", address.port or None, timeout=TIMEOUT_S)
        self._path = address.path

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


class _Answering(BaseHTTPRequestHandler):
    timeout = TIMEOUT_S
    server: _Server
    server_version = "tds"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        # A client that sends a byte now and then would keep its place: a deadline for all of it.
        self._deadline = threading.Timer(TIMEOUT_S, _hang_up, args=(self.connection,))
        self._deadline.daemon = True
        self._deadline.start()
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment]

    def finish(self) -> None:
        self._deadline.cancel()
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._say(HTTPStatus.OK, {"live": True})
        elif self.path == "/readyz":
            found = self.server.readiness()
            status = HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE
            self._say(status, found.to_json())
        else:
            self._say(HTTPStatus.NOT_FOUND, {"error": "expected /healthz or /readyz"})

    def _say(self, status: HTTPStatus, body: dict[str, Json]) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """A probe every few seconds is not worth a line."""


class _Bounded:
    """Reads at most so many bytes in all, then nothing."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = _MAX_REQUEST_BYTES

    def readline(self, limit: int = -1) -> bytes:
        wanted = self._left if limit < 0 else min(limit, self._left)
        line: bytes = self._file.readline(wanted)
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    told: str
    readiness: Callable[[], Readiness]

    def __init__(self, address: Any, family: socket.AddressFamily) -> None:
        self.address_family = family
        self._places = threading.BoundedSemaphore(MAX_AT_ONCE)
        super().__init__(address, _Answering)

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more than `MAX_AT_ONCE` is hung up on."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hung up or was hung up on is no news."""


class _Peer(NamedTuple):
    host: str
    port: int


class _UnixServer(_Server):
    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = self.socket.accept()
        return connection, _Peer("", 0)


def _open(address: HealthAddress, readiness: Callable[[], Readiness]) -> _Server:
    server: _Server
    if address.path is None:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        server = _Server((address.host, address.port), family)
        host = f"[{address.host}]" if family == socket.AF_INET6 else address.host
        server.told = f"{host}:{server.server_address[1]}"
    else:
        _remove_stale(address.path)
        before = os.umask(0o177)
        try:
            server = _UnixServer(str(address.path), socket.AF_UNIX)
        finally:
            os.umask(before)
        server.told = address.text
    server.readiness = readiness
    return server


def _remove_stale(path: Path) -> None:
    """A socket that a killed process left behind; one that answers is another's."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
