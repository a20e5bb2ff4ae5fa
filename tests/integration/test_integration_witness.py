"""Nodes as witnesses, with real processes: a quorum on every permit, and yesterday's database."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration_space import (
    ALLOWED,
    ended,
    has,
    read_log,
    sign_anew,
    slow_bundle,
    spec,
    wait_for,
    write_product,
)

from auditors.verify import verify_folder
from clients.evidence import read_evidence
from clients.identity import load_identity
from clients.state import NodeState
from commands.children import python
from commands.localspace import LocalSpace, local_space
from ledger.note import NoteVerifier
from ledger.tlogpolicy import Policy, parse_policy
from policies.envelope import unverified_payload
from policies.receipt import RECEIPT_TYPE
from server.space import load_space

pytestmark = pytest.mark.process

ROWS = {"north": 60, "south": 50, "west": 40}


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A space whose permits need two of its three nodes' cosignatures."""

    local: LocalSpace
    app: str
    policy: Policy
    database: Path

    def stop_serve(self) -> None:
        self.local.children.stop(self.local.processes["serve"])

    def start_serve(self) -> None:
        self.local.start(database=self.database)

    def tds(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = python("-m", "commands", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def witness_policy(local: LocalSpace, out: Path) -> Policy:
    command = ["space", "witness-policy", "--space", str(local.space.folder)]
    command += ["--quorum", "2", "--out", str(out)]
    done = subprocess.run(
        python("-m", "commands", *command), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return parse_policy(out.read_bytes())


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witnessed]:
    root = tmp_path_factory.mktemp("witnessed")
    database = root / "flower.db"
    with local_space(root, name="tests/witnessed") as local:
        local.start(database=database)
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
        local.children.stop(local.processes["serve"])
        policy = witness_policy(local, local.space.folder / "witness-policy")
        shutil.copy(
            local.space.folder / "witness-policy", local.nodes["north"].folder / "witness-policy"
        )
        local.start(database=database)
        local.start_nodes(local.nodes)
        yield Witnessed(local, app, policy, database)


def test_a_run_whose_permits_carry_the_quorum(witnessed: Witnessed) -> None:
    local = witnessed.local
    consents = {name: sign_anew(local, name) for name in ROWS}
    run = local.open_run(spec(witnessed.app, list(consents.values()), rounds=2)).run
    assert ended(local, run).state == "COMPLETED"
    # North refuses whatever its own policy does not find on a permit's checkpoint.
    assert has(local.space.log_folder, run, "ReceiptAccepted", participant="north")()
    log = NoteVerifier.parse(local.space.card.log_key)

    def cosigned() -> bool:
        note = (local.space.log_folder / "checkpoint").read_text("utf-8")
        opened = parse_policy(b"quorum none\n").open(note, log)
        return opened.checkpoint.size > 0 and len(note.splitlines()) == 4 + 1 + len(ROWS)

    wait_for("all three cosignatures on the published head", cosigned, timeout_s=10)
    note = (local.space.log_folder / "checkpoint").read_text("utf-8")
    assert witnessed.policy.open(note).witnesses == set(witnessed.policy.keys)
    for node in local.nodes.values():
        done = witnessed.tds(
            "node", "reconcile", "--node", str(node.folder), "--log", str(local.space.log_folder)
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_doctor_says_what_confines_apps_here(witnessed: Witnessed) -> None:
    done = witnessed.tds(
        "node", "doctor", "--node", str(witnessed.local.nodes["south"].folder), "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["checks"]["SuperLink"] == "ok"
    assert "answers over mutual TLS" in found["checks"]["governance"]
    held = found["confinement"]
    # What each receipt of this node states, and the level that policies may demand.
    accepted = [
        one
        for one in read_log(witnessed.local.space.log_folder)
        if one.type == "ReceiptAccepted" and one.body["participant"] == "south"
    ]
    envelope = base64.b64decode(str(accepted[0].body["envelope"]))
    stated = unverified_payload(envelope, payload_type=RECEIPT_TYPE)["confinement"]
    assert {name: held[name] for name in stated} == stated
    strict = (held["network"], held["user"], held["files"]) == ("none", "nobody", "own")
    assert held["level"] == ("isolated" if strict else "confined")


def test_yesterday_s_database_is_refused_by_the_nodes(witnessed: Witnessed) -> None:
    """Restored with its last-signed record, so that governance itself cannot tell."""
    local, folder = witnessed.local, witnessed.local.space.folder
    witnessed.stop_serve()
    for part in ("governance", "log"):
        shutil.copytree(folder / part, folder.parent / "yesterday" / part)
    witnessed.start_serve()
    before = len(read_log(local.space.log_folder))
    for name in ROWS:
        sign_anew(local, name)

    def seen(name: str) -> int:
        state = NodeState.open(load_identity(local.nodes[name].folder).paths.state)
        try:
            last = state.last_seen()
        finally:
            state.close()
        return last.size if last else 0

    wait_for(
        "each node to see today's head",
        lambda: all(seen(name) >= before + len(ROWS) for name in ROWS),
        timeout_s=60,
    )
    witnessed.stop_serve()
    for part in ("governance", "log"):
        shutil.rmtree(folder / part)
        shutil.copytree(folder.parent / "yesterday" / part, folder / part)
    witnessed.start_serve()
    nodes = local.nodes.values()
    wait_for(
        "each node to keep evidence",
        lambda: all(read_evidence(node.folder / "evidence") for node in nodes),
        timeout_s=60,
    )
    for node in nodes:
        (kept,) = read_evidence(node.folder / "evidence")
        assert (kept.record.kind, kept.record.came_size) == ("rollback", before)
        wait_for(
            "ForkSeen in the node's own log",
            lambda node=node: [  # type: ignore[misc]
                entry for entry in read_log(node.folder / "log") if entry.type == "ForkSeen"
            ],
            timeout_s=10,
        )
        status = witnessed.tds("node", "status", "--node", str(node.folder), "--json")
        assert json.loads(status.stdout)["forks"][0]["kind"] == "rollback"
    wait_for(
        "governance to say so",
        lambda: "refuses this log (rollback)" in local.processes["serve"].output(),
        timeout_s=20,
    )
    verify_folder(local.space.log_folder, verifier_key=load_space(folder).card.log_key)
