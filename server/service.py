"""The governance service: a port with mutual TLS, one with TLS only for those who enrol, and, where
the space's card names one, the Dataspace Protocol over HTTPS; and the console, if one is wanted."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from policies import governance_pb2 as pb
from policies.governance_pb2_grpc import (
    add_EnrolmentServicer_to_server,
    add_GovernanceServicer_to_server,
)
from server.console.oidc.settings import Settings
from server.console.place import Place
from server.console.serving import Console, serve_console
from server.console.telling import Teller
from server.cosigning import MAX_WITNESSES
from server.dsp.endpoint import Endpoint, serve_contracts
from server.edge import Edge
from server.errors import ServerError
from server.governance import Governance, OpenGovernance, open_governance
from server.observing import NOBODY, Observer
from server.runwatch import RunWatch
from server.second_key import SecondKey
from server.servicers import EnrolmentService, GovernanceService
from server.space import Space
from server.superlink import SuperLink
from server.watched_calls import WatchedCalls
from server.withdrawals import MAX_WATCHERS

MAX_MESSAGE_BYTES: Final = 64 << 20
MAX_ENROLMENT_BYTES: Final = 64 << 10
_CALLS: Final = 32  # threads for calls; each watcher holds one more
_ENROLMENTS: Final = 4
GRACE_S: Final = 5.0
_LOGGER = logging.getLogger(__name__)


class Running:
    """A service that runs.

    Attributes:
        governance: the core, for whoever serves in the same process.
        governance_port, enrolment_port: what was bound (the ones asked for, unless 0).
        contracts_port: likewise; None where the space has no such endpoint.
        console: its pages; None without.
        console_url: what to visit; "" without a console.
    """

    def __init__(
        self,
        *,
        opened: OpenGovernance,
        servers: tuple[grpc.Server, grpc.Server],
        ports: tuple[int, int],
        health_servicer: health.HealthServicer,
        endpoint: Endpoint | None,
        console: Console | None,
    ) -> None:
        self.governance: Governance = opened.governance
        self.governance_port, self.enrolment_port = ports
        self._opened = opened
        self.contracts_port = endpoint.port if endpoint is not None else None
        self._endpoint = endpoint
        self.console_url = console.url if console is not None else ""
        self.console = console
        self._servers = servers
        self._health = health_servicer
        self._watch = RunWatch(self.governance.runs)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Take no new calls, let running ones end for `grace_s` seconds, then close log and
        registry. Safe to call again."""
        self._health.enter_graceful_shutdown()
        for edge in (self.console, self._endpoint):
            if edge is not None:
                edge.stop()
        self._watch.close()
        self.governance.stop_watching()
        for ended in [server.stop(grace_s) for server in self._servers]:
            ended.wait()
        self._opened.close()
        _LOGGER.info("governance stopped")


