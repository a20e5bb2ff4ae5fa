"""An ASGI application served by uvicorn, in a thread of this process."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from server.errors import ServerError
from server.peer import PeerProtocol, ask_for_certificates

START_TIMEOUT_S: Final = 10.0
GRACE_S: Final = 5
MAX_CONNECTIONS: Final = 256
_BACKLOG: Final = 128
_LOOK_S: Final = 0.01


class Serving:
    """An application that is served.

    Attributes:
        port: what was bound.
    """

    def __init__(self, server: uvicorn.Server, thread: threading.Thread, port: int) -> None:
        self.port = port
        self._server = server
        self._thread = thread

    def stop(self) -> None:
        """Take no new requests, let running ones end for `GRACE_S` seconds. Safe to call again."""
        self._server.should_exit = True
        end = time.monotonic() + GRACE_S
        while self._server.server_state.tasks and time.monotonic() < end:
            time.sleep(_LOOK_S)
        # Nobody is being answered: a client that only keeps its connection is not waited for.
        self._server.force_exit = True
        self._thread.join(GRACE_S)


def serve_app(
    app: ASGIApp,
    listening: socket.socket,
    *,
    name: str,
    pair: tuple[Path, Path] | None,
    clients_ca: bytes | None = None,
) -> Serving:
    """Serve an application; returns once the port answers.

    Args:
        listening: a bound socket (`bind`); closed if the service does not start.
        name: of the thread, and in errors.
        pair: PEM files of a certificate and its key; None serves plain HTTP.
        clients_ca: with TLS, the CA (PEM) whose clients may bring a certificate (`server.peer`).

    Raises:
        ServerError: the service did not start.
    """
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=pair[0] if pair else None,
        ssl_keyfile=str(pair[1]) if pair else None,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        if clients_ca is not None:
            ask_for_certificates(config.ssl, clients_ca)
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name=name, daemon=True
    )
    thread.start()
    end = time.monotonic() + START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            listening.close()
            raise ServerError(f"{name}: expected its service to start, it did not")
        time.sleep(_LOOK_S)
    return Serving(server, thread, listening.getsockname()[1])


def bind(address: str) -> socket.socket:
    """A socket that listens at host:port; port 0 takes a free one.

    Raises:
        ServerError: the port is taken.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ServerError(
            f"{address}: expected a free port of this machine, got: {error.strerror}; end what "
            "holds it, or choose another"
        ) from error
