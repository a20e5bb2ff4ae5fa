"""The client's certificate of a connection, as the ASGI TLS extension tells it to an application.

uvicorn does not hand it on. What an application finds in `scope["extensions"]["tls"]` was taken
from the TLS connection itself, after its handshake checked chain, dates and use; no header can set
it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_EXTENSION: Final = "tls"
_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class PeerProtocol(H11Protocol):
    """HTTP/1.1 whose requests tell of the TLS connection that they came over."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake is over."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            self.app = _with_tls(self.app, _told(connection))


def ask_for_certificates(context: ssl.SSLContext, ca_pem: bytes) -> None:
    """Let a server's connections bring a certificate that this CA issued; none is fine, another's
    ends the handshake. No connection is resumed: each one shows and proves its certificate anew."""
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=ca_pem.decode())
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def peer_certificate(scope: Scope) -> str:
    """The client's certificate (PEM) of the connection that a request came over; "" without one."""
    told = scope.get("extensions", {}).get(_EXTENSION, {})
    chain = told.get("client_cert_chain", ())
    return str(chain[0]) if chain else ""


def _told(connection: ssl.SSLObject) -> Mapping[str, Any]:
    """The extension's fields (ASGI TLS extension, version 0.2)."""
    der = connection.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": (ssl.DER_cert_to_PEM_cert(der),) if der else (),
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": None,
    }


def _with_tls(app: ASGIApp, told: Mapping[str, Any]) -> ASGIApp:
    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        known = scope.get("extensions") or {}
        await app({**scope, "extensions": {**known, _EXTENSION: told}}, receive, send)

    return telling