def serve(
    space: Space,
    *,
    superlink: SuperLink,
    edge: Edge,
    governance_listen: str | None = None,
    enrolment_listen: str | None = None,
    contracts_listen: str | None = None,
    second_key: SecondKey | None = None,
    console: Place | None = None,
    teller: Teller | None = None,
    observer: Observer = NOBODY,
    oidc: Settings | None = None,
) -> Running:
    """Open the space's governance and serve it; returns once its ports answer.

    Args:
        governance_listen, enrolment_listen, contracts_listen: host:port to bind, where they differ
            from how others reach them (`space.card`).
        second_key: an engine that has to permit every round as well; off by default.
        console: where the console is served; its links are made at the endpoint of the contracts.
        teller: tells of the log's entries in the console.
        observer: told of each call, each append and each entry.
        oidc: a provider of OpenID Connect that signs people in to it as well.

    Raises:
        ServerError: a port is taken, a console without that endpoint, or as `open_governance`.
        ledger.errors.LedgerError: the log refuses to run.
    """
    tls = space.governance_tls()
    ca = space.card.ca_pem.encode()
    opened = open_governance(
        space, superlink=superlink, edge=edge, second_key=second_key, observer=observer
    )
    pages: Console | None = None
    try:
        checker = health.HealthServicer()
        watched = WatchedCalls(observer)
        governed = _governance_server(opened.governance, checker, watched)
        enrolling = _server(_ENROLMENTS, MAX_ENROLMENT_BYTES, watched)
        enrolment = EnrolmentService(opened.governance)
        add_EnrolmentServicer_to_server(enrolment, enrolling)  # type: ignore[no-untyped-call]
        pair = [(tls.key, tls.certificate)]
        mutual = grpc.ssl_server_credentials(pair, root_certificates=ca, require_client_auth=True)
        ports = (
            _bind(governed, governance_listen or space.card.governance, mutual),
            _bind(
                enrolling,
                enrolment_listen or space.card.enrolment,
                grpc.ssl_server_credentials(pair),
            ),
        )
        listen = contracts_listen or space.card.contracts
        if console is not None:
            pages = _console(
                space,
                opened.governance,
                console,
                edge,
                contracts=bool(listen),
                teller=teller,
                oidc=oidc,
                observer=observer,
            )
        endpoint = _contracts(space, opened.governance, listen, pages) if listen else None
        governed.start()
        enrolling.start()
    except BaseException:
        if pages is not None:
            pages.stop()
        opened.close()
        raise
    _LOGGER.info("governance of %s on port %d, enrolment on %d", space.card.name, *ports)
    return Running(
        opened=opened,
        servers=(governed, enrolling),
        ports=ports,
        health_servicer=checker,
        endpoint=endpoint,
        console=pages,
    )


def _console(
    space: Space,
    governance: Governance,
    place: Place,
    edge: Edge,
    *,
    contracts: bool,
    teller: Teller | None,
    oidc: Settings | None,
    observer: Observer,
) -> Console:
    if not contracts:
        raise ServerError(
            f"console: expected a space with an endpoint of the contracts, where links are made; "
            f"{space.card.name} has none: make a space with one (tds space init), or serve without "
            "a console"
        )
    folder = space.folder / "governance"
    return serve_console(
        governance,
        place=place,
        certificate=folder / "tls.crt",
        key=folder / "tls.key",
        log_folder=space.log_folder,
        edge=edge,
        teller=teller,
        oidc=oidc,
        told=observer.answered,
    )


def _contracts(
    space: Space, governance: Governance, listen: str, console: Console | None
) -> Endpoint:
    folder = space.folder / "governance"
    return serve_contracts(
        governance.contracts,
        address=listen,
        certificate=folder / "tls.crt",
        key=folder / "tls.key",
        log_folder=space.log_folder,
        beside=[console.link] if console is not None else [],
    )


def _governance_server(
    governance: Governance, checker: health.HealthServicer, watched: WatchedCalls
) -> grpc.Server:
    server = _server(_CALLS + MAX_WATCHERS + MAX_WITNESSES, MAX_MESSAGE_BYTES, watched)
    service = GovernanceService(governance)
    add_GovernanceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    name = pb.DESCRIPTOR.services_by_name["Governance"].full_name
    for known in ("", name):
        checker.set(known, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(
        (name, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return server


def _server(threads: int, max_bytes: int, watched: WatchedCalls) -> grpc.Server:
    options = (
        ("grpc.max_receive_message_length", max_bytes),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.so_reuseport", 0),  # a second service on the port must fail, not share it
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
    )
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="governance")
    return grpc.server(
        pool, interceptors=[watched], options=options, maximum_concurrent_rpcs=4 * threads
    )


def _bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    try:
        port: int = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ServerError(
            f"{address}: expected a free port of this machine, got: {error}; end what holds it, or "
            "choose another"
        ) from error
    if port == 0:
        raise ServerError(f"{address}: expected a free port of this machine; choose another")
    return port
