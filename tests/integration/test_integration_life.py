"""The life of nodes with real processes: started before their space, left by it, found again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from integration_faulty import ROWS, SLOW, Faulty
from integration_space import ended, names, of_run, read_log, wait_for

from auditors.shares import replay_log
from clients.files import replace_file
from clients.identity import load_identity
from clients.renewal import Validity
from clients.rotation import begin
from clients.state import NodeState
from commands.children import python
from commands.node_wiring import now
from server.pki import CLIENT_VALID, Identity, issue_client

pytestmark = pytest.mark.process

WAITING = "\nwaiting for the SuperLink: SuperLink"
BACK = "the SuperLink is there again after"


def test_nodes_started_before_their_space_join_when_it_is_there(faulty: Faulty) -> None:
    for name in (*ROWS, "serve"):
        faulty.kill(name)
    start(faulty)
    for name in ROWS:
        wait_for(f"{name} to wait", partial(said, faulty, name, WAITING), timeout_s=60)
        assert "connected" not in output(faulty, name)

    faulty.start_serve()
    for name in ROWS:
        wait_for(f"{name} to join", partial(said, faulty, name, "connected"), timeout_s=60)
    serve_a_round(faulty)
    for name in ROWS:
        lines = output(faulty, name)
        assert (lines.count(WAITING), lines.count(BACK)) == (1, 1), lines
        assert lines.count("waiting for governance: ") == 1, lines


def test_a_superlink_that_lost_its_database_lets_the_nodes_in_again(faulty: Faulty) -> None:
    """It forgot their keys; `tds serve` tells it anew, and the nodes come back under other ids."""
    faulty.kill("serve")
    for left in faulty.database.parent.glob("flower.db*"):
        left.unlink()
    faulty.start_serve()
    wait_for("the nodes", lambda: faulty.online() == set(ROWS), timeout_s=60)
    serve_a_round(faulty)
    assert all(faulty.local.processes[name].process.poll() is None for name in ROWS)


def test_a_running_node_renews_its_certificate_and_goes_on(faulty: Faulty) -> None:
    faulty.kill(SLOW)
    hold(faulty, since=timedelta(days=300))
    faulty.local.start_nodes([SLOW])
    renewed = f"certificate renewed until {now() + CLIENT_VALID:%Y-%m-%d}"
    wait_for("the renewal", partial(said, faulty, SLOW, renewed), timeout_s=30)
    assert days_left(faulty) == CLIENT_VALID.days - 1
    serve_a_round(faulty)


def test_an_expired_node_says_what_to_do_and_a_new_join_file_heals_it(
    faulty: Faulty, tmp_path: Path
) -> None:
    faulty.kill(SLOW)
    hold(faulty, since=timedelta(days=400))
    node, join = faulty.local.nodes[SLOW], tmp_path / "again.join"
    ran = tds("node", "run", "--node", str(node.folder))
    assert ran.returncode == 1
    assert "tds space invite --again" in " ".join(ran.stderr.split())

    space = str(faulty.local.space.folder)
    invite = ("space", "invite", "--again", "--participant", node.participant, "--space", space)
    assert tds(*invite, "--out", str(join)).returncode == 0
    renewed = tds("node", "renew", "--node", str(node.folder), "--join", str(join))
    assert renewed.returncode == 0, renewed.stderr
    assert days_left(faulty) == CLIENT_VALID.days - 1
    faulty.local.start_nodes([SLOW])

    # While the certificate holds, no operator is needed.
    again = tds("node", "renew", "--node", str(node.folder))
    assert again.returncode == 0, again.stderr
    doctor = tds("node", "doctor", "--node", str(node.folder), "--json")
    checks = json.loads(doctor.stdout)["checks"]
    assert checks["certificate"].startswith("ok, 364 days left")
    assert checks["governance's certificate"].startswith("ok, 824 days left")
    assert checks["SuperLink's certificate"].startswith("ok, 824 days left")
    assert checks["space's CA"].startswith("ok, 365")
    serve_a_round(faulty)


def test_a_new_key_counts_from_its_entry_on(faulty: Faulty) -> None:
    """A round before and one after it; the log replays, and agrees with the node's own."""
    node = faulty.local.nodes[SLOW]
    before = load_identity(node.folder).receipt_key_id
    serve_a_round(faulty)
    refused = tds("node", "rotate", "--node", str(node.folder))
    assert refused.returncode == 1
    assert "stop it, change the key, start it again" in " ".join(refused.stderr.split())

    faulty.kill(SLOW)
    rotated = tds("node", "rotate", "--node", str(node.folder))
    assert rotated.returncode == 0, rotated.stderr
    faulty.local.start_nodes([SLOW])
    after = load_identity(node.folder).receipt_key_id
    assert before != after
    assert serve_a_round(faulty) == {after}
    check_logs(faulty)


