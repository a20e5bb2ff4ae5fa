"""What goes wrong with the SuperLink, and whether waiting helps."""

from __future__ import annotations

import ssl
from typing import Final

import httpx

from clients.errors import ClientError

_MAX_CAUSES: Final = 10
# X509_V_ERR_*: signature failure, self-signed, self-signed in chain, no issuer, no leaf's issuer.
_OTHER_CA: Final = frozenset({7, 18, 19, 20, 21})


class FleetUnavailable(ClientError):
    """The SuperLink cannot be reached or answered with an error; trying again may help."""


class FleetUntrusted(FleetUnavailable):
    """Whoever answers has no certificate of the space's CA."""


class FleetNotAdmitted(FleetUnavailable):
    """The SuperLink does not let this node in; why, it does not say (clients.joining)."""


class FleetRejected(ClientError):
    """The SuperLink does not know this node's key."""


def problem_of(
    error: httpx.HTTPError, *, address: str, entering: bool, counted_s: int
) -> ClientError:
    """What an HTTP error means.

    Args:
        entering: whether the node asked to be let in.
        counted_s: how long the SuperLink counts a node that ended as running.
    """
    if isinstance(error, httpx.HTTPStatusError):
        return _of_status(error, address, entering, counted_s)
    text = f"SuperLink {address}: no connection ({type(error).__name__}: {error})"
    if _untrusted(error):
        return FleetUntrusted(
            f"{text}; expected a certificate of this space's CA: another space answers there, or "
            "somebody stands between; ask the operator"
        )
    return FleetUnavailable(text)


def _of_status(
    error: httpx.HTTPStatusError, address: str, entering: bool, counted_s: int
) -> ClientError:
    status = error.response.status_code
    if status == httpx.codes.UNAUTHORIZED and entering:
        # Whether it knows the key it tells otherwise: this is about the signed time.
        return FleetUnavailable(
            f"SuperLink {address}: it does not take the time that this node signed; set this "
            "machine's clock (at most five minutes off)"
        )
    if status == httpx.codes.UNAUTHORIZED:
        return FleetRejected(
            f"SuperLink {address}: this node's Flower key is not registered there; enrol the node "
            "(tds node new) or ask the operator"
        )
    if status == httpx.codes.PRECONDITION_FAILED and entering:
        return FleetNotAdmitted(
            f"SuperLink {address}: it does not let this node in: it still counts an earlier "
            f"process of this node as running (for at most {counted_s} s after that ended), or it "
            "does not know this node's Flower key; if this goes on, ask the operator"
        )
    return FleetUnavailable(f"SuperLink {address}: HTTP {status} on {error.request.url.path}")


def _untrusted(error: BaseException) -> bool:
    """Whether a handshake failed since the CA is another's; an expired certificate is waited for,
    since the operator renews it."""
    seen: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_code in _OTHER_CA
        if seen is None:
            break
        seen = seen.__cause__ or seen.__context__
    return False
