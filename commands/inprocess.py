"""Governance in this process: the same service, called without gRPC, for simulations and tests.

The service's own methods are called with the caller's certificate, so that roles, checks, permits
and log are those that the network would meet; only the transport is missing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.message import Message

from clients.errors import GovernanceRefused
from clients.governance import Registered, signed_request
from commands.node_wiring import now
from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes
from policies.privacy import PermitSum
from policies.runconfig import ConfigValue
from policies.space import JoinFile
from policies.statements import RunSpec
from server.edge import Edge
from server.errors import GovernanceRefused as RoundRefused
from server.files import read_file
from server.governance import open_governance
from server.mask_sums import Opened, read_cohort, read_release
from server.servicers import EnrolmentService, GovernanceService
from server.space import Space

FLOWER_RUN = "1"

Answer = TypeVar("Answer", bound=Message)


class LocalSuperLink:
    """`server.superlink.SuperLink` without Flower: hands out node ids, and one run's id."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, str] = {}
        self.node_keys: dict[int, bytes] = {}

    def start_run(self, fab: bytes, overrides: Mapping[str, ConfigValue]) -> str:
        """The one run of a simulation."""
        return FLOWER_RUN

    def stop_run(self, flower_run: str) -> None:
        """Nothing runs by itself here."""

    def ended(self, flower_runs: Collection[str]) -> dict[str, str]:
        """The one run ends with the simulation."""
        return {}

    def register_node(self, public_key_pem: bytes, name: str) -> str:
        """The same key gives the same id."""
        number = self._nodes.setdefault(public_key_pem, str(len(self._nodes) + 1))
        self.node_keys[int(number)] = public_key_pem
        return number

    def register_missing(self, names: Mapping[bytes, str]) -> int:
        """As Flower does it."""
        missing = [key for key in names if key not in self._nodes]
        for key in missing:
            self.register_node(key, names[key])
        return len(missing)


