"""gRPC on one side, governance on the other: who calls, messages to values, errors to codes.

Each call passes the guard (`server.guarded`); the calls of each role have a file of their own.
"""

from __future__ import annotations

import grpc

from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes
from policies.governance_pb2_grpc import EnrolmentServicer, GovernanceServicer
from server.enrolling import Enrolling
from server.governance import Governance
from server.guarded import guarded, logged, peer_certificate
from server.operator_calls import OperatorCalls
from server.owner_calls import OwnerCalls
from server.pki import Identity
from server.register_views import app_text
from server.run_calls import RunCalls
from server.witness_calls import WitnessCalls


class EnrolmentService(EnrolmentServicer):
    """The way in: TLS without a client certificate; the token in the request is what counts."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    def Enrol(self, request: pb.EnrolRequest, context: grpc.ServicerContext) -> pb.EnrolResponse:
        """See `server.enrolment.Enrolment.enrol`."""
        return guarded(context, "Enrol", lambda: self._enrol(request))

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
                disclosure_key=request.disclosure_key,
            )
        )
        return pb.EnrolResponse(
            participant=enrolled.participant,
            certificate_pem=enrolled.certificate,
            space_json=canonical_bytes(self._governance.card.to_json()),
        )


class GovernanceService(OperatorCalls, OwnerCalls, RunCalls, WitnessCalls, GovernanceServicer):
    """Everything else: mutual TLS, and the role table of `server.access`."""

    # ruff: noqa: N802 (gRPC names its methods)

    def GetConsistency(
        self, request: pb.ConsistencyRequest, context: grpc.ServicerContext
    ) -> pb.ConsistencyResponse:
        """Anybody enrolled: a consistency proof."""

        def work(_caller: Identity) -> pb.ConsistencyResponse:
            proof = self._governance.consistency(request.old_size, request.new_size)
            return pb.ConsistencyResponse(proof=proof)

        return self._call(context, "GetConsistency", work)

    def GetSpace(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.Space:
        """Anybody enrolled: the space's card and the log's head."""

        def work(_caller: Identity) -> pb.Space:
            card = canonical_bytes(self._governance.card.to_json())
            return pb.Space(space_json=card, checkpoint=self._governance.checkpoint())

        return self._call(context, "GetSpace", work)

    def GetApp(self, request: pb.AppRef, context: grpc.ServicerContext) -> pb.App:
        """Anybody enrolled: a registered app with its bundle."""

        def work(_caller: Identity) -> pb.App:
            row, fab = self._governance.catalogue.app(request.app)
            title = app_text(row, self._governance.disclosing).title
            return pb.App(app=row.id, title=title, fab=fab, config_json=row.config.encode())

        return self._call(context, "GetApp", work)

    def GetProduct(self, request: pb.ProductRef, context: grpc.ServicerContext) -> pb.Document:
        """Anybody enrolled: a product's card and certificate."""
        product = self._governance.product
        return self._call(
            context, "GetProduct", lambda _: pb.Document(json=product(request.product))
        )

    def RenewCertificate(
        self, request: pb.RenewRequest, context: grpc.ServicerContext
    ) -> pb.Renewed:
        """Anybody enrolled: a new certificate for the caller's name and key; not logged."""
        renew = self._governance.renewal.renew

        def work(caller: Identity) -> pb.Renewed:
            certificate = renew(caller, peer_certificate(context), request.csr_pem)
            return pb.Renewed(certificate_pem=certificate)

        return self._call(context, "RenewCertificate", work)

    def RotateKey(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node or consumer: a KeyChange, signed with the key that counts until then."""
        rotate = self._governance.rotation.rotate
        return self._call(
            context, "RotateKey", lambda caller: logged(rotate(caller, request.envelope))
        )

    def IssueToken(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.Token:
        """Anybody enrolled: a bearer token for HTTP; not logged anywhere."""
        issue = self._governance.contracts.tokens.issue

        def work(caller: Identity) -> pb.Token:
            token, expires = issue(caller)
            return pb.Token(token=token, expires=expires)

        return self._call(context, "IssueToken", work)

    def EraseDisclosures(
        self, request: pb.EraseRequest, context: grpc.ServicerContext
    ) -> pb.Logged:
        """Operator: what opens commitments; everybody else: what opens those about themselves."""
        erase = self._governance.disclosing.erase
        return self._call(
            context,
            "EraseDisclosures",
            lambda caller: logged(erase(caller, request.what, request.code)),
        )

    def List(self, request: pb.ListRequest, context: grpc.ServicerContext) -> pb.ListResponse:
        """Anybody enrolled: what the caller may see."""
        listing = self._governance.list
        return self._call(
            context,
            "List",
            lambda caller: pb.ListResponse(documents=listing(caller, request.what)),
        )
