"""The round loop over fakes: what it asks, averages and leaves out, and where it resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import ConfigRecord, Error, Message, RecordDict

from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes, digest_of, sha256_hex
from policies.privacy import PermitSum
from policies.provenance import UNMARKED, Mark, Provenance, pack_model, unpack_model
from policies.receipt import Confinement, Receipt, sign_receipt
from policies.statements import RunSpec
from policies.tensors import Tensors, pack_tensors, unpack_tensors
from policies.wire import (
    MODEL,
    PERMIT,
    RECEIPT,
    REFUSED_CODE,
    REPLY_RECORD,
    ROUND_RECORD,
    UPDATE,
    Refusal,
)
from server.errors import GovernanceRefused, GovernanceUnavailable
from server.exchange import NodeInfo, set_task_identity
from server.loop import Loop, NobodyPermitted
from server.mask_sums import Opened
from server.models import ModelStore
from server.patience import PatientGovernance

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ZERO = "0" * 64
START: Tensors = {"w": np.zeros(3, np.float32)}
SUM = PermitSum(mode="governance", key=ZERO, word_bits=32, scale_bits=20, words=20, groups=1)

Answer = Callable[[bytes, str], RecordDict | Error | None]
MaskedAnswer = Callable[[bytes, bytes, str], RecordDict | Error]


def spec(*, rounds: int = 2, quorum: int = 1) -> RunSpec:
    return RunSpec(
        version=1,
        app=ZERO,
        purpose="medical-research",
        agreements=["a1"],
        rounds=rounds,
        deadline_s=1,
        quorum=quorum,
        min_cohort=1,
        memory_bytes=1 << 27,
        metrics=[],
        config={},
    )


def receipt(*, rows: int, update: bytes, **changes: Any) -> bytes:
    plain = Receipt(
        version=1,
        permit=ZERO,
        permit_id="permit-" + "0" * 32,
        run="run-1",
        round=1,
        participant="clinic",
        product="clinic/p",
        product_commitment=ZERO,
        rows_commitment=ZERO,
        rows_used=rows,
        rows_held_back=1,
        rows_without_consent=0,
        accelerator="none",
        update=sha256_hex(update),
        metrics={"eval_accuracy": "0.5"},
        clip_norm="",
        mask_key="",
        noise="",
        confinement=Confinement.measured(
            network="none",
            user="nobody",
            files="own",
            no_new_privileges=True,
            memory_limit=True,
            scratch="bounded",
        ),
        started="2026-01-01T00:00:00.000Z",
        finished="2026-01-01T00:00:01.000Z",
        log_size=0,
        log_root=ZERO,
    )
    return sign_receipt(plain.model_copy(update=changes), KEY)


def adds(amount: float, *, rows: int = 10, dtype: type = np.float32) -> Answer:
    """A node that adds to every weight; nothing leaves in an evaluation."""

    def answer(model: bytes, kind: str) -> RecordDict:
        update = b""
        if kind == "train":
            before = unpack_tensors(model, noted=True)["w"]
            update = pack_tensors({"w": (before + amount).astype(dtype)})
        record = ConfigRecord({RECEIPT: receipt(rows=rows, update=update), UPDATE: update})
        return RecordDict({REPLY_RECORD: record})

    return answer


class FakeGrid:
    """Nodes by id, answering when they are asked."""

    def __init__(
        self, nodes: dict[int, Answer], masked: dict[int, MaskedAnswer] | None = None
    ) -> None:
        set_task_identity(run_id=1)
        self.nodes = nodes
        self.masked = masked or {}
        self.replies: dict[str, Message] = {}

    def get_nodes(self) -> list[NodeInfo]:
        every = [*self.nodes, *self.masked]
        return [NodeInfo(node_id=number, public_key=b"key") for number in every]

    def push_messages(self, messages: Iterable[Message]) -> Iterator[str]:
        for message in messages:
            key = f"m{message.metadata.dst_node_id}-{message.metadata.group_id}"
            message.metadata.__dict__["_message_id"] = key
            record = message.content.config_records[ROUND_RECORD]
            permit, model = record[PERMIT], record[MODEL]
            assert isinstance(model, bytes)
            assert isinstance(permit, bytes)
            content = self._answer(message.metadata.dst_node_id, permit, model, message)
            if content is not None:
                self.replies[key] = Message(content, reply_to=message)
            yield key

    def _answer(
        self, node: int, permit: bytes, model: bytes, message: Message
    ) -> RecordDict | Error | None:
        kind = message.metadata.message_type
        if node in self.masked:
            return self.masked[node](permit, model, kind)
        return self.nodes[node](model, kind)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [self.replies.pop(key) for key in list(message_ids) if key in self.replies]


@dataclass
class FakeGovernance:
    """Permits `permitted`, accepts every receipt that arrives, remembers what it was asked."""

    permitted: set[int]
    accept: Callable[[str], bool] = lambda _node: True
    duties: dict[int, list[str]] = field(default_factory=dict)
    asked: list[pb.AuthorizeRoundRequest] = field(default_factory=list)
    submitted: list[pb.SubmitReceiptsRequest] = field(default_factory=list)
    closed: list[pb.CloseRoundRequest] = field(default_factory=list)

    def find_run(self, flower_run: str) -> pb.Run:
        raise AssertionError("not asked by the loop")

    def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
        self.asked.append(request)
        verdicts = [
            pb.Verdict(
                participant=f"clinic{node.node_id}",
                node_id=node.node_id,
                permitted=int(node.node_id) in self.permitted,
                duties=self.duties.get(int(node.node_id), []),
                reasons=[pb.Reason(code="no-permission", text="nothing allows it")],
            )
            for node in request.online
        ]
        permit = b"permit" if self.permitted else b""
        return pb.AuthorizeRoundResponse(permit=permit, permit_id="p", verdicts=verdicts)

    def submit_receipts(self, request: pb.SubmitReceiptsRequest) -> pb.SubmitReceiptsResponse:
        self.submitted.append(request)
        answer = pb.SubmitReceiptsResponse()
        for item in request.arrived:
            if self.accept(item.node_id):
                rows = 10 * int(item.node_id)
                answer.accepted.add(node_id=item.node_id, rows_used=rows, rows_held_back=1)
        return answer

    def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
        raise AssertionError("nothing is masked")

    def release_cohort(self, permit_id: str) -> bytes:
        raise AssertionError("nothing is masked")

    def close_round(self, request: pb.CloseRoundRequest) -> pb.Run:
        self.closed.append(request)
        return pb.Run()


def run_of(the_spec: RunSpec, **fields: object) -> pb.Run:
    run = pb.Run(run="run-1", flower_run="1", spec_json=canonical_bytes(the_spec.to_json()))
    for name, value in fields.items():
        setattr(run, name, value)
    return run


def loop(tmp_path: Path, grid: FakeGrid, governance: FakeGovernance) -> Loop:
    return Loop(grid=grid, governance=governance, models=ModelStore(tmp_path), poll_s=0.001)


def model_at(tmp_path: Path, digest: str) -> float:
    return float(unpack_model(ModelStore(tmp_path).load(digest))[0]["w"][0])


def test_updates_are_weighted_by_the_rows_that_governance_accepted(tmp_path: Path) -> None:
    grid, governance = FakeGrid({1: adds(1.0), 3: adds(5.0)}), FakeGovernance({1, 3})
    last = loop(tmp_path, grid, governance).run(run_of(spec(rounds=1)), lambda: START)
    assert model_at(tmp_path, last) == pytest.approx((1.0 * 10 + 5.0 * 30) / 40)
    assert [ask.kind for ask in governance.asked] == ["train", "evaluate"]
    assert [ask.round for ask in governance.asked] == [1, 2]
    assert governance.closed[0].model == governance.closed[1].model == last
    assert governance.closed[0].metrics["eval_accuracy"] == "0.5"
    assert len({ask.request_id for ask in governance.asked}) == 2


def test_only_permitted_nodes_are_sent_anything(tmp_path: Path) -> None:
    def must_not(_model: bytes, _kind: str) -> RecordDict:
        raise AssertionError("a refused node was sent a message")

    grid, governance = FakeGrid({1: adds(1.0), 2: must_not}), FakeGovernance({1})
    loop(tmp_path, grid, governance).run(run_of(spec(rounds=1)), lambda: START)
    assert [item.node_id for item in governance.submitted[0].arrived] == ["1"]
    assert not governance.submitted[0].missing


REFUSAL = Refusal(code="consent-withdrawn", text="withdrawn")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (adds(1.0, dtype=np.float64), "update-malformed"),
        (adds(float("nan")), "update-malformed"),
        (lambda *_: Error(REFUSED_CODE, REFUSAL.encode()), "consent-withdrawn"),
        (lambda *_: RecordDict(), "no-reply"),
        (lambda *_: None, "no-reply"),
    ],
    ids=["other-type", "nan", "refusal", "no-record", "silence"],
)
def test_what_cannot_be_used_is_reported_and_left_out(
    tmp_path: Path, answer: Answer, code: str
) -> None:
    grid, governance = FakeGrid({1: adds(1.0), 2: answer}), FakeGovernance({1, 2})
    last = loop(tmp_path, grid, governance).run(run_of(spec(rounds=1)), lambda: START)
    assert [item.reason.code for item in governance.submitted[0].missing] == [code]
    assert model_at(tmp_path, last) == 1.0


def test_an_update_smuggled_out_of_an_evaluation_is_left_out(tmp_path: Path) -> None:
    def smuggles(model: bytes, kind: str) -> RecordDict:
        update = pack_tensors({"w": np.ones(3, np.float32)})
        record = ConfigRecord({RECEIPT: receipt(rows=1, update=update), UPDATE: update})
        return RecordDict({REPLY_RECORD: record})

    governance = FakeGovernance({1})
    loop(tmp_path, FakeGrid({1: smuggles}), governance).run(run_of(spec(rounds=1)), lambda: START)
    assert [item.reason.code for item in governance.submitted[1].missing] == ["update-malformed"]


def test_a_missed_quorum_keeps_the_model(tmp_path: Path) -> None:
    grid = FakeGrid({1: adds(1.0), 2: adds(1.0)})
    governance = FakeGovernance({1, 2}, accept=lambda node: node == "1")
    last = loop(tmp_path, grid, governance).run(run_of(spec(rounds=2, quorum=2)), lambda: START)
    assert last == sha256_hex(pack_tensors(START))
    assert [close.quorum_met for close in governance.closed] == [False, False, False]


def test_a_run_resumes_from_its_last_closed_round(tmp_path: Path) -> None:
    digest = ModelStore(tmp_path).save(pack_tensors({"w": np.full(3, 7.0, np.float32)}))
    governance = FakeGovernance({1})
    run = run_of(spec(rounds=3), closed_rounds=2, model=digest)

    def unused() -> Tensors:
        raise AssertionError("a resumed run has its model already")

    last = loop(tmp_path, FakeGrid({1: adds(1.0)}), governance).run(run, unused)
    assert [ask.round for ask in governance.asked] == [3, 4]
    assert governance.asked[0].model == digest
    assert model_at(tmp_path, last) == 8.0


def test_a_round_that_permits_nobody_ends_the_run_with_the_reasons(tmp_path: Path) -> None:
    governance = FakeGovernance(set())
    with pytest.raises(NobodyPermitted, match="clinic1: nothing allows it"):
        loop(tmp_path, FakeGrid({1: adds(1.0)}), governance).run(run_of(spec()), lambda: START)
    assert not governance.submitted


def made(tmp_path: Path, digest: str) -> Provenance:
    return unpack_model(ModelStore(tmp_path).load(digest))[1]


def test_duties_are_done_and_declared(tmp_path: Path) -> None:
    grid = FakeGrid({1: adds(1.0), 2: adds(1.0), 3: adds(1.0)})
    every = ["attribute", "delete", "report", "watermark"]
    governance = FakeGovernance(
        {1, 2, 3}, accept=lambda node: node != "3", duties={1: every, 3: ["attribute"]}
    )
    last = loop(tmp_path, grid, governance).run(run_of(spec(rounds=2)), lambda: START)
    assert made(tmp_path, last) == Provenance(
        version=1, contributors=["clinic1"], marks=Mark(run="run-1", round=2)
    )
    assert model_at(tmp_path, last) == 2.0
    first, second, evaluation = governance.closed
    assert [sorted(one.duties) for one in governance.closed] == [every] * 3
    assert "3 updates" in first.duties["delete"]
    assert "0 updates" in evaluation.duties["delete"]
    assert first.duties["report"] == digest_of(dict(first.metrics))
    assert first.model in first.duties["watermark"]
    assert first.model != second.model == last == evaluation.model
    assert last in evaluation.duties["attribute"]


def test_only_what_is_owed_is_written_into_the_model(tmp_path: Path) -> None:
    governance = FakeGovernance({1}, duties={1: ["delete"]})
    last = loop(tmp_path, FakeGrid({1: adds(1.0)}), governance).run(
        run_of(spec(rounds=1)), lambda: START
    )
    assert ModelStore(tmp_path).load(last) == pack_tensors({"w": np.ones(3, np.float32)})


def test_what_earlier_rounds_owed_stays_in_the_model(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    mark = Mark(run="run-1", round=1)
    digest = store.save(
        pack_model({"w": np.ones(3, np.float32)}, UNMARKED.joined(["clinic7"], mark))
    )
    run = run_of(spec(rounds=2), closed_rounds=1, model=digest)
    governance = FakeGovernance({1}, duties={1: ["attribute"]})
    last = loop(tmp_path, FakeGrid({1: adds(1.0)}), governance).run(run, lambda: START)
    assert made(tmp_path, last) == Provenance(
        version=1, contributors=["clinic1", "clinic7"], marks=mark
    )


def test_an_update_with_a_note_is_left_out(tmp_path: Path) -> None:
    def notes(model: bytes, kind: str) -> RecordDict:
        tensors = {"w": np.ones(3, np.float32)}
        update = pack_tensors(tensors, note="secret") if kind == "train" else b""
        record = ConfigRecord({RECEIPT: receipt(rows=1, update=update), UPDATE: update})
        return RecordDict({REPLY_RECORD: record})

    governance = FakeGovernance({1})
    loop(tmp_path, FakeGrid({1: notes}), governance).run(run_of(spec(rounds=1)), lambda: START)
    assert [item.reason.code for item in governance.submitted[0].missing] == ["update-malformed"]


class FakeAbsentGovernance(FakeGovernance):
    """Not there for the first `absent` calls."""

    absent = 3

    def close_round(self, request: pb.CloseRoundRequest) -> pb.Run:
        if self.absent:
            self.absent -= 1
            raise GovernanceUnavailable("starting")
        return super().close_round(request)


@pytest.mark.parametrize(("code", "asked"), [("RESOURCE_EXHAUSTED", 3), ("ABORTED", 1)])
def test_patience_waits_for_a_busy_governance_and_takes_its_no(code: str, asked: int) -> None:
    class FakeBusyGovernance(FakeGovernance):
        calls = 0

        def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
            self.calls += 1
            raise GovernanceRefused(code, "as many releases as one service holds are under way")

    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    busy = FakeBusyGovernance({1})
    patient = PatientGovernance(busy, patience_s=1.5, clock=lambda: now[0], sleep=sleep)
    with pytest.raises(GovernanceRefused):
        patient.release_masks("p", SUM)
    assert busy.calls == asked


def test_patience_outlasts_a_restart_and_ends() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    absent = FakeAbsentGovernance({1})
    patient = PatientGovernance(absent, patience_s=10, clock=lambda: now[0], sleep=sleep)
    patient.close_round(pb.CloseRoundRequest(permit_id="p"))
    assert len(absent.closed) == 1
    absent.absent = 1000
    with pytest.raises(GovernanceUnavailable):
        patient.close_round(pb.CloseRoundRequest(permit_id="p"))
    assert now[0] < 12
