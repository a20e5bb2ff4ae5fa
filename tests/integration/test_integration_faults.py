"""Processes killed and consents withdrawn in the middle of a run, with real processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import httpx
import pytest
from integration_faulty import ROWS, SLOW, Faulty
from integration_space import (
    alive,
    ended,
    names,
    of_run,
    read_log,
    running_child,
    sandbox_child,
    wait_for,
)

from auditors.shares import replay_log
from auditors.verify import verify_folder
from clients.identity import load_identity
from clients.owner import open_owner
from clients.state import NodeState, Use
from commands.children import python
from policies.entries import Entry

pytestmark = pytest.mark.process

OTHERS = set(ROWS) - {SLOW}


def test_a_node_killed_in_training_costs_a_round_its_deadline_at_most(faulty: Faulty) -> None:
    consents = faulty.consents()
    deadline_s = 8
    run = faulty.open(consents, rounds=2, deadline_s=deadline_s, slow_ms=60_000).run
    faulty.wait(faulty.own_log(SLOW), run, "UseStarted", round=1)
    running_child(_pid(faulty))
    faulty.kill(SLOW)

    faulty.wait(faulty.log, run, "RoundClosed", round=1)
    closed = _one(faulty, run, "RoundClosed", round=1)
    assert _seconds(_one(faulty, run, "RoundDecided", round=1), closed) < 30  # trains for 60 s
    assert names(closed.body["accepted"]) == OTHERS
    [left_out] = closed.body["left_out"]
    assert (left_out["participant"], left_out["code"]) == (SLOW, "no-reply")
    assert left_out["text"] == "no reply within 8 s"
    assert closed.body["quorum_met"] is True

    # It starts again while the run goes on without it.
    faulty.local.start_nodes([SLOW])
    assert ended(faulty.local, run).state == "COMPLETED"
    assert len(of_run(read_log(faulty.log), run, "RoundClosed", quorum_met=True)) == 3

    # What it had begun is used up and told, not forgotten.
    [first] = [use for use in _uses(faulty, run) if use.round == 1]
    assert first.outcome == "stopped"
    permit_id = of_run(read_log(faulty.log), run, "PermitIssued", round=1)[0].body["id"]
    assert first.permit_id == permit_id
    own = read_log(faulty.own_log(SLOW))
    [failed] = [e for e in own if e.type == "UseFailed" and e.body["permit_id"] == permit_id]
    assert failed.body["text"] == "the node stopped during this use; nothing of it left"
    assert _counted(faulty, consents[SLOW]) == len(_uses(faulty, run))

    # It takes part again.
    again = faulty.open(consents, rounds=1, deadline_s=20, slow_ms=0).run
    assert ended(faulty.local, again).state == "COMPLETED"
    for close in of_run(read_log(faulty.log), again, "RoundClosed"):
        assert names(close.body["accepted"]) == set(ROWS)
    assert _counted(faulty, consents[SLOW]) == len(_uses(faulty, run)) + 2
    _verify(faulty)


def test_withdrawal_ends_the_running_child_and_nothing_of_it_leaves(faulty: Faulty) -> None:
    consents = faulty.consents()
    run = faulty.open(consents, rounds=2, deadline_s=60, slow_ms=600_000).run
    faulty.wait(faulty.own_log(SLOW), run, "UseStarted", round=1)
    child = running_child(_pid(faulty))

    node = replace(faulty.local.nodes[SLOW], agreement=consents[SLOW])
    assert node.withdraw("the board decided otherwise").told
    wait_for("the app's process to end", lambda: not alive([child]), timeout_s=20)
    assert sandbox_child(_pid(faulty)) is None

    assert ended(faulty.local, run).state == "COMPLETED"
    entries = read_log(faulty.log)
    closed = _one(faulty, run, "RoundClosed", round=1)
    assert _seconds(_one(faulty, run, "RoundDecided", round=1), closed) < 30
    assert names(closed.body["accepted"]) == OTHERS
    [left_out] = closed.body["left_out"]
    assert (left_out["participant"], left_out["code"]) == (SLOW, "consent-withdrawn")
    assert of_run(entries, run, "ReceiptAccepted", participant=SLOW) == []
    [refused] = of_run(entries, run, "ReceiptRefused", participant=SLOW)
    assert (refused.body["round"], refused.body["code"]) == (1, "consent-withdrawn")

    # No permit after the withdrawal names it, and each decision says why.
    at = next(
        i
        for i, e in enumerate(entries)
        if e.type == "ConsentWithdrawn" and e.body["agreement"] == consents[SLOW]
    )
    after = entries[at:]
    assert len(of_run(after, run, "PermitIssued")) == 2
    for permit in of_run(after, run, "PermitIssued"):
        assert names(permit.body["cohort"]) == OTHERS
    for decided in of_run(after, run, "RoundDecided"):
        verdicts = {v["participant"]: v for v in decided.body["decision"]["verdicts"]}
        assert [r["code"] for r in verdicts[SLOW]["reasons"]] == ["consent-withdrawn"]

    # The owner's own log tells the same.
    own = read_log(faulty.own_log(SLOW))
    permit_id = refused.body["permit_id"]
    [failed] = [e for e in own if e.type == "UseFailed" and e.body["permit_id"] == permit_id]
    assert failed.body["code"] == "consent-withdrawn"
    assert [e.body["agreement"] for e in own if e.type == "Withdrawn"][-1] == consents[SLOW]
    assert [use.outcome for use in _uses(faulty, run)] == ["withdrawn"]
    _verify(faulty)


def test_withdrawal_in_the_console_ends_the_use_and_the_next_round_does_without(
    faulty: Faulty,
) -> None:
    consents = faulty.consents()
    with visiting(faulty) as owner:
        run = faulty.open(consents, rounds=2, deadline_s=60, slow_ms=600_000).run
        faulty.wait(faulty.own_log(SLOW), run, "UseStarted", round=1)
        child = running_child(_pid(faulty))
        asked = owner.get("/consent/withdraw", params={"agreement": consents[SLOW]})
        form = dict(re.findall(r'name="(csrf|agreement)" value="([^"]+)"', asked.text))
        filed = owner.post("/consent/withdraw", data=form)
        assert filed.status_code == 303, filed.text
        wait_for("the app's process to end", lambda: not alive([child]), timeout_s=20)

        entry = filed.headers["location"].rpartition("=")[2]
        told: list[httpx.Response] = []

        def settled() -> bool:
            told.append(owner.get("/consent/effect", params={"entry": entry}))
            return told[-1].status_code == 286

        wait_for("the page to show the refusal", settled, timeout_s=30)
        assert "round 2 was decided without your product" in told[-1].text
        assert "its consent was withdrawn" in told[-1].text
        assert "the use that was under way was left out" in told[-1].text

    assert ended(faulty.local, run).state == "COMPLETED"
    entries = read_log(faulty.log)
    withdrawn = entries[int(entry)]
    assert (withdrawn.type, withdrawn.body["agreement"]) == ("ConsentWithdrawn", consents[SLOW])
    assert names(_one(faulty, run, "RoundClosed", round=1).body["accepted"]) == OTHERS
    [refused] = of_run(entries, run, "ReceiptRefused", participant=SLOW)
    assert (refused.body["round"], refused.body["code"]) == (1, "consent-withdrawn")

    # The node has it as its owner's own act: the same id in both logs, and in its status.
    own = [e for e in read_log(faulty.own_log(SLOW)) if e.type == "Withdrawn"]
    assert own[-1].body["withdrawal"] == withdrawn.body["withdrawal"]
    with open_owner(faulty.local.nodes[SLOW].folder) as node:
        status = node.status()
    assert status.untold == []
    assert {one.id for one in status.agreements if one.withdrawn} >= {consents[SLOW]}
    assert [use.outcome for use in _uses(faulty, run)] == ["withdrawn"]
    _verify(faulty)


@contextmanager
def visiting(faulty: Faulty) -> Iterator[httpx.Client]:
    """A browser in which the slow node's owner is signed in."""
    node = faulty.local.nodes[SLOW].folder
    command = python("-m", "commands", "node", "console-link", "--node", str(node), "--json")
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    link = json.loads(made.stdout)
    assert link["withdrawals"] >= 1
    base, _, code = link["url"].partition("/enter/")
    with httpx.Client(base_url=base, trust_env=False, timeout=20) as browser:
        assert browser.post("/enter", data={"code": code}).status_code == 303
        yield browser


