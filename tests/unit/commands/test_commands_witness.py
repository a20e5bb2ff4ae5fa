"""`tds node reconcile`, `tds space witness-policy`, and forks in `tds node status`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands_site import SPACE, Tds

from clients.evidence import keep_evidence
from clients.identity import load_identity
from clients.records import Fork, SeenCheckpoint
from clients.state import NodeState
from ledger.cosignature import cosigner_of
from ledger.log import Log
from ledger.note import NoteVerifier
from ledger.tlogpolicy import parse_policy
from policies.entries import entry_bytes
from server.space import load_space

TIME = "2026-03-01T12:00:00.000Z"


def test_a_fresh_node_agrees_with_the_log(tds: Tds, desk: Path) -> None:
    ran = tds("node", "reconcile", "--node", "clinic", "--log", "space/log")
    assert (ran.code, ran.err) == (0, "")
    assert "1 agreements" in ran.out and "differences: none" in ran.out
    found = tds("node", "reconcile", "--node", "clinic", "--log", "space/log", "--json").json()
    assert found["both"] == {"permits": 0, "receipts": 0, "withdrawals": 0, "agreements": 1}
    assert found["differences"] == []


def test_a_withdrawal_that_governance_never_heard_of_is_listed(tds: Tds, desk: Path) -> None:
    (agreement,) = tds("node", "status", "--node", "clinic", "--json").json()["agreements"]
    tds("node", "withdraw", agreement["id"], "--node", "clinic")
    ran = tds("node", "reconcile", "--node", "clinic", "--log", "space/log", "--json")
    assert ran.code == 4
    (one,) = ran.json()["differences"]
    assert (one["kind"], one["entry"], one["own_entry"]) == ("withdrawal-not-logged", None, 1)
    table = tds("node", "reconcile", "--node", "clinic", "--log", "space/log")
    assert table.code == 4
    assert "withdrawal-not-logged" in "".join(table.out.split())


def test_a_permit_that_never_came_is_listed(tds: Tds, desk: Path) -> None:
    identity = load_identity(desk / "clinic")
    space = load_space(desk / "space")
    body = {"id": f"permit-{'1' * 32}", "cohort": [{"key": identity.receipt_key_id}]}
    with Log.open(
        folder=space.log_folder,
        database=space.log_database,
        last_signed=space.last_signed,
        signer=space.log_signer(),
    ) as log:
        index = log.append([entry_bytes("PermitIssued", time=TIME, body=body)]).first_index
    ran = tds("node", "reconcile", "--node", "clinic", "--log", "space/log", "--json")
    assert ran.code == 4
    (one,) = ran.json()["differences"]
    assert (one["kind"], one["subject"], one["entry"]) == ("permit-never-seen", body["id"], index)


def test_a_log_that_does_not_hold_ends_with_3(tds: Tds, desk: Path) -> None:
    shutil.copytree("space/log", "copy")
    partial = Path("copy/tile/entries/000.p")
    bundle = max(partial.iterdir(), key=lambda path: int(path.name))
    bundle.write_bytes(bundle.read_bytes().replace(b"clinic", b"cl1nic"))
    ran = tds("node", "reconcile", "--node", "clinic", "--log", "copy")
    assert ran.code == 3
    assert "changed after signing" in ran.err


def test_a_copy_that_is_no_log_ends_with_1(tds: Tds, desk: Path) -> None:
    ran = tds("node", "reconcile", "--node", "clinic", "--log", "clinic-data")
    assert ran.code == 1
    assert "expected a log's folder" in ran.err


def test_forks_are_shown(tds: Tds, desk: Path) -> None:
    assert tds("node", "status", "--node", "clinic", "--json").json()["forks"] == []
    seen = SeenCheckpoint(5, bytes(32), "seen\n")
    fork = Fork("rollback", seen, SeenCheckpoint(3, bytes(32), "came\n"), "it went back")
    kept = keep_evidence(desk / "clinic" / "evidence", fork, time=TIME)
    assert kept is not None
    ran = tds("node", "status", "--node", "clinic")
    assert "NOT TO BE TRUSTED" in ran.out and f"{kept.record.id}-seen.note" in ran.out
    (one,) = tds("node", "status", "--node", "clinic", "--json").json()["forks"]
    assert (one["kind"], one["seen_size"], one["came_size"]) == ("rollback", 5, 3)


def test_a_policy_over_the_nodes(tds: Tds, desk: Path) -> None:
    ran = tds("space", "witness-policy", "--space", "space", "--quorum", "1", "--out", "policy")
    assert ran.code == 0, ran.err
    policy = parse_policy(Path("policy").read_bytes())
    identity = load_identity(desk / "clinic")
    assert policy.keys == (identity.cosigner.verifier,)
    assert policy.keys == (cosigner_of(NoteVerifier.parse(identity.log_signer.verifier_key)),)
    assert [log.verifier.name for log in policy.logs] == [SPACE]
    assert policy.satisfied({identity.cosigner.verifier}) and not policy.satisfied(set())
    status = tds("node", "status", "--node", "clinic", "--json").json()
    assert status["witness_key"] == identity.cosigner.verifier.text
    again = tds("space", "witness-policy", "--space", "space", "--quorum", "1", "--out", "policy")
    assert (again.code, "got one" in again.err) == (2, True)
    shutil.copy("policy", "space/witness-policy")
    assert load_space(desk / "space").witness_policy() == policy


def test_a_policy_that_asks_for_nobody_is_printed(tds: Tds, desk: Path) -> None:
    ran = tds("space", "witness-policy", "--space", "space", "--quorum", "0")
    assert parse_policy(ran.out.encode()).quorum == "none"
    only = tds("space", "witness-policy", "--space", "space", "--quorum", "1", "--node", "clinic")
    assert parse_policy(only.out.encode()).quorum == "nodes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quorum", "2"), "up to the 1 nodes"),
        (("--quorum", "1", "--node", "nobody"), "expected an enrolled node, got nobody"),
        (("--quorum", "-1"), "-1"),
    ],
)
def test_a_policy_that_cannot_be_met_is_not_written(
    tds: Tds, desk: Path, arguments: tuple[str, ...], message: str
) -> None:
    ran = tds("space", "witness-policy", "--space", "space", *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_the_last_checkpoint_seen_binds_the_copy(tds: Tds, desk: Path) -> None:
    state = NodeState.open(desk / "clinic" / "state.db")
    state.keep_seen(SeenCheckpoint(1000, bytes(32), "note"))
    state.close()
    ran = tds("node", "reconcile", "--node", "clinic", "--log", "space/log")
    assert ran.code == 1
    assert "rolled back" in ran.err
