"""The endpoint's service: in a thread of governance's process, over TLS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.routing import Route

from server.dsp.contracts import Contracts
from server.dsp.http import build_app
from server.serving import Serving, bind, serve_app

Endpoint = Serving


def serve_contracts(
    contracts: Contracts,
    *,
    address: str,
    certificate: Path,
    key: Path,
    log_folder: Path,
    beside: Sequence[Route] = (),
) -> Endpoint:
    """Serve the protocol, and the log beside it; returns once the port answers.

    Args:
        address: host:port to bind; port 0 takes a free one.
        certificate, key: PEM files of a certificate of the space's CA.
        log_folder: what the log publishes.
        beside: further routes, such as that of the console's links.

    Raises:
        ServerError: the port is taken, or the service did not start.
    """
    app = build_app(contracts, log_folder)
    app.router.routes.extend(beside)
    return serve_app(app, bind(address), name="contracts", pair=(certificate, key))
