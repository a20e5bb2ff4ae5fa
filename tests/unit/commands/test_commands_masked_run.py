"""A run under masks with the real governance and nodes, and all that its ServerApp gets to see."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands_adder import MODEL, NAMES, Site, open_site
from flwr.app import Message

from auditors.shares import replay_log
from auditors.snapshot import Snapshot
from auditors.verify import verify_folder
from commands.inprocess import FLOWER_RUN
from commands.rounds_table import rounds_of
from commands.simulate import SimulatedNode
from policies import governance_pb2 as pb
from policies.entries import Entry, parse_entry
from policies.privacy import PermitSum
from policies.tensors import unpack_tensors
from server.localgrid import LocalGrid
from server.loop import Loop, NobodyPermitted
from server.mask_sums import Opened
from server.models import ModelStore
from server.space import load_space

OWN = b"""
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.sdk import training_rows

app = ClientApp()

def own():
    rows = training_rows()
    seen = np.concatenate([rows.features, rows.held_out_features])
    return float(seen.astype(np.float64).mean()) / 7

@app.train()
def train(message, context):
    arrays = {n: Array((a.numpy() + own()).astype(np.float32))
              for n, a in message.content["arrays"].items()}
    metrics = MetricRecord({"train_loss": own() * 100})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}),
                   reply_to=message)

@app.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"eval_loss": own() * 10})}),
                   reply_to=message)
"""
"""Adds to each weight what depends on the node's rows, and tells of them in figures."""


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Apps are imported into this process; other tests shall not find them."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] == "unit_adder"]:
        del sys.modules[name]


@dataclass
class Overheard:
    """Governance as the loop knows it, and all that it answered; `before` runs before a release."""

    inner: Any
    heard: list[bytes] = field(default_factory=list)
    before: Any = None

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self.inner, name)

        def ask(*args: Any) -> Any:
            answer = asked(*args)
            self.heard.append(answer.SerializeToString())
            return answer

        return ask

    def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
        if self.before is not None:
            self.before()
        release, sums = self.inner.release_masks(permit_id, how)
        self.heard += [str(release.to_json()).encode(), *sums]
        return release, sums


class OverheardGrid(LocalGrid):
    """Keeps what the nodes answered."""

    heard: list[tuple[bytes, bytes]]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        messages = list(super().pull_messages(message_ids))
        for message in messages:
            if not message.has_error():
                record = message.content.config_records["tds.reply"]
                receipt, update = record["receipt"], record["update"]
                assert isinstance(receipt, bytes)
                assert isinstance(update, bytes)
                self.heard.append((receipt, update))
        return messages


@dataclass
class Played:
    """A run that ended."""

    run: pb.Run
    model: np.ndarray[Any, Any]
    grid: OverheardGrid
    governance: Overheard
    entries: list[Entry]
    log: Path
    key: str


def play(site: Site, *, before: Any = None) -> Played:
    grid = OverheardGrid(site.nodes, run_id=int(FLOWER_RUN))
    grid.heard = []
    governance = Overheard(site.consumer, before=before)
    models = ModelStore(site.root / "space" / "consumer" / "models")
    digest = Loop(grid=grid, governance=governance, models=models, poll_s=0.0).run(  # type: ignore[arg-type]
        site.run, initial=lambda: unpack_tensors(MODEL)
    )
    space = load_space(site.root / "space")
    return Played(
        run=site.consumer.get_run(site.run.run),
        model=unpack_tensors(models.load(digest))["w"],
        grid=grid,
        governance=governance,
        entries=[parse_entry(line) for _, line in Snapshot.take(space.log_folder).entries()],
        log=space.log_folder,
        key=space.card.log_key,
    )


def own_site(stack: ExitStack, root: Path, **terms: Any) -> Site:
    """Two rounds of the app whose updates and figures are its rows'."""
    return open_site(
        stack,
        root,
        purpose="medical-research",
        names=NAMES,
        client=OWN,
        rows=(20, 31, 44),
        rounds=2,
        **terms,
    )


