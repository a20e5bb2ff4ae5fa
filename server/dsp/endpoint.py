"""The endpoint's service: uvicorn in a thread of governance's process, over TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Final

import uvicorn

from server.dsp.contracts import Contracts
from server.dsp.http import build_app
from server.errors import ServerError

START_TIMEOUT_S: Final = 10.0
GRACE_S: Final = 5
MAX_CONNECTIONS: Final = 256
_BACKLOG: Final = 128
_LOOK_S: Final = 0.01


class Endpoint:
    """An endpoint that runs.

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


def serve_contracts(
    contracts: Contracts, *, address: str, certificate: Path, key: Path, log_folder: Path
) -> Endpoint:
    """Serve the protocol, and the log beside it; returns once the port answers.

    Args:
        address: host:port to bind; port 0 takes a free one.
        certificate, key: PEM files of a certificate of the space's CA.
        log_folder: what the log publishes.

    Raises:
        ServerError: the port is taken, or the service did not start.
    """
    listening = _bind(address)
    config = uvicorn.Config(
        build_app(contracts, log_folder),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=certificate,
        ssl_keyfile=str(key),
    )
    config.load()
    assert config.ssl is not None
    config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="contracts", daemon=True
    )
    thread.start()
    end = time.monotonic() + START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            listening.close()
            raise ServerError(f"{address}: expected the contracts' endpoint to start, it did not")
        time.sleep(_LOOK_S)
    return Endpoint(server, thread, listening.getsockname()[1])


def _bind(address: str) -> socket.socket:
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
