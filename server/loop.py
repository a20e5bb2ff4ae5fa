"""The round loop: steps 2, 5, 9 and 10 of DESIGN.md as the consumer's ServerApp does them.

The loop decides nothing. It asks governance before each round, sends only to whom the permit names,
lets governance verify the receipts, adds up what was accepted (server.round_results), and has the
round closed. What can fail is behind `Governance` and `grid`, so that the same code runs over
Flower's SuperLink and in one process (server/localgrid.py).
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from flwr.app import Message

from policies import governance_pb2 as pb
from policies.canonical import parse_json, sha256_hex
from policies.privacy import PermitSum
from policies.provenance import Mark, pack_model, unpack_model
from policies.statements import RunSpec
from policies.tensors import Tensors, architecture_digest, float_count, pack_tensors
from server.arrivals import submission_of
from server.duties import declare
from server.errors import GovernanceRefused, ServerError
from server.exchange import Reply, send_round, send_step
from server.mask_sums import Opened
from server.models import ModelStore
from server.observing import Fact, about
from server.pace import Pace, RoundTiming, Watch
from server.pairwise_rounds import PairwiseAdding, PairwiseExchange, Site
from server.receipt_checks import NOTHING
from server.round_results import Accepted, Adding, MaskedAdding, PlainAdding
from server.secure_sums import MaskedRound
from server.tracing import NO_TRACING, Tracing

LOGGER = logging.getLogger(__name__)

_PERMIT_ID: Final = re.compile(r"permit-[0-9a-f]{32}", re.ASCII)


class NobodyPermitted(ServerError):
    """No enterprise may take part in a round; the text lists each with its reasons."""


class Governance(Protocol):
    """What the loop needs of governance. Every call may be repeated: same request, same answer."""

    def find_run(self, flower_run: str) -> pb.Run:
        """The run that a Flower run belongs to."""
        ...

    def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
        """Steps 2 to 4: the decision, logged, then the permit."""
        ...

    def submit_receipts(self, request: pb.SubmitReceiptsRequest) -> pb.SubmitReceiptsResponse:
        """Step 9: which receipts hold."""
        ...

    def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
        """Step 9, with a secure sum: the release, and of each group the sum of its masks.

        Args:
            how: the permit's terms; no more is read than they say there is.
        """
        ...

    def release_cohort(self, permit_id: str) -> bytes:
        """Step 9, with pairwise masks: of whom the sum may be opened, signed for the nodes."""
        ...

    def close_round(self, request: pb.CloseRoundRequest) -> pb.Run:
        """Step 10: the round in the log; the run as it stands then."""
        ...


class OnlineNode(Protocol):
    """Flower's NodeInfo, as far as it is used."""

    node_id: int
    public_key: bytes


