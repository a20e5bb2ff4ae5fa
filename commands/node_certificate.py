"""`tds node renew`, and what `tds node doctor` says of certificates."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from clients.identity import load_identity
from clients.owner import governance_client
from clients.renewal import Validity, renew_by_join_file
from clients.renewal import renew as renew_certificate
from commands.output import say
from policies.space import SpaceCard

WARN_DAYS: Final = 60
_TIMEOUT_S: Final = 5.0


def renew(
    node: Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")],
    join: Annotated[
        Path | None,
        typer.Option(
            help="Where the certificate expired: a join file made with tds space invite --again."
        ),
    ] = None,
) -> None:
    """Renew this node's certificate for governance; a running node goes on, and uses the new one.

    A running node does it by itself when a third of the certificate's life is left.

    Example: tds node renew --node ./clinic
    """
    if join is not None:
        certificate = renew_by_join_file(node, join, now=datetime.now(UTC)).certificate_pem
    else:
        identity = load_identity(node)
        identity.check_certificate(datetime.now(UTC))
        with governance_client(identity) as governance:
            certificate = renew_certificate(identity, governance)
    say(f"certificate valid until {Validity.of(certificate).end:%Y-%m-%d %H:%M} UTC")


def own_certificate(certificate_pem: bytes, now: datetime) -> dict[str, str]:
    """The doctor's line on the node's own certificate, which is valid."""
    held = Validity.of(certificate_pem)
    text = f"{held.days_left(now)} days left, until {held.end:%Y-%m-%d}"
    if held.due(now):
        return {"certificate": f"RENEW IT: {text}; a running node does, or: tds node renew"}
    return {"certificate": f"ok, {text}"}


def space_certificates(space: SpaceCard, now: datetime) -> dict[str, str]:
    """The doctor's lines on the certificates that the operator has to renew; what does not answer
    is left out."""
    found = {"space's CA": Validity.of(space.ca_pem.encode()).end}
    for what, address in (("governance", space.governance), ("SuperLink", space.superlink)):
        end = server_certificate_end(address, space.ca_pem)
        if end is not None:
            found[f"{what}'s certificate"] = end
    return {what: _days(end, now) for what, end in found.items()}


def server_certificate_end(address: str, ca_pem: str) -> datetime | None:
    """When the certificate of a server of this CA expires; None if none such answers."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    context = ssl.create_default_context(cadata=ca_pem)
    try:
        with (
            socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
    except OSError:
        return None
    return None if der is None else Validity.of(ssl.DER_cert_to_PEM_cert(der).encode()).end


def _days(end: datetime, now: datetime) -> str:
    left = (end - now).days
    text = f"{left} days left, until {end:%Y-%m-%d}"
    if left < WARN_DAYS:
        return f"SOON OVER: {text}; tell the operator, nodes cannot connect after it"
    return f"ok, {text}"
