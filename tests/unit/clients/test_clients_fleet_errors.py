"""What an answer of the SuperLink, or none, means for a node."""

from __future__ import annotations

import ssl

import httpx
import pytest

from clients.errors import ClientError
from clients.fleet_errors import (
    FleetNotAdmitted,
    FleetRejected,
    FleetUnavailable,
    FleetUntrusted,
    problem_of,
)

REQUEST = httpx.Request("POST", "https://space.example:9092/v1/fleet/pull-messages")


def status(code: int) -> httpx.HTTPError:
    return httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(code))


def handshake(verify_code: int) -> httpx.HTTPError:
    cause = ssl.SSLCertVerificationError("certificate verify failed")
    cause.verify_code = verify_code
    between = OSError("tls")
    between.__cause__ = cause
    error = httpx.ConnectError("tls", request=REQUEST)
    error.__context__ = between
    return error


@pytest.mark.parametrize(
    ("error", "entering", "expected", "text"),
    [
        (status(401), True, FleetUnavailable, "set this machine's clock"),
        (status(401), False, FleetRejected, "not registered there"),
        (status(412), True, FleetNotAdmitted, "earlier process"),
        (status(412), False, FleetUnavailable, "HTTP 412 on /v1/fleet/pull-messages"),
        (status(500), True, FleetUnavailable, "HTTP 500"),
        (httpx.ConnectError("refused"), True, FleetUnavailable, "no connection"),
        (httpx.ReadTimeout("slow"), False, FleetUnavailable, "ReadTimeout"),
        (handshake(20), True, FleetUntrusted, "somebody stands between"),
        (handshake(18), False, FleetUntrusted, "somebody stands between"),
        (handshake(10), True, FleetUnavailable, "no connection"),
    ],
    ids=["clock", "key", "shut", "412", "500", "refused", "slow", "ca", "self-signed", "expired"],
)
def test_what_it_means(
    error: httpx.HTTPError, entering: bool, expected: type[ClientError], text: str
) -> None:
    found = problem_of(error, address="space.example:9092", entering=entering, counted_s=60)
    assert type(found) is expected
    assert text in str(found)
    assert str(found).startswith("SuperLink space.example:9092: ")


def test_causes_that_go_round_end() -> None:
    error = httpx.ConnectError("round", request=REQUEST)
    other = OSError("and round")
    error.__context__, other.__context__ = other, error
    assert type(problem_of(error, address="a:1", entering=True, counted_s=60)) is FleetUnavailable