def test_a_killed_serverapp_is_resumed_from_the_last_closed_round(faulty: Faulty) -> None:
    consents = faulty.consents()
    run = faulty.open(consents, rounds=2, deadline_s=20, slow_ms=3_000).run
    faulty.wait(faulty.own_log(SLOW), run, "UseStarted", round=2)
    serverapps = faulty.serverapps()
    assert len(serverapps) == 1
    serverapps[0].send_signal(signal.SIGKILL)
    wait_for("the ServerApp to end", lambda: not alive(serverapps), timeout_s=20)

    with faulty.local.consumer() as consumer:
        assert consumer.get_run(run).closed_rounds == 1
        consumer.resume_run(run)
    assert ended(faulty.local, run).state == "COMPLETED"
    _check_resumed(faulty, run, closed=1, rounds=2)
    _verify(faulty)


def test_a_killed_serve_is_started_again_and_the_run_resumed(faulty: Faulty) -> None:
    """With governance die the SuperLink and the ServerApp; the nodes wait and come back."""
    consents = faulty.consents()
    run = faulty.open(consents, rounds=2, deadline_s=20, slow_ms=3_000).run
    faulty.wait(faulty.own_log(SLOW), run, "UseStarted", round=2)
    kept = read_log(faulty.log)
    faulty.kill("serve")
    faulty.start_serve()

    with faulty.local.consumer() as consumer:
        assert consumer.get_run(run).closed_rounds == 1
        wait_for("the nodes", lambda: faulty.online() == set(ROWS), timeout_s=30)
        consumer.resume_run(run)
    assert ended(faulty.local, run).state == "COMPLETED"
    assert read_log(faulty.log)[: len(kept)] == kept
    _check_resumed(faulty, run, closed=1, rounds=2)
    _verify(faulty)


