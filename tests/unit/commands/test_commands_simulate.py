"""`tds simulate`: one real run, and what its nodes refuse although they share our process."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from commands_adder import MODEL, NAMES, Site, open_site
from commands_site import Tds
from flwr.app import ConfigRecord, Message, RecordDict

import clients
from auditors.snapshot import Snapshot
from commands.inprocess import FLOWER_RUN
from commands.rounds_table import rounds_of
from commands.simulate import NOT_ISOLATED, SimulatedNode
from policies.canonical import sha256_hex
from policies.entries import Entry, parse_entry
from policies.envelope import unverified_payload
from policies.receipt import RECEIPT_TYPE, Receipt, open_receipt
from policies.tensors import pack_tensors, unpack_tensors
from server.exchange import Reply, send_round
from server.localgrid import LocalGrid
from server.loop import Loop, NobodyPermitted
from server.models import ModelStore
from server.space import load_space

TABULAR = Path(clients.__path__[0]) / "apps" / "tabular"


@pytest.fixture(autouse=True, scope="module")
def imports() -> Iterator[None]:
    """Apps are imported into this process; other tests shall not find them."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] in {"tabular", "unit_adder"}]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three enterprises and a run for a purpose that both allow; no test changes what it allows."""
    with ExitStack() as stack:
        root = tmp_path_factory.mktemp("simulate")
        yield open_site(stack, root, purpose="diagnosis-support", names=NAMES)


def send(
    site: Site, permit: bytes, *, model: bytes = MODEL, grid: LocalGrid | None = None
) -> Reply:
    """What the first node answers."""
    (reply,) = send_round(
        grid or site.grid(),
        node_ids=[site.first],
        kind="train",
        round_number=1,
        permit=permit,
        model=model,
        deadline_s=5.0,
        poll_s=0.0,
    )
    return reply


def refusal(reply: Reply) -> str:
    assert reply.refusal is not None, reply.missing or "it was not refused"
    assert (reply.receipt, reply.update) == (b"", b"")
    return reply.refusal.code


def entries(log: Path) -> list[Entry]:
    return [parse_entry(line) for _, line in Snapshot.take(log).entries()]


def confinements(log: Path) -> list[object]:
    """What each receipt in a space's log says of how its app was held."""
    envelopes = [
        base64.b64decode(str(entry.body["envelope"]))
        for entry in entries(log)
        if entry.type == "ReceiptAccepted"
    ]
    payloads = (unverified_payload(data, payload_type=RECEIPT_TYPE) for data in envelopes)
    return [Receipt.from_json(payload).confinement for payload in payloads]


def test_the_command(tds: Tds, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    ran = tds(
        *("simulate", str(TABULAR), "--nodes", "3", "--rounds", "1"),
        *("--folder", str(folder), "--json"),
    )
    assert (ran.code, ran.err.strip()) == (0, "")
    found = ran.json()
    assert (found["state"], found["isolated"], found["nodes"]) == ("COMPLETED", False, 3)
    rounds = [(entry["round"], entry["kind"], entry["accepted"]) for entry in found["rounds"]]
    assert rounds == [(1, "train", 3), (2, "evaluate", 3)]
    assert all(0.5 < float(entry["eval_accuracy"]) <= 1 for entry in found["rounds"])
    space = load_space(folder / "space")
    audited = tds("audit", "verify", str(space.log_folder), "--key", space.card.log_key, "--json")
    assert audited.code == 0
    assert audited.json()["size"] == found["entries"]
    assert confinements(space.log_folder) == [NOT_ISOLATED] * 6
    replayed = tds("audit", "replay", str(space.log_folder), "--json")
    assert (replayed.code, replayed.err) == (0, "")
    assert replayed.json() == {
        "entries": found["entries"],
        "decisions": 2,
        "permits": 2,
        "receipts": 6,
        "violations": [],
        "verified": None,
    }


def test_masks_of_pairs_are_simulated(tds: Tds) -> None:
    of_pairs = ("--secure-sum", "pairwise")
    ran = tds("simulate", str(TABULAR), "--nodes", "4", "--rounds", "1", *of_pairs, "--json")
    assert (ran.code, ran.err.strip()) == (0, "")
    assert [entry["accepted"] for entry in ran.json()["rounds"]] == [4, 4]


def test_it_says_that_nothing_is_isolated(tds: Tds, tmp_path: Path) -> None:
    ran = tds("simulate", str(TABULAR), "--folder", str(tmp_path))
    assert ran.code == 2
    assert ran.out.startswith("simulation: all nodes share this process")
    assert "nothing is isolated" in ran.out


def test_a_permitted_round_is_done_and_its_receipt_says_that_nothing_held_the_app(
    site: Site,
) -> None:
    reply = send(site, site.permit())
    assert reply.refusal is None, reply.refusal
    assert unpack_tensors(reply.update)["w"].tolist() == [2.0, 2.0, 2.0]
    key = site.nodes[site.first].node.identity.keys.receipt.public_key()
    receipt = open_receipt(reply.receipt, key)
    assert receipt.confinement == NOT_ISOLATED
    assert receipt.update == sha256_hex(reply.update)
    assert receipt.metrics == {"train_loss": "0.5"}
    assert receipt.rows_used + receipt.rows_held_back == 20


@pytest.mark.parametrize("place", [0.0, 0.05, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_a_permit_with_one_changed_bit(site: Site, place: float, bit: int) -> None:
    permit = bytearray(site.permit())
    permit[int(place * len(permit))] ^= bit
    assert refusal(send(site, bytes(permit))) in {"permit-signature", "permit-malformed"}


Change = Callable[[Site], Reply]


def replayed(site: Site) -> Reply:
    permit = site.permit()
    assert send(site, permit).receipt
    return send(site, permit)


def changed_node(site: Site, **changes: object) -> Reply:
    """The first node, told something else about the run than the permit says."""
    node = replace(site.nodes[site.first], **changes)  # type: ignore[arg-type]
    return send(site, site.permit(), grid=LocalGrid({site.first: node}, run_id=int(FLOWER_RUN)))


def meant_for_others(site: Site) -> Reply:
    return send(site, site.permit(*sorted(site.nodes)[1:]))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: send(s, b""), "permit-malformed"),
        (lambda s: send(s, b"{}"), "permit-malformed"),
        (lambda s: send(s, s.permit() + b"\n"), "permit-malformed"),
        (lambda s: send(s, s.permit()[:-1]), "permit-malformed"),
        (lambda s: send(s, s.permit(), model=b""), "permit-wrong-model"),
        (
            lambda s: send(s, s.permit(), model=pack_tensors({"w": np.ones(3, np.float32)})),
            "permit-wrong-model",
        ),
        (replayed, "permit-replayed"),
        (lambda s: send(s, s.permit(), grid=s.grid(run_id=2)), "permit-wrong-run"),
        (meant_for_others, "permit-wrong-node"),
        (lambda s: changed_node(s, app="0" * 64), "permit-wrong-app"),
        (lambda s: changed_node(s, config={"step": 3}), "permit-wrong-config"),
    ],
    ids=[
        "nothing",
        "an empty object",
        "a line end more",
        "a byte less",
        "no model",
        "another model",
        "the same message twice",
        "another run",
        "other nodes",
        "another app",
        "another config",
    ],
)
def test_what_a_node_refuses(site: Site, change: Change, code: str) -> None:
    assert refusal(change(site)) == code


