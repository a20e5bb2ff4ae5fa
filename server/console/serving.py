"""The console's service: its own port, in governance's process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.routing import Route

from server.console.app import build_console
from server.console.counted import Counted
from server.console.entrance import Entrance
from server.console.hub import Hub
from server.console.link_route import link_route
from server.console.oidc.pages import CALLBACK
from server.console.oidc.provider import Provider
from server.console.oidc.settings import Settings
from server.console.place import Place
from server.console.telling import Teller
from server.edge import Edge
from server.governance import Governance
from server.serving import Serving, bind, serve_app


class Console:
    """A console that runs.

    Attributes:
        url: scheme://host:port to visit.
        port: what was bound.
        entrance: makes one-time links, for whoever serves in the same process.
        link: where others make theirs, at the endpoint of the contracts.
    """

    def __init__(
        self,
        *,
        url: str,
        entrance: Entrance,
        link: Route,
        hub: Hub,
        serving: Serving,
        provider: Provider | None = None,
    ) -> None:
        self.url = url
        self.port = serving.port
        self.entrance = entrance
        self.link = link
        self._hub = hub
        self._serving = serving
        self._provider = provider

    def open_pages(self) -> int:
        """How many pages follow a run now."""
        return self._hub.pages

    def stop(self) -> None:
        """End the pages that follow a run, then the service. Safe to call again."""
        self._hub.close()
        self._serving.stop()
        if self._provider is not None:
            self._provider.close()


def serve_console(
    governance: Governance,
    *,
    place: Place,
    certificate: Path,
    key: Path,
    log_folder: Path,
    edge: Edge,
    teller: Teller | None = None,
    oidc: Settings | None = None,
    told: Callable[[int, float], None] | None = None,
) -> Console:
    """Serve the console; returns once its port answers.

    Args:
        place: where, and at what address browsers find it.
        certificate, key: PEM files, for a place with TLS.
        teller: tells of the log's entries; None shows them as they stand.
        oidc: a provider of OpenID Connect; it is asked when somebody comes that way.
        told: status of each answer, and seconds until it began.

    Raises:
        ServerError: the port is taken, or the service did not start.
    """
    listening = bind(place.listen)
    bound = place.bound(listening.getsockname()[1])
    entrance, hub = Entrance(edge), Hub()
    governance.listen(hub.on_applied)
    provider = None
    if oidc is not None:
        redirect_uri = f"{bound.url}{CALLBACK}"
        provider = Provider(oidc, redirect_uri=redirect_uri, clock=edge.clock)
    app = build_console(
        governance,
        entrance=entrance,
        hub=hub,
        place=bound,
        log_folder=log_folder,
        edge=edge,
        teller=teller,
        provider=provider,
    )
    serving = serve_app(
        app if told is None else Counted(app, told),
        listening,
        name="console",
        pair=(certificate, key) if bound.tls else None,
        clients_ca=governance.card.ca_pem.encode(),
    )
    link = link_route(governance, entrance, bound.url)
    return Console(
        url=bound.url, entrance=entrance, link=link, hub=hub, serving=serving, provider=provider
    )
