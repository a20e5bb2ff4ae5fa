"""The guard that every call to governance passes: certificate, role, then the operation.

No traceback leaves; each error of an operation has its gRPC status code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import grpc

from policies import governance_pb2 as pb
from server.errors import (
    BadInput,
    CertificateError,
    NotAllowed,
    NotKnown,
    RequestError,
    RuleBroken,
    Superseded,
    TooMany,
    Unavailable,
)
from server.governance import Governance
from server.observing import admitted as note_admitted
from server.pki import Identity, parse_identity

Answer = TypeVar("Answer")

_CODES: Final[Mapping[type[RequestError], grpc.StatusCode]] = MappingProxyType(
    {
        BadInput: grpc.StatusCode.INVALID_ARGUMENT,
        NotKnown: grpc.StatusCode.NOT_FOUND,
        NotAllowed: grpc.StatusCode.PERMISSION_DENIED,
        RuleBroken: grpc.StatusCode.FAILED_PRECONDITION,
        Superseded: grpc.StatusCode.ABORTED,
        TooMany: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Unavailable: grpc.StatusCode.UNAVAILABLE,
    }
)
MAX_STATUS_CHARS: Final = 2000
_LOGGER = logging.getLogger(__name__)


class Guarded:
    """Calls behind the guard; the base of those that answer for governance."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    def _call(
        self, context: grpc.ServicerContext, rpc: str, work: Callable[[Identity], Answer]
    ) -> Answer:
        def admitted() -> Answer:
            caller = _caller(context)
            self._governance.admit(caller, rpc)
            note_admitted(caller.participant)
            return work(caller)

        return guarded(context, rpc, admitted)


def guarded(context: grpc.ServicerContext, rpc: str, work: Callable[[], Answer]) -> Answer:
    """The answer, or a status with a text for people; nothing else leaves."""
    try:
        return work()
    except RequestError as error:
        kinds = (code for kind, code in _CODES.items() if isinstance(error, kind))
        code, text = next(kinds, grpc.StatusCode.INTERNAL), str(error)
        _LOGGER.info("%s refused (%s): %s", rpc, code.name, text)
    except Exception:
        _LOGGER.exception("%s failed", rpc)
        code, text = grpc.StatusCode.INTERNAL, f"{rpc}: internal error; the operator's log has more"
    context.abort(code, text[:MAX_STATUS_CHARS])
    raise AssertionError("abort does not return")


def peer_certificate(context: grpc.ServicerContext) -> bytes:
    """The certificate (PEM) that the TLS handshake accepted; NotAllowed without one."""
    pem = context.auth_context().get("x509_pem_cert", [])
    if len(pem) != 1:
        raise NotAllowed("expected a client certificate, got none; enrol first")
    return bytes(pem[0])


def _caller(context: grpc.ServicerContext) -> Identity:
    try:
        return parse_identity(peer_certificate(context))
    except CertificateError as error:
        raise NotAllowed(str(error)) from error


def logged(result: tuple[int, str]) -> pb.Logged:
    index, id = result
    return pb.Logged(index=index, id=id)
