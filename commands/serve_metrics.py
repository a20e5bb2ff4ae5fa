"""`tds serve --metrics`: governance's figures, where Prometheus asks for them.

Imported only if they are asked for: without it nothing of Prometheus is.
"""

from __future__ import annotations

from contextlib import ExitStack

from commands.node_wiring import now
from server.metrics import GovernanceMetrics, Sights
from server.metrics_endpoint import PATH, parse_metrics_address, serve_metrics
from server.service import Running


class Measured:
    """Figures that are collected from now on, and answered once there is something to look at.

    Attributes:
        observer: whom governance tells.

    Args:
        address: HOST:PORT; ServerError if it is none.
    """

    def __init__(self, address: str) -> None:
        self._address = parse_metrics_address(address)
        self.observer = GovernanceMetrics(clock=now)

    def serve(self, stack: ExitStack, running: Running) -> str:
        """Answer until `stack` is left; where.

        Raises:
            ServerError: the port is taken.
        """
        self.observer.watch(sights_of(running))
        serving = serve_metrics(self.observer, self._address)
        stack.callback(serving.stop)
        return f"http://{self._address.rpartition(':')[0]}:{serving.port}{PATH}"


def sights_of(running: Running) -> Sights:
    """What is looked at when somebody asks."""
    governance, console = running.governance, running.console
    return Sights(
        log_entries=lambda: governance.log_size,
        cosignatures=governance.cosignatures,
        watchers=lambda: governance.watchers()[0],
        witnesses=lambda: governance.watchers()[1],
        pages=console.open_pages if console is not None else int,
        sessions=(lambda: console.entrance.signed_in) if console is not None else int,
    )