def of_type(played: Played, kind: str) -> list[Entry]:
    return [entry for entry in played.entries if entry.type == kind]


@pytest.mark.parametrize("how", ["none", "governance"])
def test_a_run_comes_to_the_mean_of_its_updates_with_masks_and_without(
    tmp_path: Path, how: str
) -> None:
    """Weighted by the rows of its receipts; whichever rows a node held back."""
    with ExitStack() as stack:
        site = own_site(stack, tmp_path, secure_sum=how, clip_norm="10")
        steps = {node.node.identity.participant: step(node) for node in site.nodes.values()}
        played = play(site)
    assert played.run.state == "COMPLETED"
    expected = 0.0
    for entry in rounds_of(played.run)[:2]:
        rows = {item["participant"]: item["rows"] for item in entry["items"]}
        mean = sum(steps[name] * rows[name] for name in NAMES) / sum(rows.values())
        assert float(entry["metrics"]["train_loss"]) == pytest.approx(100 * mean, rel=1e-3)
        expected += mean
    assert played.model == pytest.approx([expected] * 3, abs=1e-5)
    verify_folder(played.log, verifier_key=played.key)
    assert replay_log(played.log, jobs=1).violations == ()


def _views(played: Played) -> list[bytes]:
    return [*(part for pair in played.grid.heard for part in pair), *played.governance.heard]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The words of each vector before its mask."""
    found: list[Any] = []
    from policies import masks

    add = masks.add_mask

    def watched(words: Any, key: bytes) -> None:
        found.append(words.copy())
        add(words, key)

    monkeypatch.setattr(masks, "add_mask", watched)
    return found


def test_all_that_the_serverapp_gets_holds_no_update_and_no_figure_of_a_single_node(
    tmp_path: Path, plain: list[Any]
) -> None:
    with ExitStack() as stack:
        site = own_site(stack, tmp_path, secure_sum="governance")
        own = [step(node) for node in site.nodes.values()]
        played = play(site)
    assert played.run.state == "COMPLETED"
    assert len(plain) == len(played.grid.heard) == 9
    view = b"\0".join(_views(played))
    for words, (_, sent) in zip(plain, played.grid.heard, strict=True):
        assert words.tobytes() not in view
        # Not one word as it was, and what left is far from it: half of all bits differ.
        masked = np.frombuffer(sent, words.dtype)
        flipped = np.unpackbits((words ^ masked).view(np.uint8))
        assert 0.35 < flipped.mean() < 0.65
        # Rows stand in receipts, so their limbs do; the numbers of the body stand nowhere.
        for number in words[-3:] if len(words) > 40 else ():
            assert number.tobytes() not in view
    for told in own:  # as a receipt would spell its figures
        for figure in (f"{told * 100:.4g}", f"{told * 10:.4g}"):
            assert figure.encode() not in view


def step(node: SimulatedNode) -> float:
    """What a node's app adds to each weight."""
    (product,) = node.node.state.products()
    worker = node.node.worker
    rows = worker._materials.select(
        product.id, purpose="medical-research", now=worker._clock()
    ).rows
    seen = np.concatenate([rows.features, rows.held_out_features])
    return float(seen.astype(np.float64).mean()) / 7


def test_who_withdraws_after_it_sent_is_in_no_sum_and_the_log_shows_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = open_site(
            stack,
            tmp_path,
            purpose="medical-research",
            names=NAMES,
            secure_sum="governance",
            rounds=1,
        )
        gone = site.nodes[site.first].node
        name = gone.identity.participant

        def withdraw() -> None:
            (agreement,) = gone.state.agreements()
            if agreement.withdrawn is None:
                assert gone.owner.withdraw(agreement.id, "no more").told

        played = play(site, before=withdraw)
    first = of_type(played, "RoundClosed")[0].body
    release: Any = of_type(played, "MasksReleased")[0].body
    assert release["groups"] == [sorted(set(NAMES) - {name})]
    assert [(out["participant"], out["code"]) for out in first["left_out"]] == [  # type: ignore[index,union-attr,call-overload]
        (name, "consent-withdrawn")
    ]
    assert played.model.tolist() == pytest.approx([2.0] * 3, abs=1e-6)
    verify_folder(played.log, verifier_key=played.key)
    assert replay_log(played.log, jobs=1).violations == ()


