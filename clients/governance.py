"""The node's calls to governance: gRPC over mutual TLS, with a deadline on each.

The channel is made at the first call and kept open. Nothing here decides anything: documents go
and come as the bytes that were signed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message

from clients.errors import GovernanceError, GovernanceRefused, GovernanceUnavailable
from clients.vitals import Contact
from policies import governance_pb2 as pb
from policies.governance_pb2_grpc import EnrolmentStub, GovernanceStub

CALL_TIMEOUT_S: Final = 10.0
MAX_MESSAGE_BYTES: Final = 16 << 20  # an app bundle is at most 10 MB

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A firewall that forgets idle connections would cost the first call of a round its deadline.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_http_proxy", 0),  # a proxy of the environment is not who we trust
)

# Answers after which asking the same again changes nothing; any other code means "no answer".
_REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Registered:
    """Where a statement stands in the space's log, and the id governance keeps it under."""

    index: int
    id: str


class OwnerPort(Protocol):
    """What the owner's acts ask of governance; `GovernanceClient` is one, tests have another.

    Each raises GovernanceRefused or GovernanceUnavailable. A statement may be sent again after
    either: governance knows it by its id.
    """

    def register_product(self, envelope: bytes, opening: bytes = b"") -> Registered:
        """A signed ProductCard, and what opens its description; in the space's log when it
        returns."""

    def conclude_agreement(self, envelope: bytes) -> Registered:
        """A SignedAgreement; in the space's log when it returns."""

    def withdraw(self, envelope: bytes, opening: bytes = b"") -> Registered:
        """A signed Withdrawal, and what opens its reason; in the space's log when it returns."""

    def get_app(self, app: str) -> bytes:
        """The bundle registered under this SHA-256. The caller checks the hash."""