class _Refused(Exception):
    """What a call is ended with, as gRPC would carry it."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Context:
    """As much of grpc.ServicerContext as the service uses: who calls, and how a call is refused."""

    def __init__(self, certificate_pem: bytes) -> None:
        self._certificate_pem = certificate_pem

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """The caller's certificate, as a handshake would have left it."""
        return {"x509_pem_cert": [self._certificate_pem]}

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call."""
        raise _Refused(code, details)


class LocalGovernance:
    """One caller's view of governance in this process: consumer, operator and nodes alike.

    Implements `server.loop.Governance` and `clients.governance.OwnerPort`. A refusal raises
    `GovernanceRefused`: of the calls of a round that of `server.errors`, as the round loop knows
    it, of all others that of `clients.errors`.
    """

    def __init__(
        self, service: GovernanceService, enrolment: EnrolmentService, certificate_pem: bytes
    ) -> None:
        self._service = service
        self._enrolment = enrolment
        self._certificate_pem = certificate_pem

    @classmethod
    def open(cls, stack: ExitStack, space: Space, superlink: LocalSuperLink) -> LocalGovernance:
        """Governance over a space's folder, seen as its operator; closed with `stack`."""
        opened = open_governance(
            space, superlink=superlink, edge=Edge(clock=now, random_bytes=secrets.token_bytes)
        )
        stack.callback(opened.close)
        return cls(
            GovernanceService(opened.governance),
            EnrolmentService(opened.governance),
            read_file(space.operator_folder / "tls.crt"),
        )

    def seen_by(self, certificate_pem: bytes) -> LocalGovernance:
        """The same governance for another caller."""
        return LocalGovernance(self._service, self._enrolment, certificate_pem)

    def invite(self, participant: str, region: str) -> bytes:
        """Operator: a join file."""
        request = pb.InviteRequest(
            participant=participant, title=participant, region=region, valid_s=3600, role="node"
        )
        return bytes(self._call(pb.InviteResponse, "Invite", request).join_json)

    def enrol(self, _join: JoinFile, request: pb.EnrolRequest) -> pb.EnrolResponse:
        """A node's way in; `clients.enrol.enrol` takes it as `ask`."""
        return self._enrolment.Enrol(request, _Context(b""))

    def register_app(self, fab: bytes, title: str) -> str:
        """Operator: an app; its SHA-256."""
        return str(
            self._call(
                pb.RegisterAppResponse, "RegisterApp", pb.RegisterAppRequest(fab=fab, title=title)
            ).app
        )

    def open_run(self, spec: RunSpec, request_id: str) -> pb.Run:
        """Consumer: step 1."""
        request = pb.OpenRunRequest(
            spec_json=canonical_bytes(spec.to_json()), request_id=request_id
        )
        return self._call(pb.Run, "OpenRun", request)

    def get_run(self, run: str) -> pb.Run:
        """A run with its rounds."""
        return self._call(pb.Run, "GetRun", pb.RunRef(run=run))

    def find_run(self, flower_run: str) -> pb.Run:
        """See `server.loop.Governance`."""
        return self._of_round(pb.Run, "FindRun", pb.FindRunRequest(flower_run=flower_run))

    def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
        """See `server.loop.Governance`."""
        return self._of_round(pb.AuthorizeRoundResponse, "AuthorizeRound", request)

    def submit_receipts(self, request: pb.SubmitReceiptsRequest) -> pb.SubmitReceiptsResponse:
        """See `server.loop.Governance`."""
        return self._of_round(pb.SubmitReceiptsResponse, "SubmitReceipts", request)

    def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
        """See `server.loop.Governance`."""
        request = pb.ReleaseMasksRequest(permit_id=permit_id)
        context = _Context(self._certificate_pem)
        with _as_the_loop_knows_it():
            messages = self._service.ReleaseMasks(request, context)
            return read_release(messages, permit_id, how)

    def release_cohort(self, permit_id: str) -> bytes:
        """See `server.loop.Governance`."""
        request = pb.ReleaseMasksRequest(permit_id=permit_id)
        context = _Context(self._certificate_pem)
        with _as_the_loop_knows_it():
            return read_cohort(self._service.ReleaseMasks(request, context), permit_id)

    def close_round(self, request: pb.CloseRoundRequest) -> pb.Run:
        """See `server.loop.Governance`."""
        return self._of_round(pb.Run, "CloseRound", request)

    def register_product(self, envelope: bytes, opening: bytes = b"") -> Registered:
        """See `clients.governance.OwnerPort`."""
        return self._logged("RegisterProduct", envelope, opening)

    def conclude_agreement(self, envelope: bytes) -> Registered:
        """See `clients.governance.OwnerPort`."""
        return self._logged("ConcludeAgreement", envelope)

    def withdraw(self, envelope: bytes, opening: bytes = b"") -> Registered:
        """See `clients.governance.OwnerPort`."""
        return self._logged("Withdraw", envelope, opening)

    def publish_offer(self, envelope: bytes) -> Registered:
        """See `clients.contracts.ContractsPort`."""
        return self._logged("PublishOffer", envelope)

    def negotiate(
        self, negotiation: str, act: str, *, envelope: bytes = b"", reason: str = ""
    ) -> Registered:
        """See `clients.contracts.ContractsPort`."""
        request = pb.NegotiationAct(
            negotiation=negotiation, act=act, envelope=envelope, reason=reason
        )
        answer = self._call(pb.Logged, "Negotiate", request)
        return Registered(index=answer.index, id=answer.id)

    def move_transfer(self, transfer: str, act: str, reason: str) -> Registered:
        """See `clients.contracts.ContractsPort`."""
        request = pb.TransferAct(transfer=transfer, act=act, reason=reason)
        answer = self._call(pb.Logged, "MoveTransfer", request)
        return Registered(index=answer.index, id=answer.id)

    def list_documents(self, what: str) -> list[bytes]:
        """See `clients.contracts.ContractsPort`."""
        return list(self._call(pb.ListResponse, "List", pb.ListRequest(what=what)).documents)

    def get_app(self, app: str) -> bytes:
        """See `clients.governance.OwnerPort`."""
        return bytes(self._call(pb.App, "GetApp", pb.AppRef(app=app)).fab)

    def get_consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """The proof that the log of `new_size` begins with that of `old_size`."""
        request = pb.ConsistencyRequest(old_size=old_size, new_size=new_size)
        return list(self._call(pb.ConsistencyResponse, "GetConsistency", request).proof)

    def report_fork(self, *, kind: str, seen: str, came: str, text: str) -> None:
        """See `clients.alarm.ReportPort`."""
        report = pb.ForkReport(kind=kind, seen=seen, came=came, text=text)
        self._call(pb.Empty, "ReportFork", report)

    def _logged(self, method: str, envelope: bytes, opening: bytes = b"") -> Registered:
        answer = self._call(pb.Logged, method, signed_request(envelope, opening))
        return Registered(index=answer.index, id=answer.id)

    def _call(self, kind: type[Answer], method: str, request: Message) -> Answer:
        try:
            return self._ask(kind, method, request)
        except _Refused as error:
            raise GovernanceRefused(str(error), code=error.code.name.lower()) from error

    def _of_round(self, kind: type[Answer], method: str, request: Message) -> Answer:
        with _as_the_loop_knows_it():
            return self._ask(kind, method, request)

    def _ask(self, _kind: type[Answer], method: str, request: Message) -> Answer:
        answer: Answer = getattr(self._service, method)(request, _Context(self._certificate_pem))
        return answer


@contextmanager
def _as_the_loop_knows_it() -> Iterator[None]:
    """A refusal as `server.governance_client` raises it."""
    try:
        yield
    except _Refused as error:
        raise RoundRefused(error.code.name, str(error)) from error
