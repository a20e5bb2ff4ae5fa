"""Masked rounds as the ServerApp sees them: what it opens, what it cannot, and how it goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masked_nodes import ROWS, FakeMaskingGovernance, MaskingNode, masked_spec
from test_server_loop import FakeGrid, loop, model_at, run_of

from policies import governance_pb2 as pb
from policies.canonical import digest_of, sha256_hex
from policies.privacy import Privacy
from policies.private_figures import weight_of
from policies.provenance import Provenance, unpack_model
from policies.tensors import Tensors, pack_tensors
from policies.wide_integers import HeadSum
from server.errors import GovernanceRefused, ServerError
from server.mask_sums import Opened
from server.models import ModelStore
from server.secure_sums import Group, MaskedRound, Rows

START: Tensors = {"w": np.zeros(4, np.float32), "steps": np.array([7])}


def grid_of(*nodes: MaskingNode) -> FakeGrid:
    return FakeGrid({}, {one.node: one.answer for one in nodes})


def governance_of(*nodes: int, **changes: Any) -> FakeMaskingGovernance:
    return FakeMaskingGovernance(set(nodes), **changes)


def run(tmp_path: Path, grid: FakeGrid, governance: FakeMaskingGovernance, **fields: object) -> str:
    return loop(tmp_path, grid, governance).run(run_of(governance.spec, **fields), lambda: START)


def mean(amounts: dict[int, float]) -> float:
    rows = sum(ROWS[node] for node in amounts)
    return sum(ROWS[node] * amount for node, amount in amounts.items()) / rows


def test_the_opened_sum_is_the_mean_weighted_by_rows(tmp_path: Path) -> None:
    nodes = [MaskingNode(1, 1.0), MaskingNode(2, -0.5), MaskingNode(3, 0.25)]
    governance = governance_of(1, 2, 3)
    last = run(tmp_path, grid_of(*nodes), governance)
    once = mean({1: 1.0, 2: -0.5, 3: 0.25})
    assert model_at(tmp_path, last) == pytest.approx(2 * once, abs=1e-7)
    first, second, evaluation = governance.closed
    assert first.quorum_met and second.quorum_met and evaluation.quorum_met
    assert first.metrics == {"eval_loss": "2", "loss": f"{mean({1: 1, 2: 2, 3: 3}):.11f}"}
    # Nothing was trained on in the evaluation.
    assert evaluation.metrics == {"eval_loss": "2"}
    assert evaluation.model == second.model == last
    arrays, _ = unpack_model(ModelStore(tmp_path).load(last))
    assert arrays["steps"].tolist() == [7]
    assert arrays["w"].dtype == np.float32


def test_every_round_is_released_once_and_only_with_a_quorum(tmp_path: Path) -> None:
    governance = governance_of(1, 2, 3)
    run(tmp_path, grid_of(*(MaskingNode(n, 1.0) for n in (1, 2, 3))), governance)
    assert governance.asked_for == governance.released == list(governance.permits)
    few = governance_of(1, 2, 3, accept=lambda node: node == "1")
    last = run(tmp_path / "few", grid_of(*(MaskingNode(n, 1.0) for n in (1, 2, 3))), few)
    assert few.asked_for == []
    assert [close.quorum_met for close in few.closed] == [False] * 3
    assert last == sha256_hex(pack_tensors(START))


def test_who_was_not_released_is_in_no_sum(tmp_path: Path) -> None:
    nodes = [MaskingNode(1, 1.0), MaskingNode(2, 1.0), MaskingNode(3, 3.5)]
    governance = governance_of(1, 2, 3, leaves={3}, duties={3: ["attribute"], 1: ["attribute"]})
    last = run(tmp_path, grid_of(*nodes), governance)
    assert model_at(tmp_path, last) == pytest.approx(2.0, abs=1e-6)
    made = unpack_model(ModelStore(tmp_path).load(last))[1]
    assert made == Provenance(version=1, contributors=["clinic1"])
    # Governance has asked for evidence of who is in the round only.
    assert governance.closed[0].duties["attribute"].endswith(governance.closed[0].model)


def test_a_release_that_is_refused_costs_the_round_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    governance = governance_of(1, 2, leaves={2})
    grid = grid_of(MaskingNode(1, 1.0), MaskingNode(2, 1.0))
    with caplog.at_level(logging.WARNING):
        last = run(tmp_path, grid, governance)
    assert last == sha256_hex(pack_tensors(START))
    assert [close.quorum_met for close in governance.closed] == [False] * 3
    assert [dict(close.metrics) for close in governance.closed] == [{}] * 3
    assert "too-few-to-release: too few are left" in caplog.text


@pytest.mark.parametrize("quorum", [2, 3])
def test_a_quorum_is_of_the_released(tmp_path: Path, quorum: int) -> None:
    governance = governance_of(1, 2, 3, leaves={3}, spec=masked_spec(quorum=quorum))
    run(tmp_path, grid_of(*(MaskingNode(n, 1.0) for n in (1, 2, 3))), governance)
    assert governance.closed[0].quorum_met == (quorum == 2)


@pytest.mark.parametrize(
    "fault",
    [
        {"lies": 1},
        {"lies": 10**9},
        {"says": {"eval_loss": (4, Decimal(1))}},
        {"says": {"eval_loss": (2**80, Decimal("1e-30"))}},
        {"says": {"eval_loss": (1, Decimal("1e13"))}},
        {"says": {"eval_loss": (1, Decimal("-1e13"))}},
        {"spoils": lambda data: bytes(len(data))},
        {"spoils": lambda data: b"\xff" * len(data)},
        {"spoils": lambda data: data[::-1]},
        {"spoils": lambda data: bytes([data[0] ^ 1]) + data[1:]},
    ],
    ids=[
        "a row more",
        "many rows more",
        "a figure of more rows",
        "a figure of all rows",
        "a large figure",
        "a large figure below 0",
        "zeros",
        "ones",
        "backwards",
        "one bit",
    ],
)
def test_a_vector_that_is_not_what_its_receipt_says_costs_the_round(
    tmp_path: Path, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [MaskingNode(1, 1.0), MaskingNode(2, 1.0), MaskingNode(3, 1.0, **fault)]
    governance = governance_of(1, 2, 3)
    with caplog.at_level(logging.WARNING):
        last = run(tmp_path, grid_of(*nodes), governance)
    assert [close.quorum_met for close in governance.closed] == [False] * 3
    assert last == sha256_hex(pack_tensors(START))
    assert caplog.text.count("no result") == 3


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda _: b""]
)
def test_a_vector_of_another_length_is_left_out_before_the_sum(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    nodes = [MaskingNode(1, 1.0), MaskingNode(2, 1.0), MaskingNode(3, 3.5, spoils=change)]
    governance = governance_of(1, 2, 3)
    last = run(tmp_path, grid_of(*nodes), governance)
    assert [one.reason.code for one in governance.submitted[0].missing] == ["update-malformed"]
    assert model_at(tmp_path, last) == pytest.approx(2.0, abs=1e-6)


def _another_word(opened: Opened) -> Opened:
    release, sums = opened
    return release, [bytes([sums[0][0] ^ 1]) + sums[0][1:]]


def test_masks_that_do_not_fit_open_nothing(tmp_path: Path) -> None:
    governance = governance_of(1, 2, gives=_another_word)
    last = run(tmp_path, grid_of(MaskingNode(1, 1.0), MaskingNode(2, 1.0)), governance)
    assert [close.quorum_met for close in governance.closed] == [False] * 3
    assert last == sha256_hex(pack_tensors(START))


def test_a_release_of_somebody_who_sent_nothing_ends_the_run(tmp_path: Path) -> None:
    def more(opened: Opened) -> Opened:
        groups = [[*opened[0].groups[0], "clinic9"]]
        return opened[0].model_copy(update={"groups": groups}), opened[1]

    governance = governance_of(1, 2, gives=more)
    with pytest.raises(ServerError, match="got clinic9 as well"):
        run(tmp_path, grid_of(MaskingNode(1, 1.0), MaskingNode(2, 1.0)), governance)


def test_duties_are_declared_of_the_vectors_that_were_dropped(tmp_path: Path) -> None:
    nodes = [MaskingNode(1, 1.0), MaskingNode(2, 1.0), MaskingNode(3, 1.0)]
    every = ["attribute", "delete", "report", "watermark"]
    governance = governance_of(1, 2, 3, leaves={3}, duties={2: every})
    run(tmp_path, grid_of(*nodes), governance)
    for close in governance.closed:
        assert sorted(close.duties) == every
        assert "3 updates" in close.duties["delete"]
        assert close.duties["report"] == digest_of(dict(close.metrics))


def test_groups_are_opened_one_by_one_and_averaged(tmp_path: Path) -> None:
    amounts = {n: n / 10 for n in range(1, 7)}
    nodes = [MaskingNode(n, amount) for n, amount in amounts.items()]
    governance = governance_of(*amounts, spec=masked_spec(groups=2, rounds=1))
    last = run(tmp_path, grid_of(*nodes), governance)
    assert model_at(tmp_path, last) == pytest.approx(mean(amounts), abs=1e-7)


@pytest.mark.parametrize(
    ("how", "held"), [("mean", False), ("median", True), ("trimmed-mean", True)]
)
def test_a_liar_steers_no_middle_of_three_groups(tmp_path: Path, how: str, held: bool) -> None:
    """Within its norm, and with the most rows of all."""
    nodes = [MaskingNode(n, -2.0 if n == 9 else 0.5) for n in range(1, 10)]
    terms = {"groups": 3, "min_cohort": 3, "quorum": 9, "rounds": 1, "aggregation": how}
    governance = governance_of(*range(1, 10), spec=masked_spec(**terms))
    last = run(tmp_path, grid_of(*nodes), governance)
    assert (model_at(tmp_path, last) == pytest.approx(0.5, abs=1e-6)) == held
    assert len(governance.released) == 2


PRIVATE = Privacy(
    unit="record", parts=16, sample="0.5", noise="2", by="nodes", tolerated=0, delta="0.00001"
)


def private_round(kind: str) -> MaskedRound:
    governance = governance_of(1, 2, spec=masked_spec(privacy=PRIVATE.to_json()))
    ask = pb.AuthorizeRoundRequest(
        run="run-1", round=1, kind=kind, model="0" * 64, architecture="0" * 64, floats=3
    )
    return MaskedRound.of(governance.authorize_round(ask).permit)


def test_a_private_sum_is_divided_by_the_parts_that_are_expected() -> None:
    """Of clinics with 10 and 20 rows at 16 parts: half of 10 parts of a row each, and of those of
    16 parts that have one of 20 rows. No figure of a training left."""
    round_ = private_round("train")
    rows = {"clinic1": Rows(10, 1), "clinic2": Rows(20, 1)}
    head = HeadSum(30, 2, {"loss": (0, Fraction(0)), "eval_loss": (0, Fraction(0))})
    parts = (10 + 16 * (1 - (15 / 16) ** 20)) / 2
    group = Group(rows, head, np.array([parts, -2 * parts, 0.0]))
    assert round_.mean([group]) == pytest.approx([1, -2, 0])
    assert round_.figures([group]) == {}


def test_figures_of_a_private_evaluation_are_in_the_body() -> None:
    """From 0 to 2 with a middle of 1, which 8 parts moved up by half of what they may; the other
    figure is none of an evaluation's."""
    round_ = private_round("evaluate")
    weight = weight_of(8, Fraction(1))
    heads = {"loss": (0, Fraction(0)), "eval_loss": (weight, Fraction(weight))}
    moved = 0.5 * 8 * 4
    group = Group({"clinic1": Rows(0, 8)}, HeadSum(0, 8, heads), np.array([moved, 3.0]))
    assert round_.layout.metrics == ("eval_loss", "loss")
    assert round_.layout.floats == 2
    assert round_.figures([group]) == {"eval_loss": "1.5"}


