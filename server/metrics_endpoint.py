"""Where Prometheus asks: `GET /metrics`, and nothing else.

Plain HTTP without a sign-in, as Prometheus' exporters are: whoever reaches the address reads counts
and the log's names of products. It is off unless it was asked for; bind it to loopback, or to a
network where only the collector is.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.errors import ServerError
from server.metrics import CONTENT_TYPE, GovernanceMetrics
from server.serving import Serving, bind, serve_app

PATH: Final = "/metrics"
_ADDRESS: Final = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")


def parse_metrics_address(text: str) -> str:
    """HOST:PORT; port 0 is any free one.

    Raises:
        ServerError: something else.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[2]) > 65_535:
        raise ServerError(f"metrics: expected HOST:PORT, such as 127.0.0.1:9465, got {text!r:.80}")
    return text


def serve_metrics(metrics: GovernanceMetrics, address: str) -> Serving:
    """Answer at this address; returns once it does.

    Raises:
        ServerError: the port is taken, or the service did not start.
    """

    def answer(_request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE}
        return Response(metrics.exposition(), headers=headers)

    app = Starlette(routes=[Route(PATH, answer, methods=["GET"])])
    return serve_app(app, bind(address), name="metrics", pair=None)