class GovernanceClient:
    """One node's connection to governance. Safe to share between threads.

    Args:
        address: host:port.
        ca_pem: the only CA that may have issued governance's certificate.
        key_pem: this node's TLS key.
        certificate_pem: this node's certificate.
        timeout_s: seconds a call may take, connecting included.
        contact: told whether each call was answered.
    """

    def __init__(
        self,
        *,
        address: str,
        ca_pem: bytes,
        key_pem: bytes,
        certificate_pem: bytes,
        timeout_s: float = CALL_TIMEOUT_S,
        contact: Contact | None = None,
    ) -> None:
        self._address = address
        self._contact = contact
        self._ca_pem, self._key_pem = ca_pem, key_pem
        self._credentials = grpc.ssl_channel_credentials(ca_pem, key_pem, certificate_pem)
        self._timeout_s = timeout_s
        self._opening = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stub: GovernanceStub | None = None
        self._closed = False

    def close(self) -> None:
        """End the connection and whatever waits on it."""
        with self._opening:
            self._closed = True
            if self._channel is not None:
                self._channel.close()

    def use_certificate(self, certificate_pem: bytes) -> None:
        """Connect with this certificate, for the same key, from the next call on.

        Calls under way end on the connection that they began on, which is closed after the time
        that a call may take; a stream that is open then breaks, and whoever reads it asks again.
        """
        with self._opening:
            self._credentials = grpc.ssl_channel_credentials(
                self._ca_pem, self._key_pem, certificate_pem
            )
            before, self._channel, self._stub = self._channel, None, None
        if before is not None:
            closing = threading.Timer(self._timeout_s, before.close)
            closing.daemon = True
            closing.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def register_product(self, envelope: bytes, opening: bytes = b"") -> Registered:
        """See `OwnerPort`."""
        logged = self._ask("RegisterProduct", signed_request(envelope, opening), pb.Logged)
        return Registered(index=logged.index, id=logged.id)

    def conclude_agreement(self, envelope: bytes) -> Registered:
        """See `OwnerPort`."""
        logged = self._ask("ConcludeAgreement", pb.Signed(envelope=envelope), pb.Logged)
        return Registered(index=logged.index, id=logged.id)

    def withdraw(self, envelope: bytes, opening: bytes = b"") -> Registered:
        """See `OwnerPort`."""
        logged = self._ask("Withdraw", signed_request(envelope, opening), pb.Logged)
        return Registered(index=logged.index, id=logged.id)

    def publish_offer(self, envelope: bytes) -> Registered:
        """See `clients.contracts.ContractsPort`."""
        logged = self._ask("PublishOffer", pb.Signed(envelope=envelope), pb.Logged)
        return Registered(index=logged.index, id=logged.id)

    def negotiate(
        self, negotiation: str, act: str, *, envelope: bytes = b"", reason: str = ""
    ) -> Registered:
        """See `clients.contracts.ContractsPort`."""
        request = pb.NegotiationAct(
            negotiation=negotiation, act=act, envelope=envelope, reason=reason
        )
        logged = self._ask("Negotiate", request, pb.Logged)
        return Registered(index=logged.index, id=logged.id)

    def move_transfer(self, transfer: str, act: str, reason: str) -> Registered:
        """See `clients.contracts.ContractsPort`."""
        request = pb.TransferAct(transfer=transfer, act=act, reason=reason)
        logged = self._ask("MoveTransfer", request, pb.Logged)
        return Registered(index=logged.index, id=logged.id)

    def erase(self, what: str, code: str) -> tuple[int, int]:
        """Have governance destroy salts and texts about this participant; log index, how many."""
        request = pb.EraseRequest(what=what, code=code)
        logged = self._ask("EraseDisclosures", request, pb.Logged)
        return logged.index, int(logged.id)

    def renew_certificate(self, csr_pem: bytes) -> bytes:
        """See `clients.renewal.RenewPort`."""
        request = pb.RenewRequest(csr_pem=csr_pem)
        return self._ask("RenewCertificate", request, pb.Renewed).certificate_pem

    def rotate_key(self, envelope: bytes) -> Registered:
        """See `clients.rotation.RotatePort`."""
        logged = self._ask("RotateKey", pb.Signed(envelope=envelope), pb.Logged)
        return Registered(index=logged.index, id=logged.id)

    def get_consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """RFC 6962 consistency proof between two sizes of the space's log; not yet checked."""
        request = pb.ConsistencyRequest(old_size=old_size, new_size=new_size)
        return list(self._ask("GetConsistency", request, pb.ConsistencyResponse).proof)

    def get_app(self, app: str) -> bytes:
        """See `OwnerPort`."""
        return self._ask("GetApp", pb.AppRef(app=app), pb.App).fab

    def get_product(self, product: str) -> bytes:
        """A product's card and certificate (JSON); the caller checks the certificate."""
        return self._ask("GetProduct", pb.ProductRef(product=product), pb.Document).json

    def get_space(self) -> tuple[bytes, str]:
        """The space's card (JSON) and its log's newest checkpoint."""
        space = self._ask("GetSpace", pb.Empty(), pb.Space)
        return space.space_json, space.checkpoint

    def list_documents(self, what: str) -> list[bytes]:
        """Documents of one sort: participants, products, apps, agreements or runs."""
        return list(self._ask("List", pb.ListRequest(what=what), pb.ListResponse).documents)

    def watch_withdrawals(self) -> Iterator[bytes]:
        """Withdrawals as they are logged; blocks between them, ends with `close`.

        Raises:
            GovernanceError: the stream broke; ask again.
        """
        call = self._connected().WatchWithdrawals(pb.Empty())
        try:
            for document in call:
                yield document.json
        except grpc.RpcError as error:
            raise _failure(error, "WatchWithdrawals", self._address) from error
        finally:
            call.cancel()

    def watch_checkpoints(self, size: int) -> Iterator[bytes]:
        """Heads of the space's log to cosign (bodies of a tlog-witness add-checkpoint), the newest
        first and as they come; blocks between them, ends with `close`.

        Args:
            size: of the last checkpoint that this node accepted.

        Raises:
            GovernanceError: the stream broke; ask again.
        """
        call = self._connected().WatchCheckpoints(pb.Watching(size=size))
        try:
            for head in call:
                yield head.add_checkpoint
        except grpc.RpcError as error:
            raise _failure(error, "WatchCheckpoints", self._address) from error
        finally:
            call.cancel()

    def run_state(self, run: str) -> str:
        """OPEN, RUNNING, COMPLETED, FAILED or STOPPED; GovernanceRefused if not to be seen."""
        return str(self._ask("GetRun", pb.RunRef(run=run), pb.Run).state)

    def cosign(self, size: int, lines: bytes) -> None:
        """This node's cosignature on the head of this size."""
        self._ask("Cosign", pb.Cosignature(size=size, lines=lines), pb.Empty)

    def report_fork(self, *, kind: str, seen: str, came: str, text: str) -> None:
        """Two signed heads of the space's log that do not fit together."""
        report = pb.ForkReport(kind=kind, seen=seen, came=came, text=text)
        self._ask("ReportFork", report, pb.Empty)

    def _ask(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        call: Callable[..., Answer] = getattr(self._connected(), method)
        try:
            got = call(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            failure = _failure(error, method, self._address)
            self._heard(isinstance(failure, GovernanceRefused))
            raise failure from error
        self._heard(True)
        assert isinstance(got, answer)
        return got

    def _heard(self, answered: bool) -> None:
        if self._contact is not None:
            (self._contact.answered if answered else self._contact.failed)()

    def _connected(self) -> GovernanceStub:
        with self._opening:
            if self._closed:
                raise GovernanceUnavailable(f"governance {self._address}: connection was closed")
            if self._channel is None or self._stub is None:
                self._channel = grpc.secure_channel(
                    self._address, self._credentials, options=_OPTIONS
                )
                self._stub = GovernanceStub(self._channel)  # type: ignore[no-untyped-call]
            return self._stub


def signed_request(envelope: bytes, opening: bytes) -> pb.Signed:
    """A statement with what opens the commitment in it; empty is nothing to open."""
    return pb.Signed(envelope=envelope, openings=[opening] if opening else [])


def enrol_over_tls(
    request: pb.EnrolRequest,
    *,
    address: str,
    ca_pem: bytes,
    timeout_s: float = CALL_TIMEOUT_S,
) -> pb.EnrolResponse:
    """Ask for a certificate from the enrolment service that this CA vouches for.

    Raises:
        GovernanceRefused, GovernanceUnavailable
    """
    credentials = grpc.ssl_channel_credentials(ca_pem)
    with grpc.secure_channel(address, credentials, options=_OPTIONS) as channel:
        stub = EnrolmentStub(channel)  # type: ignore[no-untyped-call]
        try:
            response = stub.Enrol(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _failure(error, "Enrol", address) from error
    assert isinstance(response, pb.EnrolResponse)
    return response


def _failure(error: grpc.RpcError, method: str, address: str) -> GovernanceError:
    code: grpc.StatusCode = error.code()
    details = str(error.details() or "no details")[:1000]
    if code in _REFUSALS:
        return GovernanceRefused(f"governance refused: {details}", code=code.name.lower())
    return GovernanceUnavailable(
        f"{method}: expected an answer from governance at {address}, got {code.name.lower()}: "
        f"{details}; check that it runs, that the address is right, and that its certificate is "
        "of the space's CA"
    )
