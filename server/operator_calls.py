"""What the operator calls: invitations, apps, certificates, filings, vouchers."""

# ruff: noqa: N802 (gRPC names its methods)

from __future__ import annotations

from typing import Final

import grpc

from policies import governance_pb2 as pb
from policies.canonical import parse_json
from policies.errors import PolicyError
from policies.statements import AppFiling
from server.errors import BadInput
from server.guarded import Guarded, logged
from server.pki import Identity

MAX_FILING_BYTES: Final = 64 * 1024


class OperatorCalls(Guarded):
    """See `policies/governance.proto`; who may call what stands in `server.access`."""

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
                contact=request.contact,
                registration=request.registration,
                address=request.address,
                again=request.again,
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
            context, "RevokeAppFiling", lambda _: logged(revoke(request.id, request.reason))
        )

    def CertifyProduct(
        self, request: pb.CertifyRequest, context: grpc.ServicerContext
    ) -> pb.Logged:
        """Operator: a product's certificate, the first or a new one."""
        certify = self._governance.registrar.certify
        return self._call(
            context, "CertifyProduct", lambda _: logged(certify(request.product, request.days))
        )

    def RevokeCertificate(self, request: pb.Revocation, context: grpc.ServicerContext) -> pb.Logged:
        """Operator: a product's certificate."""
        revoke = self._governance.registrar.revoke
        return self._call(
            context, "RevokeCertificate", lambda _: logged(revoke(request.id, request.reason))
        )

    def IssueVoucher(
        self, request: pb.IssueVoucherRequest, context: grpc.ServicerContext
    ) -> pb.Logged:
        """Operator: prepaid units for a consumer."""
        issue = self._governance.vouchers.issue
        return self._call(
            context,
            "IssueVoucher",
            lambda _caller: logged(issue(request.consumer, request.amount, request.request_id)),
        )

    def NameAuditor(
        self, request: pb.NameAuditorRequest, context: grpc.ServicerContext
    ) -> pb.Logged:
        """Operator: who may read what the log commits to."""
        name = self._governance.disclosing.name_auditor
        return self._call(
            context,
            "NameAuditor",
            lambda _caller: logged(
                name(auditor=request.auditor, title=request.title, key=request.key)
            ),
        )


def _filing(data: bytes) -> AppFiling | None:
    try:
        if not data:
            return None
        return AppFiling.from_json(parse_json(data, max_bytes=MAX_FILING_BYTES))
    except PolicyError as error:
        raise BadInput(f"filing: {error}") from error
