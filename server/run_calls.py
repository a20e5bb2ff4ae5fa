"""What consumers call: runs and their rounds, steps 1 to 4, 9 and 10 of DESIGN.md."""

# ruff: noqa: N802 (gRPC names its methods)

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import grpc

from policies import governance_pb2 as pb
from server.guarded import Guarded
from server.pki import Identity
from server.receipt_checks import Arrived, Missing
from server.releases import Release
from server.round_asks import OnlineNode, RoundAsk
from server.rounds import RoundAnswer
from server.rows import ReceiptRow
from server.views import RunView


class RunCalls(Guarded):
    """See `policies/governance.proto`; who may call what stands in `server.access`."""

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

    def GetRun(self, request: pb.RunRef, context: grpc.ServicerContext) -> pb.Run:
        """Whoever may see the run."""
        runs = self._governance.runs
        return self._call(context, "GetRun", lambda caller: _run(runs.get(caller, request.run)))

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
            architecture=request.architecture,
            floats=request.floats,
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

    def ReleaseMasks(
        self, request: pb.ReleaseMasksRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.MaskSums]:
        """Consumer: step 9, with a secure sum; the release, then its sums in pieces."""
        release = self._governance.releases.release
        with ExitStack() as stack:

            def work(caller: Identity) -> Release:
                return stack.enter_context(release(caller, request.permit_id))

            found = self._call(context, "ReleaseMasks", work)
            yield pb.MaskSums(release_json=found.document)
            for group, words in found.pieces():
                yield pb.MaskSums(group=group, words=words)

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
