"""What data owners call: products, agreements, offers, negotiations, withdrawals."""

# ruff: noqa: N802 (gRPC names its methods)

from __future__ import annotations

from collections.abc import Iterator

import grpc

from policies import governance_pb2 as pb
from server.errors import BadInput
from server.governance import Governance
from server.guarded import Guarded, logged
from server.pki import Identity


class OwnerCalls(Guarded):
    """See `policies/governance.proto`; who may call what stands in `server.access`."""

    def RegisterProduct(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a signed ProductCard."""
        register = self._governance.catalogue.register_product
        return self._call(
            context,
            "RegisterProduct",
            lambda caller: logged(register(caller, request.envelope, request.openings)),
        )

    def ConcludeAgreement(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a SignedAgreement."""
        conclude = self._governance.catalogue.conclude_agreement
        return self._call(
            context, "ConcludeAgreement", lambda caller: logged(conclude(caller, request.envelope))
        )

    def Withdraw(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a signed Withdrawal."""
        withdraw = self._governance.catalogue.withdraw
        return self._call(
            context,
            "Withdraw",
            lambda caller: logged(withdraw(caller, request.envelope, request.openings)),
        )

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

    def PublishOffer(self, request: pb.Signed, context: grpc.ServicerContext) -> pb.Logged:
        """Node: a SignedOffer."""
        publish = self._governance.contracts.offers.publish
        return self._call(
            context, "PublishOffer", lambda caller: logged(publish(caller, request.envelope))
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
