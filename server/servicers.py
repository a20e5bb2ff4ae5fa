"""gRPC on one side, governance on the other: who calls, messages to values, errors to codes.

Each method goes through `_Guard.call`: certificate, role, then the operation. No traceback leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import grpc

from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes, parse_json
from policies.errors import PolicyError
from policies.governance_pb2_grpc import EnrolmentServicer, GovernanceServicer
from policies.statements import AppFiling
from server.enrolment import Enrolling
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
from server.pki import Identity, parse_identity
from server.receipt_checks import Arrived, Missing
from server.round_asks import OnlineNode, RoundAsk
from server.rounds import RoundAnswer
from server.rows import ReceiptRow
from server.views import RunView

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
MAX_FILING_BYTES: Final = 65_536
_LOGGER = logging.getLogger(__name__)


class EnrolmentService(EnrolmentServicer):
    """The way in: TLS without a client certificate; the token in the request is what counts."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    def Enrol(self, request: pb.EnrolRequest, context: grpc.ServicerContext) -> pb.EnrolResponse:
        """See `server.enrolment.Enrolment.enrol`."""
        return _guarded(context, "Enrol", lambda: self._enrol(request))

    def _enrol(self, request: pb.EnrolRequest) -> pb.EnrolResponse:
        enrolled = self._governance.enrolment.enrol(
            Enrolling(
                token=request.token,
                csr_pem=request.csr_pem,
                receipt_key=request.receipt_key,
                log_verifier_key=request.log_verifier_key,
                fleet_key_pem=request.fleet_key_pem,
                receipt_proof=request.receipt_proof,
                fleet_proof=request.fleet_proof,
            )
        )
        return pb.EnrolResponse(
            participant=enrolled.participant,
            certificate_pem=enrolled.certificate,
            space_json=canonical_bytes(self._governance.card.to_json()),
        )