class FakeReleasedGovernance(FakeMaskingGovernance):
    """Round 1's masks were released to a ServerApp that is gone."""

    before = f"permit-{'a' * 32}"

    def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
        if not self.closed:
            raise GovernanceRefused(
                "FAILED_PRECONDITION",
                f"released-already: run-1: train round 1: entry 9 released those of {self.before}",
            )
        return super().authorize_round(request)


def test_a_round_released_to_a_serverapp_that_is_gone_is_closed_and_the_run_goes_on(
    tmp_path: Path,
) -> None:
    governance = FakeReleasedGovernance({1, 2})
    last = run(tmp_path, grid_of(MaskingNode(1, 1.0), MaskingNode(2, 1.0)), governance)
    first = governance.closed[0]
    assert (first.permit_id, first.quorum_met) == (governance.before, False)
    assert first.model == sha256_hex(pack_tensors(START))
    assert [ask.round for ask in governance.asked] == [2, 3]
    assert model_at(tmp_path, last) == pytest.approx(1.0, abs=1e-6)
    assert governance.before not in governance.asked_for


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("FAILED_PRECONDITION", f"run-1: is stopped, after permit-{'a' * 32}"),
        ("FAILED_PRECONDITION", "released-already: but not under which permit"),
        ("ABORTED", "this ServerApp was replaced"),
    ],
)
def test_any_other_refusal_ends_this_serverapp(tmp_path: Path, code: str, text: str) -> None:
    class FakeRefusingGovernance(FakeMaskingGovernance):
        def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
            raise GovernanceRefused(code, text)

    governance = FakeRefusingGovernance({1, 2})
    with pytest.raises(GovernanceRefused):
        run(tmp_path, grid_of(MaskingNode(1, 1.0)), governance)
    assert governance.closed == []
