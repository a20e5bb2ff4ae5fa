"""`tds serve`: the operator's processes on one machine."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from commands.children import Child, Children, port_answers, python
from commands.console_teller import ConsoleTeller
from commands.errors import CommandFailed
from commands.logs import FORMAT_VARIABLE, LogFormat, LogFormatOption, configure_logs
from commands.node_wiring import now
from commands.output import say
from commands.space_people import SpaceFolder
from server.console.oidc.settings import Settings, load_settings
from server.console.place import Place, parse_place
from server.edge import Edge
from server.entry_log import EntryLog
from server.errors import SuperLinkUnavailable
from server.exchange import FlowerSuperLink
from server.observing import Observers
from server.second_key import CedarKey
from server.service import serve as serve_governance
from server.space import Space, load_space
from server.tracing import call_tracing

if TYPE_CHECKING:
    from commands.serve_metrics import Measured

LOGGER = logging.getLogger(__name__)

SUPERLINK_WAIT_S: Final = 300.0
_RETRY_S: Final = 0.5

FLOWER_ENV = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}


def serve(
    space: SpaceFolder,
    database: Annotated[
        Path | None,
        typer.Option(help="Flower's database file; SPACE/superlink/flower.db if left out."),
    ] = None,
    in_memory: Annotated[
        bool,
        typer.Option(
            "--in-memory",
            help="Keep Flower's state in memory: its runs are gone once it is restarted.",
        ),
    ] = False,
    listen: Annotated[
        str,
        typer.Option(
            help="Address to bind instead of those of the space's card, on the same ports: behind "
            "a proxy, 0.0.0.0."
        ),
    ] = "",
    superlink: Annotated[
        str,
        typer.Option(
            help="HOST:PORT of a SuperLink that runs elsewhere, with the executor of ServerApps "
            "beside it (docker-compose.yml); neither is started then."
        ),
    ] = "",
    two_keys: Annotated[
        bool,
        typer.Option(
            "--two-keys",
            help="Permit a round only if Cedar, which reads the agreement anew, permits it too.",
        ),
    ] = False,
    console: Annotated[
        str,
        typer.Option(
            help="HOST:PORT of the pages for browsers; port 0 is any free one, off serves none. "
            "Plain HTTP on this machine's own addresses, else TLS under the space's CA."
        ),
    ] = "127.0.0.1:0",
    console_url: Annotated[
        str,
        typer.Option(
            help="Where browsers find them, if elsewhere: http://localhost:PORT behind a published "
            "port, https://HOST:PORT from other machines."
        ),
    ] = "",
    metrics: Annotated[
        str,
        typer.Option(
            envvar="TDS_METRICS",
            help="HOST:PORT where Prometheus finds /metrics, such as 127.0.0.1:9465; nowhere if "
            "left out. Plain HTTP without a sign-in.",
        ),
    ] = "",
    oidc: Annotated[
        Path | None,
        typer.Option(
            envvar="TDS_OIDC",
            help="A file that names a provider of OpenID Connect and whom its accounts are here: "
            "they may then sign in to the console (docs/console.md).",
        ),
    ] = None,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Run a space: Flower's SuperLink, the executor of ServerApps, and governance, until Ctrl-C.

    Example: tds serve --space ./space
    """
    as_json = log_format is LogFormat.JSON
    configure_logs(log_format, level=logging.INFO if as_json else logging.getLogger().level)
    told = LOGGER.info if as_json else say
    place = None if console == "off" else parse_place(console, console_url)
    settings = None if oidc is None else oidc_settings(oidc, place)
    loaded = load_space(space)
    card = loaded.card
    with ExitStack() as stack:
        children = stack.enter_context(Children(logs=loaded.folder / "logs"))
        kept = database or loaded.superlink_folder / "flower.db"
        if not superlink:
            start_superlink(children, loaded, database=None if in_memory else kept)
        control = FlowerSuperLink(address=superlink or card.superlink, ca_pem=card.ca_pem.encode())
        stack.callback(control.close)
        measured = measured_at(metrics)
        traced = stack.enter_context(call_tracing(os.environ, space=card.name))
        running = serve_governance(
            loaded,
            superlink=control,
            edge=Edge(clock=now, random_bytes=secrets.token_bytes),
            second_key=CedarKey() if two_keys else None,
            console=place if card.contracts else None,
            teller=ConsoleTeller(card.log_key),
            oidc=settings,
            governance_listen=bound(listen, card.governance),
            enrolment_listen=bound(listen, card.enrolment),
            contracts_listen=bound(listen, card.contracts),
            observer=Observers([EntryLog(), traced, *([measured.observer] if measured else [])]),
        )
        stack.callback(running.stop)
        figures = measured.serve(stack, running) if measured else ""
        again = running.governance.enrolment.register_again
        forgotten = once_it_answers(again, wait_s=SUPERLINK_WAIT_S if superlink else 0.0)
        if forgotten:
            say(f"the SuperLink did not know {forgotten} enrolled nodes; it does now")
        if not superlink:
            start_executor(children, loaded, log_format)
        told(
            f"space {card.name} is up: governance {card.governance}, "
            f"enrolment {card.enrolment}, SuperLink {card.superlink}"
            + (f", contracts https://{card.contracts}" if card.contracts else "")
            + (f", console {running.console_url}" if running.console_url else "")
            + (f", metrics {figures}" if figures else "")
        )
        while True:
            time.sleep(0.5)
            children.check()


