"""The consumer's and the operator's calls to governance: mutual TLS, a deadline on each call.

Only calls that may be repeated (the same request gets the same answer) are sent again, and only
when the service was not there to answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
from google.protobuf.message import Message

from policies import governance_pb2 as pb
from policies.canonical import Json, canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.governance_pb2_grpc import GovernanceStub
from policies.privacy import PermitSum
from policies.statements import AppFiling, RunSpec
from server.errors import GovernanceRefused, GovernanceUnavailable, SpaceError
from server.files import read_file, read_secret
from server.mask_sums import Opened, read_cohort, read_release
from server.space import ClientFile
from server.traced_calls import TracedCalls

TIMEOUT_S: Final = 15.0
START_TIMEOUT_S: Final = 90.0  # Flower takes some seconds to take a run
RELEASE_TIMEOUT_S: Final = 300.0  # a large model's sums are some gigabytes
ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.1
MAX_MESSAGE_BYTES: Final = 64 << 20
_FILES: Final = ("consumer.json", "operator.json")
_NO_ANSWER: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)

Answer = TypeVar("Answer")


class GovernanceClient:
    """One connection; safe to share between threads. A context manager.

    Every call raises `GovernanceRefused` with governance's reason, or `GovernanceUnavailable`.

    Args:
        address: host:port.
        ca_pem: the only CA that may have issued governance's certificate.
        key_pem, certificate_pem: the caller's.
        pause: waits that many seconds between attempts.
        traceparent: the caller's place in a trace, asked at each call; None sends none.
    """

    def __init__(
        self,
        *,
        address: str,
        ca_pem: bytes,
        key_pem: bytes,
        certificate_pem: bytes,
        pause: Callable[[float], None] = time.sleep,
        traceparent: Callable[[], str] | None = None,
    ) -> None:
        self._address = address
        self._pause = pause
        self._channel = grpc.secure_channel(
            address,
            grpc.ssl_channel_credentials(ca_pem, key_pem, certificate_pem),
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.enable_http_proxy", 0),  # a proxy of the environment is not who we trust
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1_000),
            ),
        )
        channel = self._channel
        if traceparent is not None:
            channel = grpc.intercept_channel(channel, TracedCalls(traceparent))
        self._stub = GovernanceStub(channel)  # type: ignore[no-untyped-call]  # generated

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        address: str | None = None,
        traceparent: Callable[[], str] | None = None,
    ) -> GovernanceClient:
        """A client from a folder with tls.crt, tls.key, ca.crt and consumer.json or operator.json.

        Args:
            address: host:port instead of the one in the folder.
            traceparent: as the class takes it.

        Raises:
            SpaceError: a file is missing, malformed, or its secret readable by others.
        """
        return cls(
            address=address or _address(folder),
            ca_pem=read_file(folder / "ca.crt"),
            key_pem=read_secret(folder / "tls.key"),
            certificate_pem=read_file(folder / "tls.crt"),
            traceparent=traceparent,
        )

    def close(self) -> None:
        """End the connection and whatever waits on it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def invite(
        self,
        *,
        participant: str,
        title: str,
        sector: str,
        region: str,
        valid_s: int,
        role: str = "node",
        contact: str = "",
        registration: str = "",
        address: str = "",
        again: bool = False,
    ) -> bytes:
        """Operator: the join file for a new participant; an earlier one is void.

        Args:
            participant: "" makes a pseudonym, which stands in the file.
            again: for one that is enrolled: a new certificate, for the keys that it has.
        """
        request = pb.InviteRequest(
            participant=participant,
            title=title,
            sector=sector,
            region=region,
            valid_s=valid_s,
            role=role,
            contact=contact,
            registration=registration,
            address=address,
            again=again,
        )
        return self._once(pb.InviteResponse, self._stub.Invite, request).join_json

    def register_app(
        self, fab: bytes, title: str, filing: AppFiling | None = None
    ) -> pb.RegisterAppResponse:
        """Operator: an app bundle; its SHA-256 and the index of its entry.

        Args:
            filing: what it is filed for; None keeps the filing of an app that has one.
        """
        request = pb.RegisterAppRequest(
            fab=fab,
            title=title,
            filing_json=canonical_bytes(filing.to_json()) if filing else b"",
        )
        return self._again(pb.RegisterAppResponse, self._stub.RegisterApp, request)

    def revoke_app_filing(self, app: str, reason: str) -> pb.Logged:
        """Operator: take an app's filing back."""
        request = pb.Revocation(id=app, reason=reason)
        return self._again(pb.Logged, self._stub.RevokeAppFiling, request)

    def certify_product(self, product: str, days: int = 0) -> pb.Logged:
        """Operator: a new certificate for a product; its serial. 0 days: as the space is set up."""
        request = pb.CertifyRequest(product=product, days=days)
        return self._once(pb.Logged, self._stub.CertifyProduct, request)

    def revoke_certificate(self, serial: str, reason: str) -> pb.Logged:
        """Operator: take a certificate back."""
        request = pb.Revocation(id=serial, reason=reason)
        return self._again(pb.Logged, self._stub.RevokeCertificate, request)

    def get_product(self, product: str) -> Json:
        """A product's card and certificate."""
        answer = self._again(pb.Document, self._stub.GetProduct, pb.ProductRef(product=product))
        return parse_json(answer.json, max_bytes=MAX_MESSAGE_BYTES)

    def open_run(self, spec: RunSpec, request_id: str) -> pb.Run:
        """Consumer: step 1. The same request id again goes on where it was cut off."""
        request = pb.OpenRunRequest(
            spec_json=canonical_bytes(spec.to_json()), request_id=request_id
        )
        return self._again(pb.Run, self._stub.OpenRun, request, timeout_s=START_TIMEOUT_S)

    def resume_run(self, run: str) -> pb.Run:
        """Consumer: a new Flower run for a run that was cut off."""
        return self._once(
            pb.Run, self._stub.ResumeRun, pb.RunRef(run=run), timeout_s=START_TIMEOUT_S
        )

    def stop_run(self, run: str, *, reason: str = "", failed: bool = False) -> pb.Run:
        """Consumer or operator: end a run; `failed` if it could not go on."""
        request = pb.RunRef(run=run, reason=reason, failed=failed)
        return self._again(pb.Run, self._stub.StopRun, request)

    def issue_voucher(self, *, consumer: str, amount: str, request_id: str) -> tuple[int, str]:
        """Operator: prepaid units for a consumer; log index and id. Safe to send again."""
        request = pb.IssueVoucherRequest(consumer=consumer, amount=amount, request_id=request_id)
        logged = self._again(pb.Logged, self._stub.IssueVoucher, request)
        return logged.index, logged.id

    def name_auditor(self, *, auditor: str, title: str, key: bytes) -> tuple[int, str]:
        """Operator: who may read what the log commits to; log index and id."""
        request = pb.NameAuditorRequest(auditor=auditor, title=title, key=key)
        logged = self._again(pb.Logged, self._stub.NameAuditor, request)
        return logged.index, logged.id

    def erase(self, what: str, code: str) -> tuple[int, int]:
        """Destroy salt and text of a commitment or of all about a participant; log index, and how
        many."""
        request = pb.EraseRequest(what=what, code=code)
        logged = self._once(pb.Logged, self._stub.EraseDisclosures, request)
        return logged.index, int(logged.id)

    def find_run(self, flower_run: str) -> pb.Run:
        """Consumer: the run that a Flower run carries; waits for one that is being submitted."""
        request = pb.FindRunRequest(flower_run=flower_run)
        return self._again(pb.Run, self._stub.FindRun, request, timeout_s=START_TIMEOUT_S)

    def get_run(self, run: str) -> pb.Run:
        """A run with its rounds."""
        return self._again(pb.Run, self._stub.GetRun, pb.RunRef(run=run))

    def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
        """Consumer: steps 2 to 4."""
        return self._again(pb.AuthorizeRoundResponse, self._stub.AuthorizeRound, request)

    def submit_receipts(self, request: pb.SubmitReceiptsRequest) -> pb.SubmitReceiptsResponse:
        """Consumer: step 9."""
        return self._again(pb.SubmitReceiptsResponse, self._stub.SubmitReceipts, request)

    def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
        """Consumer: step 9, with a secure sum; the same call gives the same bytes."""

        def read(request: pb.ReleaseMasksRequest, *, timeout: float) -> Opened:
            return read_release(self._stub.ReleaseMasks(request, timeout=timeout), permit_id, how)

        request = pb.ReleaseMasksRequest(permit_id=permit_id)
        kind: type[Opened] = tuple
        return self._again(kind, read, request, timeout_s=RELEASE_TIMEOUT_S)

    def release_cohort(self, permit_id: str) -> bytes:
        """Consumer: step 9, with pairwise masks; the same call gives the same bytes."""

        def read(request: pb.ReleaseMasksRequest, *, timeout: float) -> bytes:
            return read_cohort(self._stub.ReleaseMasks(request, timeout=timeout), permit_id)

        request = pb.ReleaseMasksRequest(permit_id=permit_id)
        return self._again(bytes, read, request)

    def close_round(self, request: pb.CloseRoundRequest) -> pb.Run:
        """Consumer: step 10."""
        return self._again(pb.Run, self._stub.CloseRound, request)

    def issue_token(self) -> str:
        """A bearer token for the Dataspace Protocol over HTTP; it holds for an hour."""
        return self._once(pb.Token, self._stub.IssueToken, pb.Empty()).token

    def move_transfer(self, transfer: str, act: str, reason: str) -> pb.Logged:
        """Consumer: start, suspend, complete or terminate a transfer process."""
        request = pb.TransferAct(transfer=transfer, act=act, reason=reason)
        return self._once(pb.Logged, self._stub.MoveTransfer, request)

    def get_space(self) -> pb.Space:
        """The space's card and the log's newest checkpoint."""
        return self._again(pb.Space, self._stub.GetSpace, pb.Empty())

    def get_app(self, app: str) -> pb.App:
        """A registered app with its bundle."""
        return self._again(pb.App, self._stub.GetApp, pb.AppRef(app=app))

    def get_consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """The proof that the log of `new_size` begins with that of `old_size`."""
        request = pb.ConsistencyRequest(old_size=old_size, new_size=new_size)
        return tuple(self._again(pb.ConsistencyResponse, self._stub.GetConsistency, request).proof)

    def list(self, what: str) -> list[Json]:
        """Documents of one sort; `server.views` has the list."""
        answer = self._again(pb.ListResponse, self._stub.List, pb.ListRequest(what=what))
        return [parse_json(data, max_bytes=MAX_MESSAGE_BYTES) for data in answer.documents]

    def watch_withdrawals(self) -> Iterator[Json]:
        """Ended consents that concern the caller, past and as they come, until the connection
        ends (GovernanceUnavailable) or is closed."""
        try:
            for document in self._stub.WatchWithdrawals(pb.Empty()):
                yield parse_json(document.json, max_bytes=MAX_MESSAGE_BYTES)
        except grpc.RpcError as error:
            raise self._translated(error) from error

    def _once(
        self,
        _kind: type[Answer],  # for mypy: grpc's stubs have no types
        method: Callable[..., Answer],
        request: Message,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._translated(error) from error

    def _again(
        self,
        _kind: type[Answer],  # for mypy: grpc's stubs have no types
        method: Callable[..., Answer],
        request: Message,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """As `_once`; for calls that may be repeated, up to `ATTEMPTS` times in `timeout_s`."""
        end = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        reason: grpc.RpcError | None = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return method(request, timeout=max(0.001, end - time.monotonic()))
            except grpc.RpcError as error:
                absent = error.code() is grpc.StatusCode.UNAVAILABLE
                late = time.monotonic() + pause_s >= end
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and reason is not None:
                    raise self._translated(reason) from error  # it says why; a deadline does not
                if not absent or late or attempt == ATTEMPTS:
                    raise self._translated(error) from error
                reason = error
            # Spread out, so that clients of a restarted service do not come all at once.
            self._pause(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _translated(self, error: grpc.RpcError) -> GovernanceRefused | GovernanceUnavailable:
        code, text = error.code(), error.details() or ""
        if code in _NO_ANSWER:
            return GovernanceUnavailable(
                f"governance at {self._address}: expected an answer, got {code.name}: {text}; is "
                "`tds serve` running, and is this the right address and certificate?"
            )
        return GovernanceRefused(code.name, text)


def _address(folder: Path) -> str:
    for name in _FILES:
        path = folder / name
        if not path.exists():
            continue
        try:
            value = parse_json(read_file(path), max_bytes=65_536)
            return ClientFile.from_json(value).governance
        except DocumentError as error:
            raise SpaceError(f"{path}: {error}") from error
    raise SpaceError(f"{folder}: expected {' or '.join(_FILES)} with governance's address")
