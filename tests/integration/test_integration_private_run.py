"""Private runs over real processes: parts in the sandbox, noise, masks, one sum, an audited log."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from integration_space import ALLOWED, FEATURES, PURPOSE, ended, of_run, read_log, write_product

import clients
from clients.appbundle import build_bundle
from commands.localspace import LocalSpace, local_space, run_spec
from commands.rounds_table import rounds_of
from policies.envelope import unverified_payload
from policies.receipt import RECEIPT_TYPE, Receipt

pytestmark = pytest.mark.process

PRIVACY: dict[str, Any] = {
    "unit": "record",
    "parts": 6,
    "sample": "1",
    "noise": "0.5",
    "tolerated": 0,
    "delta": "0.00001",
}


@dataclass(frozen=True, slots=True)
class Stocked:
    """A space whose two nodes approved an app."""

    local: LocalSpace
    app: str


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    root = tmp_path_factory.mktemp("private")
    bundle = build_bundle(Path(clients.__path__[0]) / "apps" / "logistic")
    with local_space(root, name="tests/private") as local:
        local.start()
        app = local.register_app(bundle, "logistic")
        for number, name in enumerate(("north", "south")):
            product, _ = write_product(root / "data" / name, name, rows=120, seed=number)
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=product,
                purpose=ALLOWED,
                app=bundle,
            )
        local.start_nodes(local.nodes)
        yield Stocked(local, app)


@pytest.mark.parametrize("by", ["nodes", "governance"])
def test_it_tells_noisy_sums_and_nothing_else(stocked: Stocked, by: str) -> None:
    local = stocked.local
    spec = run_spec(
        stocked.app,
        [node.agreement for node in local.nodes.values()],
        purpose=PURPOSE,
        rounds=1,
        metrics=("train_loss", "eval_loss", "eval_accuracy"),
        deadline_s=120,
        clip_norm="1",
        secure_sum="governance",
        privacy=PRIVACY | {"by": by},
        config={"features": len(FEATURES)},
    )
    run = ended(local, local.open_run(spec).run, timeout_s=300)
    assert run.state == "COMPLETED", run
    train, evaluation = rounds_of(run)
    assert (train["kind"], evaluation["kind"]) == ("train", "evaluate")
    for told in (train, evaluation):
        assert [item["outcome"] for item in told["items"]] == ["accepted", "accepted"]
    assert train["metrics"] == {}
    assert set(evaluation["metrics"]) == {"eval_accuracy", "eval_loss"}
    # As the app declares their ranges.
    assert 0 <= float(evaluation["metrics"]["eval_accuracy"]) <= 1
    assert 0 <= float(evaluation["metrics"]["eval_loss"]) <= 1000

    entries = read_log(local.space.log_folder)
    accepted = of_run(entries, run.run, "ReceiptAccepted")
    envelopes = [base64.b64decode(str(one.body["envelope"])) for one in accepted]
    receipts = [
        Receipt.from_json(unverified_payload(one, payload_type=RECEIPT_TYPE)) for one in envelopes
    ]
    assert [(one.noise, one.clip_norm, one.metrics) for one in receipts] == [("0.5", "1", {})] * 4
    assert all(one.mask_key for one in receipts)
    assert len(of_run(entries, run.run, "MasksReleased")) == 2
    assert not list(local.nodes["north"].folder.glob("failures/*")), "no part failed"