def test_too_few_left_cost_the_round_and_the_run_goes_on(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = open_site(
            stack,
            tmp_path,
            purpose="medical-research",
            names=NAMES,
            secure_sum="governance",
            min_cohort=3,
            rounds=1,
        )
        gone = site.nodes[site.first].node

        def withdraw() -> None:
            (agreement,) = gone.state.agreements()
            if agreement.withdrawn is None:
                assert gone.owner.withdraw(agreement.id, "no more").told

        with pytest.raises(NobodyPermitted):
            play(site, before=withdraw)
        rounds = rounds_of(site.consumer.get_run(site.run.run))
    assert rounds[0]["state"] == "CLOSED"
    assert rounds[0]["quorum_met"] is False
    assert rounds[0]["metrics"] == {}


PRIVACY = {
    "unit": "record",
    "parts": 4,
    "sample": "1",
    "noise": "0.01",
    "by": "nodes",
    "tolerated": 0,
    "delta": "0.00001",
}


@pytest.mark.parametrize("by", ["nodes", "governance"])
def test_a_private_run_comes_to_the_mean_of_its_parts_and_some_noise(
    tmp_path: Path, by: str
) -> None:
    """12 parts that add 2 each, within the 5 that a part of several records is clipped to; noise
    of 0.01 * 10 in their sum."""
    with ExitStack() as stack:
        site = open_site(
            stack,
            tmp_path,
            purpose="medical-research",
            names=NAMES,
            secure_sum="governance",
            clip_norm="10",
            rows=(400, 450, 500),  # enough that no part stays empty, of rows held back either
            privacy=PRIVACY | {"by": by},
        )
        played = play(site)
    assert played.run.state == "COMPLETED"
    training, evaluation = rounds_of(played.run)
    assert [len(training["items"]), training["quorum_met"]] == [3, True]
    assert played.model == pytest.approx([2.0] * 3, abs=0.1)
    assert training["metrics"] == {}
    # The range of 1000 makes noise of this figure; of 12 parts with 0.25 each.
    assert 0 <= float(evaluation["metrics"]["eval_loss"]) < 20
    verify_folder(played.log, verifier_key=played.key)
    assert replay_log(played.log, jobs=1).violations == ()


class Gone(BaseException):
    """The ServerApp dies here."""


def test_a_serverapp_that_dies_after_the_release_costs_its_round_and_no_second_release(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        site = open_site(
            stack,
            tmp_path,
            purpose="medical-research",
            names=NAMES,
            secure_sum="governance",
            rounds=2,
        )

        class Dying(Overheard):
            def close_round(self, request: pb.CloseRoundRequest) -> pb.Run:
                raise Gone

        models = ModelStore(tmp_path / "space" / "consumer" / "models")
        dying: Any = Dying(site.consumer)
        first = Loop(grid=site.grid(), governance=dying, models=models, poll_s=0.0)
        with pytest.raises(Gone):
            first.run(site.run, initial=lambda: unpack_tensors(MODEL))
        played = play(site)
    assert played.run.state == "COMPLETED"
    closes = of_type(played, "RoundClosed")
    assert [close.body["quorum_met"] for close in closes] == [False, True, True]
    releases = [
        (entry.body["kind"], entry.body["round"]) for entry in of_type(played, "MasksReleased")
    ]
    assert releases == [("train", 1), ("train", 2), ("evaluate", 3)]
    assert len(of_type(played, "PermitIssued")) == 3
    # Nobody knows what round 1 came to; round 2 began with the first model again.
    assert played.model.tolist() == pytest.approx([2.0] * 3, abs=1e-6)
    assert replay_log(played.log, jobs=1).violations == ()