def test_a_key_change_that_was_cut_off_is_finished_when_governance_is_there(
    faulty: Faulty,
) -> None:
    for name in (SLOW, "serve"):
        faulty.kill(name)
    identity = load_identity(faulty.local.nodes[SLOW].folder)
    state = NodeState.open(identity.paths.state)
    begin(identity, state, now=now())
    state.close()

    start(faulty, [SLOW])
    waiting = "waiting for governance: a change of this node's key has to be finished first"
    wait_for("the node to wait", partial(said, faulty, SLOW, waiting), timeout_s=60)
    faulty.start_serve()
    wait_for("the node", partial(said, faulty, SLOW, "connected"), timeout_s=60)
    assert load_identity(identity.paths.root).receipt_key_id != identity.receipt_key_id
    serve_a_round(faulty)
    check_logs(faulty)


def check_logs(faulty: Faulty) -> None:
    """An auditor can replay the space's log, and the node's own log agrees with it."""
    assert replay_log(faulty.log, jobs=1).violations == ()
    node = faulty.local.nodes[SLOW].folder
    ran = tds("node", "reconcile", "--node", str(node), "--log", str(faulty.log), "--json")
    differences = json.loads(ran.stdout)["differences"]
    # What other tests' kills cost stands there too; keys and receipts must agree.
    kinds = {one["kind"] for one in differences}
    assert kinds <= {"permit-never-seen", "receipt-not-logged"}, differences


def hold(faulty: Faulty, *, since: timedelta) -> None:
    """Let the node have a certificate that its space issued so long ago."""
    local = faulty.local
    identity = load_identity(local.nodes[SLOW].folder)
    who = Identity(
        space=local.space.card.name, role="node", participant=local.nodes[SLOW].participant
    )
    key = identity.keys.tls.public_key()
    issued = issue_client(local.space.authority(), key, who, now=now() - since)
    replace_file(identity.paths.key("tls.crt"), issued)


def days_left(faulty: Faulty) -> int:
    held = load_identity(faulty.local.nodes[SLOW].folder).certificate_pem
    return Validity.of(held).days_left(now())


def tds(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command's end."""
    return subprocess.run(
        python("-m", "commands", *arguments),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start(faulty: Faulty, nodes: Iterable[str] = ROWS) -> None:
    """Start nodes and wait for none of them."""
    local = faulty.local
    for name in nodes:
        folder = local.nodes[name].folder
        command = python("-m", "commands", "node", "run", "--node", str(folder))
        env = {"PYTHONUNBUFFERED": "1"}
        local.processes[name] = local.children.start(f"node-{name}", command, env=env)


def output(faulty: Faulty, name: str) -> str:
    return faulty.local.processes[name].output()


def said(faulty: Faulty, name: str, line: str) -> bool:
    return line in output(faulty, name)


def serve_a_round(faulty: Faulty) -> set[str]:
    """All of them are accepted in every round of a new run; returns the slow one's keys in it."""
    run = faulty.open(faulty.consents(), rounds=1, deadline_s=60, slow_ms=0).run
    assert ended(faulty.local, run, timeout_s=240).state == "COMPLETED"
    entries = read_log(faulty.log)
    closes = of_run(entries, run, "RoundClosed")
    assert closes
    for close in closes:
        assert names(close.body["accepted"]) == set(ROWS)
    return {
        member["key"]
        for permit in of_run(entries, run, "PermitIssued")
        for member in permit.body["cohort"]
        if member["participant"] == SLOW
    }
