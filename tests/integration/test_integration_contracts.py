"""From REQUESTED to FINALIZED over real HTTP, a run under what was agreed, its end in the middle.

Two enterprises whose nodes agree by themselves to their owners' offers, one that signs by hand.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from integration_faulty import ROWS, SLOW_ROWS
from integration_space import (
    ALLOWED,
    ended,
    has,
    names,
    of_run,
    read_log,
    slow_bundle,
    spec,
    wait_for,
    write_product,
)

from auditors.shares import replay_log
from auditors.verify import verify_folder
from clients.contracts import open_contracts
from commands.consumer_side import ConsumerSide, open_consumer
from commands.contract_draft import draft_offer
from commands.localspace import LocalSpace, local_space

pytestmark = pytest.mark.process

BY_HAND = "west"
STOPPED = "south"


@dataclass(frozen=True, slots=True)
class Trading:
    """The space, and the slow app in it."""

    local: LocalSpace
    app: str

    @property
    def log(self) -> Path:
        """The space's log."""
        return self.local.space.log_folder

    def offer(self, name: str, *, auto_agree: bool) -> None:
        """What `tds product offer` does."""
        node = self.local.nodes[name]
        # Not the terms that the node signed already: by itself it agrees to the same ones once.
        document = draft_offer(owner=name, purpose=ALLOWED, uses=900, participants=2)
        with open_contracts(node.folder) as contracts:
            contracts.publish_offer(
                json.dumps(document).encode(), product=node.product, auto_agree=auto_agree
            )


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trading]:
    root = tmp_path_factory.mktemp("trading")
    with local_space(root, name="tests/trading") as local:
        local.start()
        bundle = slow_bundle(root / "app")
        app = local.register_app(bundle, "Slow")
        for number, (name, rows) in enumerate(ROWS.items()):
            product, _ = write_product(root / "data" / name, name, rows=rows, seed=number)
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=product,
                purpose=ALLOWED,
                app=bundle,
            )
        local.start_nodes(local.nodes)
        yield Trading(local, app)


def negotiate(side: ConsumerSide, trading: Trading, name: str) -> str:
    """The id of an agreement, from an offer in the catalogue on."""
    known = side.request(trading.local.nodes[name].product)
    assert known.state == "REQUESTED"
    if name == BY_HAND:
        with open_contracts(trading.local.nodes[name].folder) as contracts:
            contracts.agree(known.provider_pid)
    known = side.wait(known, {"AGREED"}, 30)
    assert known.state == "AGREED"
    known, agreement = side.verify(known.provider_pid)
    assert known.state == "FINALIZED"
    return agreement.id


def test_from_an_offer_to_the_middle_of_a_run(trading: Trading) -> None:
    local, log = trading.local, trading.log
    for name in ROWS:
        trading.offer(name, auto_agree=name != BY_HAND)
    with open_consumer(local.space.consumer_folder) as side:
        assert {one["@id"] for one in side.datasets()} == {
            node.product for node in local.nodes.values()
        }
        agreements = {name: negotiate(side, trading, name) for name in ROWS}
        # The consumer asks for one transfer by itself; the run that is opened next is it.
        asked = side.contracts.request_transfer(f"urn:uuid:{uuid.uuid4()}", agreements[STOPPED])
        assert asked.state == "REQUESTED"
        wanted = spec(
            trading.app, list(agreements.values()), rounds=6, slow_ms=700, slow_rows=SLOW_ROWS
        )
        run = local.open_run(wanted).run
        assert side.contracts.transfer(asked.provider_pid).state == "STARTED"
        wait_for("the second permit", has(log, run, "PermitIssued", round=2), timeout_s=90)
        assert side.move(asked.provider_pid, "termination", "enough of it") == "TERMINATED"
        assert side.contracts.transfer(asked.provider_pid).state == "TERMINATED"
        assert ended(local, run, timeout_s=120).state == "COMPLETED"
        after = {one["agreement"]: one for one in transfers(side, run)}
    assert {name: after[id]["state"] for name, id in agreements.items()} == {
        "north": "COMPLETED",
        "south": "TERMINATED",
        "west": "COMPLETED",
    }
    assert after[agreements[STOPPED]]["transfer"] == asked.provider_pid
    check_log(trading, run, agreements, asked.provider_pid)


def check_log(trading: Trading, run: str, agreements: dict[str, str], transfer: str) -> None:
    """What an auditor can read of it."""
    entries = read_log(trading.log)
    concluded: dict[str, Any] = {
        str(one.body["agreement"]): one.body for one in entries if one.type == "AgreementConcluded"
    }
    for id in agreements.values():
        assert concluded[id]["negotiation"] and concluded[id]["verification"]
    moved = [one for one in entries if one.type == "TransferStep"]
    states = [one.body["state"] for one in moved if one.body["transfer"] == transfer]
    assert states == ["REQUESTED", "STARTED", "TERMINATED"]
    stop = next(
        i
        for i, one in enumerate(entries)
        if one.type == "TransferStep"
        and one.body["transfer"] == transfer
        and one.body["state"] == "TERMINATED"
    )
    before = {
        name
        for one in of_run(entries[:stop], run, "PermitIssued")
        for name in names(one.body["cohort"])
    }
    later = [names(one.body["cohort"]) for one in of_run(entries[stop:], run, "PermitIssued")]
    assert before == set(ROWS)
    assert later and all(cohort == {"north", "west"} for cohort in later)
    for one in of_run(entries[stop:], run, "RoundDecided"):
        verdicts: Any = one.body["decision"]
        (refused,) = [v for v in verdicts["verdicts"] if not v["permitted"]]
        assert refused["participant"] == STOPPED
        assert [reason["code"] for reason in refused["reasons"]] == ["transfer-terminated"]
    verify_folder(trading.log, verifier_key=trading.local.space.card.log_key)
    assert replay_log(trading.log, jobs=1).violations == ()


def test_a_withdrawal_suspends_the_transfer(trading: Trading) -> None:
    local, log = trading.local, trading.log
    agreements = [node.agreement for node in local.nodes.values()]
    run = local.open_run(
        spec(trading.app, agreements, rounds=6, slow_ms=700, slow_rows=SLOW_ROWS)
    ).run
    wait_for("the first permit", has(log, run, "PermitIssued", round=1), timeout_s=60)
    local.nodes[STOPPED].withdraw("enough")
    with open_consumer(local.space.consumer_folder) as side:
        (row,) = [one for one in transfers(side, run) if one["owner"] == STOPPED]
        assert side.contracts.transfer(row["transfer"]).state == "SUSPENDED"
        assert ended(local, run, timeout_s=120).state == "COMPLETED"
        assert side.contracts.transfer(row["transfer"]).state == "TERMINATED"


def transfers(side: ConsumerSide, run: str) -> list[dict[str, Any]]:
    """The run's transfers, as the consumer sees them."""
    return [one for one in side.governance.list("transfers") if one["run"] == run]  # type: ignore[call-overload, index, misc]
