"""The ready apps in a space of real processes: two nodes, two rounds, each in the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration_space import ALLOWED, FEATURES, PURPOSE, ended, write_product

import clients
from clients.appbundle import build_bundle
from clients.owner import open_owner
from commands.localspace import LocalSpace, local_space, run_spec
from commands.rounds_table import rounds_of

pytestmark = pytest.mark.process

EXAMPLES = ("logistic", "quickstart")
METRICS = ("train_loss", "eval_loss", "eval_accuracy")


@dataclass(frozen=True, slots=True)
class Stocked:
    """A space whose two nodes approved both apps."""

    local: LocalSpace
    apps: dict[str, str]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    root = tmp_path_factory.mktemp("examples")
    folder = Path(clients.__path__[0]) / "apps"
    bundles = {name: build_bundle(folder / name) for name in EXAMPLES}
    with local_space(root, name="tests/examples") as local:
        local.start()
        apps = {name: local.register_app(bundle, name) for name, bundle in bundles.items()}
        for number, name in enumerate(("north", "south")):
            product, _ = write_product(root / "data" / name, name, rows=120, seed=number)
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=product,
                purpose=ALLOWED,
                app=bundles[EXAMPLES[0]],
            )
            with open_owner(local.nodes[name].folder) as owner:
                owner.approve_app(bundles[EXAMPLES[1]])
        local.start_nodes(local.nodes)
        yield Stocked(local, apps)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_trains_on_two_nodes(stocked: Stocked, name: str) -> None:
    local = stocked.local
    agreements = [node.agreement for node in local.nodes.values()]
    spec = run_spec(stocked.apps[name], agreements, purpose=PURPOSE, rounds=2, metrics=METRICS)
    opened = local.open_run(spec.model_copy(update={"config": {"features": len(FEATURES)}}))
    run = ended(local, opened.run)
    assert run.state == "COMPLETED", run
    rounds = rounds_of(run)
    assert [entry["kind"] for entry in rounds] == ["train", "train", "evaluate"]
    outcomes = [[item["outcome"] for item in entry["items"]] for entry in rounds]
    assert outcomes == [["accepted", "accepted"]] * 3
    losses = [float(entry["metrics"]["eval_loss"]) for entry in rounds]
    assert losses[-1] < losses[0]