class GovernanceService(GovernanceServicer):
    """Everything else: mutual TLS, and the role table of `server.access`."""

    # ruff: noqa: N802 (gRPC names its methods)

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    def _call(
        self, context: grpc.ServicerContext, rpc: str, work: Callable[[Identity], Answer]
    ) -> Answer:
        def admitted() -> Answer:
            caller = _caller(context)
            self._governance.admit(caller, rpc)
            return work(caller)

        return _guarded(context, rpc, admitted)

    def Invite(self, request: pb.InviteRequest, context: grpc.ServicerContext) -> pb.InviteResponse:
        """Operator: a join file."""

        def work(_caller: Identity) -> pb.InviteResponse:
            join = self._governance.enrolment.invite(
                participant=request.participant,
                title=request.title,
                sector=request.sector,
                region=request.region,
                valid_s=request.valid_s,
                role=request.role,
            )
            return pb.InviteResponse(join_json=join)

        return self._call(context, "Invite", work)

    def RegisterApp(
        self, request: pb.RegisterAppRequest, context: grpc.ServicerContext
    ) -> pb.RegisterAppResponse:
        """Operator: an app bundle."""

        def work(_caller: Identity) -> pb.RegisterAppResponse:
            filing = _filing(request.filing_json)
            index, app = self._governance.catalogue.register_app(request.fab, request.title, filing)
            return pb.RegisterAppResponse(app=app, index=index)

        return self._call(context, "RegisterApp", work)

    def RevokeAppFiling(self, request: pb.Revocation, context: grpc.ServicerContext) -> pb.Logged:
        """Operator: an app's filing."""
        revoke = self._governance.registrar.revoke_filing
        return self._call(
            context, "RevokeAppFiling", lambda _: _logged(revoke(request.id, request.reason))
        )

    def CertifyProduct(
        self, request: pb.CertifyRequest, context: grpc.ServicerContext
    ) -> pb.Logged:
        """Operator: a product's certificate, the first or a new one."""
        certify = self._governance.registrar.certify
        return self._call(
            context, "CertifyProduct", lambda _: _logged(certify(request.product, request.days))
        )

    def RevokeCertificate(self, request: pb.Revocation, context: grpc.ServicerContext) -> pb.Logged:
        """Operator: a product's certificate."""
        revoke = self._governance.registrar.revoke
        return self._call(
            context, "RevokeCertificate", lambda _: _logged(revoke(request.id, request.reason))
        )

    def IssueVoucher(
        self, request: pb.IssueVoucherRequest, context: grpc.ServicerContext
    ) -> pb.Logged:
        """Operator: prepaid units for a consumer."""
        issue = self._governance.vouchers.issue
        return self._call(
            context,
            "IssueVoucher",
            lambda _caller: _logged(issue(request.consumer, request.amount, request.request_id)),
        )

    def RegisterProduct(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a signed ProductCard."""
        register = self._governance.catalogue.register_product
        return self._call(
            context, "RegisterProduct", lambda caller: _logged(register(caller, request.envelope))
        )

    def ConcludeAgreement(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a SignedAgreement."""
        conclude = self._governance.catalogue.conclude_agreement
        return self._call(
            context, "ConcludeAgreement", lambda caller: _logged(conclude(caller, request.envelope))
        )

    def Withdraw(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a signed Withdrawal."""
        withdraw = self._governance.catalogue.withdraw
        return self._call(
            context, "Withdraw", lambda caller: _logged(withdraw(caller, request.envelope))
        )

    def GetConsistency(
        self, request: pb.ConsistencyRequest, context: grpc.ServicerContext
    ) -> pb.ConsistencyResponse:
        """Anybody enrolled: a consistency proof."""

        def work(_caller: Identity) -> pb.ConsistencyResponse:
            proof = self._governance.consistency(request.old_size, request.new_size)
            return pb.ConsistencyResponse(proof=proof)

        return self._call(context, "GetConsistency", work)

    def WatchWithdrawals(
        self, request: pb.Empty, context: grpc.ServicerContext
    ) -> Iterator[pb.Document]:
        """Anybody enrolled: ended consents that concern the caller, past and as they come."""
        watch = self._governance.watch_withdrawals
        subscription = self._call(context, "WatchWithdrawals", watch)
        if not context.add_callback(subscription.close):
            subscription.close()  # the caller has left already
        context.send_initial_metadata(())  # from here on nothing is missed
        for document in subscription:
            yield pb.Document(json=document)

    def OpenRun(self, request: pb.OpenRunRequest, context: grpc.ServicerContext) -> pb.Run:
        """Consumer: step 1."""
        runs = self._governance.runs

        def work(caller: Identity) -> pb.Run:
            return _run(runs.open(caller, request.spec_json, request.request_id))

        return self._call(context, "OpenRun", work)

    def ResumeRun(self, request: pb.RunRef, context: grpc.ServicerContext) -> pb.Run:
        """Consumer: a new Flower run for a run that was cut off."""
        runs = self._governance.runs
        return self._call(
            context, "ResumeRun", lambda caller: _run(runs.resume(caller, request.run))
        )

    def StopRun(self, request: pb.RunRef, context: grpc.ServicerContext) -> pb.Run:
        """Consumer or operator."""

        def work(caller: Identity) -> pb.Run:
            stop = self._governance.runs.stop
            return _run(stop(caller, request.run, request.reason, failed=request.failed))

        return self._call(context, "StopRun", work)

    def FindRun(self, request: pb.FindRunRequest, context: grpc.ServicerContext) -> pb.Run:
        """Consumer: the run that a Flower run carries."""
        runs = self._governance.runs
        return self._call(
            context, "FindRun", lambda caller: _run(runs.find(caller, request.flower_run))
        )

    def AuthorizeRound(
        self, request: pb.AuthorizeRoundRequest, context: grpc.ServicerContext
    ) -> pb.AuthorizeRoundResponse:
        """Consumer: steps 2 to 4."""
        ask = RoundAsk(
            run=request.run,
            flower_run=request.flower_run,
            round=request.round,
            kind=request.kind,
            model=request.model,
            online=tuple(OnlineNode(one.node_id, one.fleet_key_pem) for one in request.online),
            request_id=request.request_id,
        )
        rounds = self._governance.rounds
        return self._call(
            context, "AuthorizeRound", lambda caller: _round(rounds.authorize(caller, ask))
        )

    def SubmitReceipts(
        self, request: pb.SubmitReceiptsRequest, context: grpc.ServicerContext
    ) -> pb.SubmitReceiptsResponse:
        """Consumer: step 9."""
        arrived = [Arrived(one.node_id, one.receipt, one.update) for one in request.arrived]
        missing = [
            Missing(one.node_id, one.reason.code, one.reason.text) for one in request.missing
        ]
        submit = self._governance.receipts.submit
        return self._call(
            context,
            "SubmitReceipts",
            lambda caller: _outcomes(submit(caller, request.permit_id, arrived, missing)),
        )

    def CloseRound(self, request: pb.CloseRoundRequest, context: grpc.ServicerContext) -> pb.Run:
        """Consumer: step 10; the answer holds this round's document only."""
        close = self._governance.receipts.close

        def work(caller: Identity) -> pb.Run:
            return _run(
                close(
                    caller,
                    request.permit_id,
                    request.model,
                    dict(request.metrics),
                    request.quorum_met,
                    dict(request.duties),
                )
            )

        return self._call(context, "CloseRound", work)

    def GetSpace(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.Space:
        """Anybody enrolled: the space's card and the log's head."""

        def work(_caller: Identity) -> pb.Space:
            card = canonical_bytes(self._governance.card.to_json())
            return pb.Space(space_json=card, checkpoint=self._governance.checkpoint())

        return self._call(context, "GetSpace", work)

    def GetRun(self, request: pb.RunRef, context: grpc.ServicerContext) -> pb.Run:
        """Whoever may see the run."""
        runs = self._governance.runs
        return self._call(context, "GetRun", lambda caller: _run(runs.get(caller, request.run)))

    def GetApp(self, request: pb.AppRef, context: grpc.ServicerContext) -> pb.App:
        """Anybody enrolled: a registered app with its bundle."""

        def work(_caller: Identity) -> pb.App:
            row, fab = self._governance.catalogue.app(request.app)
            return pb.App(app=row.id, title=row.title, fab=fab, config_json=row.config.encode())

        return self._call(context, "GetApp", work)

    def PublishOffer(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a SignedOffer."""
        publish = self._governance.contracts.offers.publish
        return self._call(
            context, "PublishOffer", lambda caller: _logged(publish(caller, request.envelope))
        )

    def Negotiate(self, request: pb.NegotiationAct, context: grpc.ServicerContext) -> pb.Logged:
        """Node: the owner's act in a negotiation."""
        return self._call(
            context, "Negotiate", lambda caller: _negotiate(self._governance, caller, request)
        )

    def MoveTransfer(self, request: pb.TransferAct, context: grpc.ServicerContext) -> pb.Logged:
        """Node or consumer: start, suspend, complete or terminate a transfer process."""
        act = self._governance.contracts.transfers.act

        def work(caller: Identity) -> pb.Logged:
            row = act(caller, request.transfer, request.act, request.reason)
            return pb.Logged(index=row.entry, id=row.id)

        return self._call(context, "MoveTransfer", work)

    def IssueToken(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.Token:
        """Anybody enrolled: a bearer token for HTTP; not logged anywhere."""
        issue = self._governance.contracts.tokens.issue

        def work(caller: Identity) -> pb.Token:
            token, expires = issue(caller)
            return pb.Token(token=token, expires=expires)

        return self._call(context, "IssueToken", work)

    def GetProduct(self, request: pb.ProductRef, context: grpc.ServicerContext) -> pb.Document:
        """Anybody enrolled: a product's card and certificate."""
        product = self._governance.product
        return self._call(
            context, "GetProduct", lambda _: pb.Document(json=product(request.product))
        )

    def List(self, request: pb.ListRequest, context: grpc.ServicerContext) -> pb.ListResponse:
        """Anybody enrolled: what the caller may see."""
        listing = self._governance.list
        return self._call(
            context,
            "List",
            lambda caller: pb.ListResponse(documents=listing(caller, request.what)),
        )


def _negotiate(governance: Governance, caller: Identity, request: pb.NegotiationAct) -> pb.Logged:
    owners = governance.contracts.owners
    if request.act == "open":
        row = owners.open(caller, request.envelope)
    elif request.act == "offer":
        row = owners.offer(caller, request.negotiation, request.envelope)
    elif request.act == "agree":
        row = owners.agree(caller, request.negotiation, request.envelope)
    elif request.act == "terminate":
        row = owners.end(caller, request.negotiation, request.reason)
    else:
        raise BadInput(f"act: expected open, offer, agree or terminate, got {request.act!r:.40}")
    return pb.Logged(index=row.entry, id=row.agreement or row.id)


def _guarded(context: grpc.ServicerContext, rpc: str, work: Callable[[], Answer]) -> Answer:
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


def _caller(context: grpc.ServicerContext) -> Identity:
    pem = context.auth_context().get("x509_pem_cert", [])
    if len(pem) != 1:
        raise NotAllowed("expected a client certificate, got none; enrol first")
    try:
        return parse_identity(pem[0])
    except CertificateError as error:
        raise NotAllowed(str(error)) from error


def _filing(data: bytes) -> AppFiling | None:
    try:
        if not data:
            return None
        return AppFiling.from_json(parse_json(data, max_bytes=MAX_FILING_BYTES))
    except PolicyError as error:
        raise BadInput(f"filing: {error}") from error


def _logged(result: tuple[int, str]) -> pb.Logged:
    index, id = result
    return pb.Logged(index=index, id=id)


def _run(view: RunView) -> pb.Run:
    row = view.row
    return pb.Run(
        run=row.id,
        flower_run=row.flower_run or "",
        state=row.state,
        spec_json=row.spec.encode(),
        config_json=row.config.encode(),
        closed_rounds=row.closed_rounds,
        model=row.model,
        consumer=row.consumer,
        rounds_json=view.rounds,
        reason=row.reason,
    )


def _round(answer: RoundAnswer) -> pb.AuthorizeRoundResponse:
    verdicts = [
        pb.Verdict(
            participant=verdict["participant"],
            product=verdict["product"],
            node_id=verdict["node_id"],
            permitted=verdict["permitted"],
            reasons=[pb.Reason(**reason) for reason in verdict["reasons"]],
            duties=verdict["duties"],
        )
        for verdict in answer.verdicts
    ]
    return pb.AuthorizeRoundResponse(
        permit=answer.permit,
        permit_id=answer.permit_id,
        verdicts=verdicts,
        decision_index=answer.decision_index,
    )


def _outcomes(rows: list[ReceiptRow]) -> pb.SubmitReceiptsResponse:
    answer = pb.SubmitReceiptsResponse()
    for row in rows:
        if row.accepted:
            answer.accepted.add(
                node_id=row.node_id,
                participant=row.participant,
                product=row.product,
                rows_used=row.rows_used,
                rows_held_back=row.rows_held_back,
            )
        else:
            answer.left_out.add(
                node_id=row.node_id,
                participant=row.participant,
                product=row.product,
                reason=pb.Reason(code=row.code, text=row.text),
            )
    return answer