def test_a_message_of_an_ordinary_app_is_refused(site: Site) -> None:
    grid = site.grid()
    content = RecordDict({"config": ConfigRecord({"server-round": 1})})
    (reply,) = grid.send_and_receive([Message(content, site.first, "train")])
    assert reply.has_error()
    assert "permit-malformed" in (reply.error.reason or "")


def test_a_refused_message_uses_nothing_up(site: Site) -> None:
    permit = site.permit()
    assert refusal(send(site, permit, model=b"another")) == "permit-wrong-model"
    assert send(site, permit).receipt


def test_after_a_withdrawal_the_permit_is_worth_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        mine = open_site(stack, tmp_path, purpose="medical-research", names=("alpha", "beta"))
        permit = mine.permit()
        node = mine.nodes[mine.first].node
        (agreement,) = node.state.agreements()
        assert node.owner.withdraw(agreement.id, "no more").told
        assert refusal(send(mine, permit)) == "consent-withdrawn"
        assert mine.permit() == b"", "one enterprise alone is no cohort"


def test_a_run_for_a_purpose_that_nobody_allows(tmp_path: Path) -> None:
    with ExitStack() as stack:
        mine = open_site(stack, tmp_path, purpose="marketing", names=("alpha", "beta"))
        models = ModelStore(tmp_path / "space" / "consumer" / "models")
        loop = Loop(grid=mine.grid(), governance=mine.consumer, models=models, poll_s=0.0)
        with pytest.raises(NobodyPermitted, match="the purpose is marketing"):
            loop.run(mine.run, initial=lambda: unpack_tensors(MODEL))
        assert all(node.node.state.uses(limit=9) == [] for node in mine.nodes.values())
    kinds = [entry.type for entry in entries(tmp_path / "space" / "log")]
    assert kinds.count("RoundDecided") == 1
    assert "PermitIssued" not in kinds


def test_a_whole_run_over_the_grid(tmp_path: Path) -> None:
    """One node spoils its permit: it is left out and named, quorum permitting."""
    with ExitStack() as stack:
        mine = open_site(stack, tmp_path, purpose="medical-research", names=NAMES)

        @dataclass(frozen=True)
        class Tampered:
            inner: SimulatedNode

            @property
            def public_key(self) -> bytes:
                return self.inner.public_key

            def answer(self, message: Message) -> Message:
                record = message.content.config_records["tds.round"]
                permit = record["permit"]
                assert isinstance(permit, bytes)
                record["permit"] = permit.replace(b"A", b"B", 1)
                return self.inner.answer(message)

        spoilt = Tampered(mine.nodes[mine.first])
        grid = LocalGrid({**mine.nodes, mine.first: spoilt}, run_id=int(FLOWER_RUN))
        models = ModelStore(tmp_path / "space" / "consumer" / "models")
        digest = Loop(grid=grid, governance=mine.consumer, models=models, poll_s=0.0).run(
            mine.run, initial=lambda: unpack_tensors(MODEL)
        )
        assert unpack_tensors(models.load(digest))["w"].tolist() == [2.0, 2.0, 2.0]
        ended = mine.consumer.get_run(mine.run.run)
    assert ended.state == "COMPLETED"
    outcomes = {
        item["participant"]: (item["outcome"], item["code"])
        for item in rounds_of(ended)[0]["items"]
    }
    assert outcomes["beta"][0] == outcomes["gamma"][0] == "accepted"
    assert outcomes["alpha"][0] == "left-out"
    assert outcomes["alpha"][1] in {"permit-signature", "permit-malformed"}
