"""What nodes call as witnesses of the log."""

# ruff: noqa: N802 (gRPC names its methods)

from __future__ import annotations

from collections.abc import Iterator

import grpc

from ledger.errors import LedgerError
from ledger.witness import format_request
from policies import governance_pb2 as pb
from server.cosigning import Offered
from server.guarded import Guarded
from server.heads import Heads
from server.pki import Identity


class WitnessCalls(Guarded):
    """See `policies/governance.proto`; who may call what stands in `server.access`."""

    def WatchCheckpoints(
        self, request: pb.Watching, context: grpc.ServicerContext
    ) -> Iterator[pb.Head]:
        """Node: the heads to cosign, the newest first, as they come."""
        witnesses = self._governance.witnesses

        def work(caller: Identity) -> Heads[Offered]:
            return witnesses.watch(caller, request.size)

        heads = self._call(context, "WatchCheckpoints", work)
        if not context.add_callback(heads.close):
            heads.close()  # the caller has left already
        context.send_initial_metadata(())
        known = request.size
        for offered in heads:
            try:
                asked = witnesses.cosigning.request(known, offered)
            except LedgerError as error:
                context.abort(grpc.StatusCode.UNAVAILABLE, f"no proof: {error}")
            yield pb.Head(add_checkpoint=format_request(asked))
            known = offered.size

    def Cosign(self, request: pb.Cosignature, context: grpc.ServicerContext) -> pb.Empty:
        """Node: its cosignature on one of these heads."""
        cosign = self._governance.witnesses.cosign

        def work(caller: Identity) -> pb.Empty:
            cosign(caller, request.size, request.lines)
            return pb.Empty()

        return self._call(context, "Cosign", work)

    def ReportFork(self, request: pb.ForkReport, context: grpc.ServicerContext) -> pb.Empty:
        """Node: two heads of this log that do not fit together."""
        report = self._governance.witnesses.report_fork

        def work(caller: Identity) -> pb.Empty:
            report(caller, request.kind, (request.seen, request.came), request.text)
            return pb.Empty()

        return self._call(context, "ReportFork", work)
