"""Rounds under pairwise masks with real processes: what they come to, and a node that is killed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integration_faulty import SLOW, SLOW_ROWS, Faulty
from integration_space import (
    ALLOWED,
    ended,
    names,
    of_run,
    read_log,
    sign_anew,
    slow_app,
    slow_bundle,
    spec,
    wait_for,
    write_product,
)

from auditors.shares import replay_log
from auditors.verify import verify_folder
from clients.appbundle import build_bundle
from clients.owner import open_owner
from commands.localspace import local_space
from policies import governance_pb2 as pb
from policies.entries import Entry
from policies.release import NO_SUMS
from policies.statements import RunSpec
from policies.tensors import unpack_tensors
from server.models import ModelStore

pytestmark = pytest.mark.process

ROWS = {"east": 70, SLOW: 200, "south": 80, "west": 60}
EARLY = "west"
"""Has sent its update long before `SLOW` has."""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """Four enterprises, of whom three have to help."""
    root = tmp_path_factory.mktemp("pairwise")
    database = root / "flower.db"
    with local_space(root, name="tests/pairwise") as local:
        local.start(database=database)
        bundle = slow_bundle(root / "app")
        app = local.register_app(bundle, "Slow")
        for number, (name, rows) in enumerate(ROWS.items()):
            product, _ = write_product(root / "data" / name, name, rows=rows, seed=20 + number)
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=product,
                purpose=ALLOWED,
                app=bundle,
            )
        local.start_nodes(local.nodes)
        yield Faulty(local, app, database)


def open_run(
    space: Faulty,
    *among: str,
    rounds: int,
    secure_sum: str = "pairwise",
    slow_ms: int = 0,
    clip: str = "10",
) -> pb.Run:
    agreements = [sign_anew(space.local, name) for name in among or ROWS]
    plain: Any = spec(
        space.app,
        agreements,
        rounds=rounds,
        deadline_s=20,
        slow_ms=slow_ms,
        slow_rows=SLOW_ROWS,
    ).to_json()
    changes = {"secure_sum": secure_sum, "clip_norm": clip}
    return space.local.open_run(RunSpec.from_json(plain | changes))


def with_another_app(space: Faulty, folder: Path) -> Faulty:
    """The same space with an app of its own, about whose models nothing was opened yet."""
    slow_app(folder)
    source = folder / "slow" / "client_app.py"
    source.write_text(source.read_text(encoding="utf-8") + "\n# another\n", encoding="utf-8")
    bundle = build_bundle(folder)
    for node in space.local.nodes.values():
        with open_owner(node.folder) as owner:
            owner.approve_app(bundle)
    return replace(space, app=space.local.register_app(bundle, "Slow again"))


def of(space: Faulty, run: pb.Run, kind: str, **fields: object) -> list[Entry]:
    return of_run(read_log(space.log), run.run, kind, **fields)


def model_of(space: Faulty, run: pb.Run) -> np.ndarray[Any, Any]:
    store = ModelStore(space.local.space.consumer_folder / "models")
    return unpack_tensors(store.load(run.model), noted=True)["weights"]


def killed_after_it_sent(space: Faulty, run: pb.Run) -> None:
    """`EARLY`, while `SLOW` is still at work on the first round."""
    wait_for(
        f"the receipt of {EARLY} in its own log",
        lambda: bool(_receipts(space, EARLY, run)),
        timeout_s=20,
    )
    time.sleep(1.0)  # on its way, or there
    assert not _receipts(space, SLOW, run)
    space.kill(EARLY)


def _receipts(space: Faulty, name: str, run: pb.Run) -> list[Any]:
    own = [e.body for e in read_log(space.own_log(name)) if e.type == "UseReceipted"]
    return [one for one in own if one["receipt"]["run"] == run.run]  # type: ignore[index,call-overload]


def verify(space: Faulty) -> None:
    verify_folder(space.log, verifier_key=space.local.space.card.log_key)
    assert replay_log(space.log, jobs=1).violations == ()


def test_a_run_comes_to_the_model_of_the_same_run_that_consent_gates(space: Faulty) -> None:
    gated = ended(space.local, open_run(space, rounds=2, secure_sum="governance").run)
    run = ended(space.local, open_run(space, rounds=2).run)
    assert (gated.state, run.state) == ("COMPLETED", "COMPLETED"), run.reason
    one, other = model_of(space, run), model_of(space, gated)
    assert np.abs(other).max() > 1e-3
    assert np.abs(one - other).max() < 1e-6
    figures = [
        [close.body["metrics"] for close in of(space, which, "RoundClosed")]
        for which in (run, gated)
    ]
    for ours, theirs in zip(*figures, strict=True):
        assert {name: float(text) for name, text in ours.items()} == pytest.approx(
            {name: float(text) for name, text in theirs.items()}, abs=1e-5
        )
    releases = of(space, run, "MasksReleased")
    assert [entry.body["groups"] for entry in releases] == [[sorted(ROWS)]] * 3
    assert {entry.body["sums"] for entry in releases} == {NO_SUMS}
    for name in ROWS:
        mine = _receipts(space, name, run)
        assert [one["receipt"]["metrics"] for one in mine] == [{}] * 3
        assert len({one["receipt"]["mask_key"] for one in mine}) == 3
    verify(space)


def test_a_node_killed_after_it_sent_is_in_the_sum_that_the_others_open(space: Faulty) -> None:
    run = open_run(space, rounds=1, slow_ms=5_000, clip="0.01")
    killed_after_it_sent(space, run)
    run = ended(space.local, run.run)
    assert run.state == "COMPLETED", run.reason
    [closed] = of(space, run, "RoundClosed", round=1)
    assert closed.body["quorum_met"] is True
    assert names(closed.body["accepted"]) == set(ROWS)
    assert np.abs(model_of(space, run)).max() > 1e-4
    verify(space)
    space.local.start_nodes([EARLY])


def test_too_few_that_help_cost_the_round_and_the_run_goes_on(
    space: Faulty, tmp_path: Path
) -> None:
    """Of three all have to help; the SuperLink counts one that was killed as online for a while."""
    space = with_another_app(space, tmp_path / "app")
    run = open_run(space, "north", "south", EARLY, rounds=2, slow_ms=5_000, clip="0.02")
    killed_after_it_sent(space, run)
    run = ended(space.local, run.run, timeout_s=90)
    assert run.state == "COMPLETED", run.reason
    closes = of(space, run, "RoundClosed")
    assert [close.body["quorum_met"] for close in closes] == [False] * 3
    assert len({close.body["model"] for close in closes}) == 1
    # In the first round all sent, and one was gone when it was to be opened; in the others nobody
    # was asked to use anything in vain.
    assert [entry.body["round"] for entry in of(space, run, "MasksReleased")] == [1]
    assert {entry.body["round"] for entry in of(space, run, "ReceiptAccepted")} == {1}
    for close in closes[1:]:
        out: Any = close.body["left_out"]
        told = {one["participant"]: (one["code"], one["text"]) for one in out}
        assert {code for code, _ in told.values()} == {"no-reply"}
        # 1 where the other one was late
        assert re.search("expected at least 3 participants who shared, got [12]", told["north"][1])
    verify(space)
    space.local.start_nodes([EARLY])
