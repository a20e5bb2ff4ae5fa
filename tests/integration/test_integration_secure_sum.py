"""Masked rounds with real processes: what their sums come to, and who is not in them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from integration_faulty import ROWS, SLOW, SLOW_ROWS, Faulty
from integration_space import ended, names, of_run, read_log, spec, wait_for

from auditors.shares import replay_log
from auditors.verify import verify_folder
from clients.owner import open_owner
from policies import governance_pb2 as pb
from policies.entries import Entry
from policies.statements import RunSpec
from policies.tensors import unpack_tensors
from server.models import ModelStore

pytestmark = pytest.mark.process

CLIP = "10"
EARLY = "west"
"""Has sent its update long before `SLOW` has."""


def masked(
    faulty: Faulty, consents: dict[str, str], *, rounds: int, slow_ms: int = 0, clip: str = CLIP
) -> RunSpec:
    plain = spec(
        faulty.app,
        list(consents.values()),
        rounds=rounds,
        deadline_s=30,
        slow_ms=slow_ms,
        slow_rows=SLOW_ROWS,
    )
    return RunSpec.from_json(
        plain.to_json() | {"secure_sum": "governance", "clip_norm": clip}  # type: ignore[operator]
    )


def of(faulty: Faulty, run: pb.Run, kind: str, **fields: object) -> list[Entry]:
    return of_run(read_log(faulty.log), run.run, kind, **fields)


def model_of(faulty: Faulty, run: pb.Run) -> np.ndarray[Any, Any]:
    store = ModelStore(faulty.local.space.consumer_folder / "models")
    return unpack_tensors(store.load(run.model))["weights"]


def test_masked_rounds_come_to_the_model_of_the_same_rounds_without_masks(faulty: Faulty) -> None:
    consents = faulty.consents()
    plain = faulty.open(consents, rounds=3, deadline_s=30, slow_ms=0)
    unmasked = ended(faulty.local, plain.run)
    opened = faulty.local.open_run(masked(faulty, faulty.consents(), rounds=3))
    run = ended(faulty.local, opened.run)
    assert (run.state, unmasked.state) == ("COMPLETED", "COMPLETED"), run.reason
    one, other = model_of(faulty, run), model_of(faulty, unmasked)
    assert np.abs(other).max() > 1e-3
    # 27 bits of scale, three rounds: far below what float32 tells apart.
    assert np.abs(one - other).max() < 1e-6
    figures = [
        [close.body["metrics"] for close in of(faulty, which, "RoundClosed")]
        for which in (run, unmasked)
    ]
    for ours, theirs in zip(*figures, strict=True):
        assert {name: float(text) for name, text in ours.items()} == pytest.approx(
            {name: float(text) for name, text in theirs.items()}, abs=1e-5
        )


def test_the_log_tells_of_each_release_and_no_figure_of_a_single_node(faulty: Faulty) -> None:
    opened = faulty.local.open_run(masked(faulty, faulty.consents(), rounds=1))
    run = ended(faulty.local, opened.run)
    assert run.state == "COMPLETED", run.reason
    releases = of(faulty, run, "MasksReleased")
    assert [(entry.body["kind"], entry.body["round"]) for entry in releases] == [
        ("train", 1),
        ("evaluate", 2),
    ]
    assert all(entry.body["groups"] == [sorted(ROWS)] for entry in releases)
    for name in ROWS:
        own = [e for e in read_log(faulty.own_log(name)) if e.type == "UseReceipted"]
        mine = [e.body for e in own if e.body["receipt"]["run"] == run.run]
        assert [one["receipt"]["metrics"] for one in mine] == [{}, {}]
        assert all(one["egress"]["masked"] for one in mine)
        assert len({one["receipt"]["mask_key"] for one in mine}) == 2
    verify_folder(faulty.log, verifier_key=faulty.local.space.card.log_key)
    assert replay_log(faulty.log, jobs=1).violations == ()


def test_who_withdraws_after_it_sent_is_not_in_the_sum(faulty: Faulty) -> None:
    """In round 2, whose model is like no other's since this run clips more: two sums about one
    model, of cohorts that differ by one, are not both released."""
    consents = faulty.consents()
    wanted = masked(faulty, consents, rounds=2, slow_ms=5_000, clip="0.001")
    opened = faulty.local.open_run(wanted)
    faulty.wait(faulty.own_log(SLOW), opened.run, "UseStarted", round=2)
    wait_for(
        f"the receipt of {EARLY} in its own log",
        lambda: _receipts(faulty, EARLY, opened.run) == 2,
        timeout_s=20,
    )
    time.sleep(1.0)  # on its way, or there
    with open_owner(faulty.local.nodes[EARLY].folder) as owner:
        assert owner.withdraw(consents[EARLY], "the board decided otherwise").told
    run = ended(faulty.local, opened.run)
    assert run.state == "COMPLETED", run.reason
    others = set(ROWS) - {EARLY}
    [closed] = of(faulty, run, "RoundClosed", round=2)
    assert closed.body["quorum_met"] is True
    assert names(closed.body["accepted"]) == others
    [left_out] = closed.body["left_out"]
    assert (left_out["participant"], left_out["code"]) == (EARLY, "consent-withdrawn")
    releases = of(faulty, run, "MasksReleased")
    assert [entry.body["groups"] for entry in releases] == [
        [sorted(ROWS)],
        [sorted(others)],
        [sorted(others)],
    ]
    assert replay_log(faulty.log, jobs=1).violations == ()


def _receipts(faulty: Faulty, name: str, run: str) -> int:
    own = read_log(faulty.own_log(name))
    return sum(e.type == "UseReceipted" and e.body["receipt"]["run"] == run for e in own)