def measured_at(address: str) -> Measured | None:
    """The figures, if they are asked for.

    Raises:
        CommandFailed: they are, and prometheus-client is not installed.
    """
    if not address:
        return None
    if importlib.util.find_spec("prometheus_client") is None:
        raise CommandFailed(
            "--metrics: expected prometheus-client, got none; install tdspace[metrics]"
        )
    module: Any = importlib.import_module("commands.serve_metrics")
    measured: Measured = module.Measured(address)
    return measured


def once_it_answers(ask: Callable[[], int], *, wait_s: float) -> int:
    """What the SuperLink answers; asked again until it does, for `wait_s` seconds at most.

    Raises:
        SuperLinkUnavailable: it did not.
    """
    end = time.monotonic() + wait_s
    while True:
        try:
            return ask()
        except SuperLinkUnavailable as problem:
            if time.monotonic() >= end:
                raise
            LOGGER.info("waiting for the SuperLink: %s", problem)
            time.sleep(_RETRY_S)


def oidc_settings(file: Path, place: Place | None) -> Settings:
    """The provider of a console that it can send browsers back to.

    Raises:
        CommandFailed: no console, or one at a port that differs from start to start.
        ServerError: the file.
    """
    if place is None or (not place.url and place.listen.endswith(":0")):
        raise CommandFailed(
            "--oidc: expected a console at a fixed address, which is registered with the provider; "
            "give it one: --console 127.0.0.1:8080"
        )
    return load_settings(file)


def bound(listen: str, address: str | None) -> str | None:
    """Where to listen for what others reach at `address`; None is there."""
    return f"{listen}:{address.rpartition(':')[2]}" if listen and address else None


def start_superlink(children: Children, space: Space, *, database: Path | None) -> Child:
    """Start flower-superlink with TLS, node authentication and a SuperExec secret; wait for it.

    Raises:
        CommandFailed: the port is taken, or it did not come up.
    """
    folder = space.superlink_folder
    host, _, port = space.card.superlink.rpartition(":")
    if port_answers(space.card.superlink):
        raise CommandFailed(
            f"SuperLink {space.card.superlink}: expected a free port, something answers there; "
            "end it, or make the space with other ports (tds space init --port)"
        )
    child = children.start(
        "superlink",
        [
            str(Path(sys.executable).parent / "flower-superlink"),
            "--host",
            host,
            "--port",
            port,
            "--isolation",
            "process",
            "--superexec-auth-secret-file",
            str(folder / "superexec.secret"),
            "--enable-supernode-auth",
            "--ssl-ca-certfile",
            str(space.folder / "ca" / "ca.crt"),
            "--ssl-certfile",
            str(folder / "tls.crt"),
            "--ssl-keyfile",
            str(folder / "tls.key"),
            *(["--database", str(database)] if database else []),
        ],
        env={**FLOWER_ENV, "FLWR_HOME": str(folder / "home")},
    )
    children.wait_until("the SuperLink", lambda: port_answers(space.card.superlink), timeout_s=90)
    return child


def start_executor(
    children: Children, space: Space, log_format: LogFormat = LogFormat.TEXT
) -> Child:
    """Start the executor of ServerApps; it has the consumer's folder, not the operator's keys."""
    return children.start(
        "executor",
        python("-m", "commands.executor", str(space.folder)),
        env={
            **FLOWER_ENV,
            "FLWR_HOME": str(space.folder / "consumer" / "flwr"),
            FORMAT_VARIABLE: log_format.value,
            "TDS_CONSUMER_HOME": str(space.consumer_folder),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        },
    )