def _check_resumed(faulty: Faulty, run: str, *, closed: int, rounds: int) -> None:
    """Closed rounds were kept, the open one abandoned, and its place taken with the same model."""
    entries = read_log(faulty.log)
    [resumed] = of_run(entries, run, "RunResumed")
    assert resumed.body["closed_rounds"] == closed
    closes = of_run(entries, run, "RoundClosed")
    assert [e.body["round"] for e in closes] == list(range(1, rounds + 2))
    attempts = of_run(entries, run, "RoundDecided", round=closed + 1)
    assert [e.body["attempt"] for e in attempts] == [1, 2]
    assert {e.body["model"] for e in attempts} == {closes[closed - 1].body["model"]}
    assert attempts[0].body["flower_run"] != attempts[1].body["flower_run"]
    permits = of_run(entries, run, "PermitIssued", round=closed + 1)
    [abandoned] = of_run(entries, run, "RoundAbandoned")
    assert abandoned.body["permit_id"] == permits[0].body["id"]
    assert closes[closed].body["permit_id"] == permits[1].body["id"]
    order = [entries.index(e) for e in (attempts[0], resumed, abandoned, attempts[1])]
    assert order == sorted(order)


def _verify(faulty: Faulty) -> None:
    """The space's log holds against what every node saw of it, as do the nodes' own logs."""
    seen = []
    for node in faulty.local.nodes.values():
        identity = load_identity(node.folder)
        verify_folder(node.folder / "log", verifier_key=identity.log_signer.verifier_key)
        state = NodeState.open(identity.paths.state)
        last = state.last_seen()
        state.close()
        assert last is not None
        seen.append(last.note)
    key = faulty.local.space.card.log_key
    verify_folder(faulty.log, verifier_key=key, seen=seen)
    assert replay_log(faulty.log, jobs=1).violations == ()


def _pid(faulty: Faulty) -> int:
    return faulty.local.processes[SLOW].process.pid


def _one(faulty: Faulty, run: str, kind: str, **fields: object) -> Entry:
    [entry] = of_run(read_log(faulty.log), run, kind, **fields)
    return entry


def _seconds(first: Entry, last: Entry) -> float:
    begun, done = (datetime.fromisoformat(entry.time) for entry in (first, last))
    return (done - begun).total_seconds()


def _uses(faulty: Faulty, run: str) -> list[Use]:
    state = NodeState.open(load_identity(faulty.local.nodes[SLOW].folder).paths.state)
    try:
        return [use for use in state.uses(limit=100) if use.run == run]
    finally:
        state.close()


def _counted(faulty: Faulty, agreement: str) -> int:
    state = NodeState.open(load_identity(faulty.local.nodes[SLOW].folder).paths.state)
    try:
        record = state.agreement(agreement)
    finally:
        state.close()
    assert record is not None
    return record.uses
