"""A run under pairwise masks with the real governance and nodes, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands_adder import MODEL, Site, open_site
from flwr.app import Message
from test_commands_masked_run import OWN, imports, of_type, step

from auditors.shares import replay_log
from auditors.snapshot import Snapshot
from auditors.verify import verify_folder
from commands.inprocess import FLOWER_RUN
from commands.rounds_table import rounds_of
from policies.entries import Entry, parse_entry
from policies.release import NO_SUMS
from policies.tensors import unpack_tensors
from server.localgrid import LocalGrid
from server.loop import Loop
from server.models import ModelStore
from server.space import load_space

NAMES = ("alpha", "beta", "delta", "gamma")

__all__ = ["imports"]


class FakeLossyGrid(LocalGrid):
    """Loses what `lose` says, by node, step and round, as if the node had been killed."""

    lose: Callable[[int, str, int], bool] = staticmethod(lambda *_: False)
    steps: list[str]

    def _deliver(self, message: Message) -> str:
        record = message.content.config_records["tds.round"]
        step, number = str(record["step"]), int(message.metadata.group_id.split("/")[0])
        self.steps.append(step)
        if self.lose(message.metadata.dst_node_id, step, number):
            return ""
        return super()._deliver(message)


@dataclass
class FakeHurry:
    """Governance as it is; `before` runs before each release."""

    inner: Any
    before: Callable[[], None] | None = None
    signed: list[bytes] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def release_cohort(self, permit_id: str) -> bytes:
        if self.before is not None:
            self.before()
        self.signed.append(self.inner.release_cohort(permit_id))
        assert self.inner.release_cohort(permit_id) == self.signed[-1]
        return self.signed[-1]


@dataclass
class Played:
    """A run that ended."""

    rounds: list[dict[str, Any]]
    state: str
    model: Any
    steps: list[str]
    entries: list[Entry]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def site_of(stack: ExitStack, root: Path, **terms: Any) -> Site:
    terms = {"rounds": 1, "names": NAMES, "rows": (20, 31, 44, 52)} | terms
    return open_site(
        stack, root, purpose="medical-research", client=OWN, secure_sum="pairwise", **terms
    )


def play(
    site: Site,
    *,
    lose: Callable[[int, str, int], bool] = lambda *_: False,
    before: Callable[[], None] | None = None,
) -> Played:
    grid = FakeLossyGrid(site.nodes, run_id=int(FLOWER_RUN))
    grid.steps, grid.lose = [], lose  # type: ignore[method-assign]
    models = ModelStore(site.root / "space" / "consumer" / "models")
    governance: Any = FakeHurry(site.consumer, before)
    loop = Loop(grid=grid, governance=governance, models=models, poll_s=0.0)
    digest = loop.run(site.run, initial=lambda: unpack_tensors(MODEL))
    space = load_space(site.root / "space")
    verify_folder(space.log_folder, verifier_key=space.card.log_key)
    assert replay_log(space.log_folder, jobs=1).violations == ()
    run = site.consumer.get_run(site.run.run)
    return Played(
        rounds=rounds_of(run),
        state=run.state,
        model=unpack_tensors(models.load(digest), noted=True)["w"],
        steps=grid.steps,
        entries=[parse_entry(line) for _, line in Snapshot.take(space.log_folder).entries()],
    )


def mean_of(site: Site, entry: dict[str, Any]) -> float:
    """What a round adds, as its receipts weight those who are in it."""
    steps = {node.node.identity.participant: step(node) for node in site.nodes.values()}
    rows = {
        item["participant"]: item["rows"]
        for item in entry["items"]
        if item["outcome"] == "accepted"
    }
    return sum(steps[name] * rows[name] for name in rows) / sum(rows.values())


def node_of(site: Site, name: str) -> int:
    return next(
        number for number, one in site.nodes.items() if one.node.identity.participant == name
    )


def accepted(entry: dict[str, Any]) -> set[str]:
    return {item["participant"] for item in entry["items"] if item["outcome"] == "accepted"}


def test_a_run_comes_to_the_mean_of_its_updates(stack: ExitStack, tmp_path: Path) -> None:
    site = site_of(stack, tmp_path, rounds=2)
    played = play(site)
    assert played.state == "COMPLETED"
    expected = 0.0
    for entry in played.rounds[:2]:
        mean = mean_of(site, entry)
        assert float(entry["metrics"]["train_loss"]) == pytest.approx(100 * mean, rel=1e-3)
        expected += mean
    assert played.model == pytest.approx([expected] * 3, abs=1e-5)
    assert played.steps == [s for _ in range(3) for s in STEPS for _ in NAMES]
    for entry in of_type(played, "MasksReleased"):  # type: ignore[arg-type]
        assert (entry.body["groups"], entry.body["sums"]) == ([list(NAMES)], NO_SUMS)
    for node in site.nodes.values():
        assert [use.outcome for use in node.node.state.uses(limit=9)] == ["receipted"] * 3


STEPS = ("share", "mask", "agree", "unmask")


@pytest.mark.parametrize(
    ("lost", "among"),
    [
        (("share", "mask", "agree", "unmask"), {"alpha", "beta", "gamma"}),
        (("mask", "agree", "unmask"), {"alpha", "beta", "gamma"}),
        (("agree", "unmask"), set(NAMES)),
        (("unmask",), set(NAMES)),
    ],
    ids=["before sharing", "before masking", "before agreeing", "before unmasking"],
)
def test_a_node_that_dies_costs_at_most_its_own_update(
    stack: ExitStack, tmp_path: Path, lost: tuple[str, ...], among: set[str]
) -> None:
    site = site_of(stack, tmp_path)
    gone = node_of(site, "delta")
    played = play(site, lose=lambda node, step, _: node == gone and step in lost)
    assert played.state == "COMPLETED"
    assert accepted(played.rounds[0]) == among
    assert played.model == pytest.approx([mean_of(site, played.rounds[0])] * 3, abs=1e-5)


@pytest.mark.parametrize("first", STEPS)
def test_below_the_threshold_a_round_has_no_result_and_the_run_goes_on(
    stack: ExitStack, tmp_path: Path, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = site_of(stack, tmp_path)
    gone = {node_of(site, name) for name in ("beta", "delta")}
    after = STEPS[STEPS.index(first) :]
    played = play(site, lose=lambda node, s, number: number == 1 and node in gone and s in after)
    train, evaluation = played.rounds
    assert (train["quorum_met"], evaluation["quorum_met"]) == (False, True)
    assert played.model.tolist() == [0.0] * 3
    assert "expected at least 3" in caplog.text
    if first == "share":  # nobody used anything for a sum that could not be opened
        assert {one.body["round"] for one in of_type(played, "ReceiptAccepted")} == {2}  # type: ignore[arg-type]


def test_who_withdraws_after_it_sent_is_in_no_sum(stack: ExitStack, tmp_path: Path) -> None:
    site = site_of(stack, tmp_path)
    gone = site.nodes[node_of(site, "gamma")].node

    def withdraw() -> None:
        (agreement,) = gone.state.agreements()
        if agreement.withdrawn is None:
            assert gone.owner.withdraw(agreement.id, "no more").told

    played = play(site, before=withdraw)
    train: Any = of_type(played, "RoundClosed")[0].body  # type: ignore[arg-type]
    assert [(out["participant"], out["code"]) for out in train["left_out"]] == [
        ("gamma", "consent-withdrawn")
    ]
    assert accepted(played.rounds[0]) == set(NAMES) - {"gamma"}
    assert played.model == pytest.approx([mean_of(site, played.rounds[0])] * 3, abs=1e-5)


def test_noise_of_the_nodes_is_under_the_masks(stack: ExitStack, tmp_path: Path) -> None:
    privacy = {
        "unit": "record",
        "parts": 2,
        "sample": "1",
        "noise": "0.5",
        "by": "nodes",
        "tolerated": 1,
        "delta": "0.00001",
    }
    played = play(site_of(stack, tmp_path, privacy=privacy, clip_norm="1"))
    assert played.state == "COMPLETED"
    assert accepted(played.rounds[0]) == set(NAMES)
    assert played.model.any()