class RoundGrid(Protocol):
    """Flower's `Grid`, as far as it is used."""

    def get_nodes(self) -> Iterable[OnlineNode]:
        """The nodes that are online."""
        ...

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand over messages; their ids."""
        ...

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that have come."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Which round it is."""

    run: str
    round: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What step 9 came to; `duties` is the evidence of what is owed afterwards."""

    model: bytes
    metrics: dict[str, str]
    quorum_met: bool
    duties: dict[str, str]


@dataclass(frozen=True, slots=True)
class Loop:
    """One run's rounds over a grid.

    Args:
        poll_s: seconds between looks for replies.
        on_round: told after each closed round, for progress.
        tracing: told of rounds and their steps; its place in the trace goes to the nodes.
    """

    grid: RoundGrid
    governance: Governance
    models: ModelStore
    poll_s: float = 0.02
    on_round: Callable[[int, Mapping[str, str], RoundTiming], None] = lambda *_: None
    tracing: Tracing = NO_TRACING

    def run(self, run: pb.Run, initial: Callable[[], Tensors]) -> str:
        """Train what is left of the run's rounds, then evaluate once; the last model's digest.

        A run that was cut off goes on from its last closed round, with that round's model.

        Raises:
            NobodyPermitted: a round in which everybody was refused.
            ServerError: governance refused the round or cannot be reached.
        """
        spec = RunSpec.from_json(parse_json(run.spec_json, max_bytes=1 << 20))
        data = self.models.load(run.model) if run.model else pack_tensors(initial())
        digest = self.models.save(data)
        pace = Pace(self.poll_s)
        for number in range(run.closed_rounds + 1, spec.rounds + 1):
            data = self._round(run, spec, number, "train", data, pace)
            digest = sha256_hex(data)
        self._round(run, spec, spec.rounds + 1, "evaluate", data, Pace(self.poll_s))
        return digest

    def _round(
        self, run: pb.Run, spec: RunSpec, number: int, kind: str, model: bytes, pace: Pace
    ) -> bytes:
        """One round; the model after it (the same when it was an evaluation or has no result)."""
        facts: dict[str, Fact] = {"run": run.run, "flower_run": run.flower_run}
        facts |= {"round": number, "kind": kind}
        with about(facts), self.tracing.round(facts):
            return self._steps(run, spec, number, kind, model, pace, facts)

    def _steps(
        self,
        run: pb.Run,
        spec: RunSpec,
        number: int,
        kind: str,
        model: bytes,
        pace: Pace,
        facts: dict[str, Fact],
    ) -> bytes:
        watch = Watch()
        try:
            answer = self._ask(run, number, kind, model, watch)
        except GovernanceRefused as refusal:
            released = _released_before(refusal)
            if not released:
                raise
            # A ServerApp before this one had the masks released and closed nothing: what was
            # summed is lost with it, and is never summed again.
            LOGGER.warning("round %d: closed without a result: %s", number, refusal.text)
            outcome = _Outcome(model=model, metrics={}, quorum_met=False, duties={})
            return self._close(released, number, outcome, watch)
        facts["permit"] = answer.permit_id
        self.tracing.note(permit=answer.permit_id)
        place = _Place(run=run.run, round=number, kind=kind)
        adding = self._adding(answer, spec, place, model, pace)
        # Step 5 (6 to 8 happen at the nodes).
        with watch.exchange, self.tracing.step("exchange"):
            replies = self._exchange(answer, spec, place, model, pace, adding)
        pace.learn(replies)
        _tell_missing(answer, replies)
        outcome = self._aggregate(answer, place, model, replies, adding, watch)
        # The updates are in the average and nowhere else: what was owed as `delete` is done here,
        # before it is declared. Flower deletes what was pulled from the SuperLink.
        replies.clear()
        return self._close(answer.permit_id, number, outcome, watch)

    def _close(self, permit_id: str, number: int, outcome: _Outcome, watch: Watch) -> bytes:
        """Step 10. The model, which is returned, is durable before the log names it."""
        self.models.save(outcome.model)
        self.tracing.note(outcome="closed" if outcome.quorum_met else "without-result")
        with watch.governance, self.tracing.step("close"):
            self.governance.close_round(
                pb.CloseRoundRequest(
                    permit_id=permit_id,
                    model=sha256_hex(outcome.model),
                    metrics=outcome.metrics,
                    quorum_met=outcome.quorum_met,
                    duties=outcome.duties,
                )
            )
        self.on_round(number, outcome.metrics, watch.read())
        return outcome.model

    def _exchange(
        self,
        answer: pb.AuthorizeRoundResponse,
        spec: RunSpec,
        place: _Place,
        model: bytes,
        pace: Pace,
        adding: Adding,
    ) -> list[Reply]:
        """Receipts and updates of all who are permitted, or why there are none."""
        if isinstance(adding, PairwiseAdding):
            return adding.exchange.vectors(model)
        return send_round(
            self.grid,
            node_ids={int(v.node_id) for v in answer.verdicts if v.permitted},
            kind=place.kind,
            round_number=place.round,
            permit=answer.permit,
            model=model,
            deadline_s=float(spec.deadline_s),
            poll_s=pace.poll_s,
            first_look_s=pace.first_look_s,
            trace=self.tracing.traceparent(),
        )

    def _aggregate(
        self,
        answer: pb.AuthorizeRoundResponse,
        place: _Place,
        model: bytes,
        replies: Sequence[Reply],
        adding: Adding,
        watch: Watch,
    ) -> _Outcome:
        """Step 9: governance verifies the receipts; what fails is left out and named there."""
        _, before = unpack_model(model)
        submission = submission_of(answer.permit_id, replies, adding.read(replies))
        with watch.governance, self.tracing.step("receipts"):
            accepted = Accepted.of(self.governance.submit_receipts(submission))
            result = adding.result(accepted)
        nodes = {one.node for one in accepted}
        taking_part = [v for v in answer.verdicts if v.permitted and int(v.node_id) in nodes]
        # What was accepted and not released is owed it, too: its update was here.
        owed = {action for one in taking_part for action in one.duties}
        after = model
        if result.arrays is not None:
            contributing = [one for one in taking_part if int(one.node_id) in result.nodes]
            named = [one.participant for one in contributing if "attribute" in one.duties]
            mark = Mark(run=place.run, round=place.round) if "watermark" in owed else None
            after = pack_model(result.arrays, before.joined(named, mark))
        dropped = [one.update for one in submission.arrived if one.update != NOTHING]
        duties = declare(owed, dropped=dropped, metrics=result.metrics, model=sha256_hex(after))
        return _Outcome(
            model=after, metrics=result.metrics, quorum_met=bool(result.nodes), duties=duties
        )

    def _adding(
        self,
        answer: pb.AuthorizeRoundResponse,
        spec: RunSpec,
        place: _Place,
        model: bytes,
        pace: Pace,
    ) -> Adding:
        """How this round's updates are added, as its run says."""
        like = unpack_model(model)[0] if place.kind == "train" else {}
        if spec.secure_sum == "none":
            return PlainAdding(like, quorum=spec.quorum, how=spec.aggregation)
        masked = MaskedRound.of(answer.permit)
        if spec.secure_sum == "governance":
            release = self.governance.release_masks
            return MaskedAdding(masked, release, like, quorum=spec.quorum, how=spec.aggregation)
        send = partial(
            send_step,
            self.grid,
            kind=place.kind,
            round_number=place.round,
            permit=answer.permit,
            trace=self.tracing.traceparent(),
        )
        site = Site(
            send,
            _permitted(answer),
            float(spec.deadline_s),
            poll_s=self.poll_s,
            first_look_s=pace.first_look_s,
            mask_poll_s=pace.poll_s,
        )
        return PairwiseAdding(
            masked,
            self.governance.release_cohort,
            like,
            exchange=PairwiseExchange(masked, site),
            quorum=spec.quorum,
        )

    def _ask(
        self, run: pb.Run, number: int, kind: str, model: bytes, watch: Watch
    ) -> pb.AuthorizeRoundResponse:
        """Step 2: which of the nodes online may take part."""
        online = [
            pb.NodeRef(node_id=str(node.node_id), fleet_key_pem=node.public_key)
            for node in self.grid.get_nodes()
        ]
        arrays, _ = unpack_model(model)
        request = pb.AuthorizeRoundRequest(
            run=run.run,
            flower_run=run.flower_run,
            round=number,
            kind=kind,
            model=sha256_hex(model),
            online=online,
            request_id=secrets.token_hex(16),
            architecture=architecture_digest(arrays),
            floats=float_count(arrays),
        )
        with watch.governance, self.tracing.step("ask"):
            answer = self.governance.authorize_round(request)
        if not answer.permit:
            reasons = "; ".join(
                f"{v.participant}: {', '.join(reason.text for reason in v.reasons)}"
                for v in answer.verdicts
            )
            raise NobodyPermitted(
                f"run {run.run}, round {number}: expected at least one permitted enterprise, "
                f"got none ({reasons}); entry {answer.decision_index} of the log has the decision"
            )
        return answer


def _tell_missing(answer: pb.AuthorizeRoundResponse, replies: Iterable[Reply]) -> None:
    """A line for each enterprise that was permitted and sent no update, with its code."""
    names = {one: name for name, one in _permitted(answer).items()}
    for reply in replies:
        if reply.refusal is None and not reply.missing:
            continue
        code = reply.refusal.code if reply.refusal is not None else "no-reply"
        told = {"participant": names.get(reply.node_id, ""), "code": code}
        LOGGER.info("no update came: %s", code, extra=told)


def _permitted(answer: pb.AuthorizeRoundResponse) -> dict[str, int]:
    """Node ids of those who may take part, by participant."""
    return {one.participant: int(one.node_id) for one in answer.verdicts if one.permitted}


def _released_before(refusal: GovernanceRefused) -> str:
    """The permit under which this round's masks were released already; "" if that is not why."""
    found = _PERMIT_ID.search(refusal.text)
    return found[0] if found and refusal.text.startswith("released-already: ") else ""
