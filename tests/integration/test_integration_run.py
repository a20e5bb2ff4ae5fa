"""A governed run with real processes, and what an auditor makes of its log."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from integration_governed import REFUSED, ROUNDS, ROWS, Governed
from integration_space import names, of_run, read_log

from auditors.shares import replay_log
from auditors.snapshot import Snapshot
from auditors.verify import verify_folder
from clients.identity import load_identity
from clients.state import NodeState
from commands.children import python
from ledger.log import Log
from policies.entries import parse_entry

pytestmark = pytest.mark.process

PERMITTED = set(ROWS) - {REFUSED}


def test_the_run_completed_all_rounds(governed: Governed) -> None:
    assert (governed.run.state, governed.run.reason) == ("COMPLETED", "all rounds are closed")
    entries = read_log(governed.local.space.log_folder)
    closes = of_run(entries, governed.run.run, "RoundClosed")
    assert [(e.body["kind"], e.body["round"], e.body["quorum_met"]) for e in closes] == [
        *(("train", number, True) for number in range(1, ROUNDS + 1)),
        ("evaluate", ROUNDS + 1, True),
    ]
    assert all(names(e.body["accepted"]) == PERMITTED for e in closes)
    assert all(e.body["left_out"] == [] for e in closes)


def test_closes_are_chained_and_each_round_starts_from_the_model_before(
    governed: Governed,
) -> None:
    entries = read_log(governed.local.space.log_folder)
    run = governed.run.run
    at = [i for i, e in enumerate(entries) if e.type == "RoundClosed" and e.body["run"] == run]
    assert [entries[i].body["previous"] for i in at] == [None, *at[:-1]]
    models = [entries[i].body["model"] for i in at]
    asked = [e.body["model"] for e in of_run(entries, run, "RoundDecided")]
    assert asked[1:] == models[:-1]
    assert models[-1] == models[-2] == governed.run.model
    kept = governed.local.space.consumer_folder / "models"
    assert {f"{digest}.safetensors" for digest in models} <= {p.name for p in kept.iterdir()}


def test_every_permit_stands_right_after_its_decision_and_names_no_refused(
    governed: Governed,
) -> None:
    entries = read_log(governed.local.space.log_folder)
    permits = [i for i, e in enumerate(entries) if e.type == "PermitIssued"]
    assert len(permits) == ROUNDS + 1
    for index in permits:
        decided, permit = entries[index - 1], entries[index]
        assert decided.type == "RoundDecided"
        assert permit.body["decision"] == decided.body["digest"]
        assert names(permit.body["cohort"]) == PERMITTED


def test_the_refused_enterprise_is_told_why_and_used_nothing(governed: Governed) -> None:
    entries = read_log(governed.local.space.log_folder)
    for decided in of_run(entries, governed.run.run, "RoundDecided"):
        verdicts = {v["participant"]: v for v in decided.body["decision"]["verdicts"]}
        assert not verdicts[REFUSED]["permitted"]
        [reason] = verdicts[REFUSED]["reasons"]
        assert reason["code"] == "purpose-not-allowed"
        assert "diagnosis-support" in reason["text"]
        assert "drug-safety" in reason["text"]
    own = read_log(governed.local.nodes[REFUSED].folder / "log")
    assert [e.type for e in own if e.type.startswith("Use")] == []


def test_receipts_tell_the_rows_that_were_there(governed: Governed) -> None:
    entries = read_log(governed.local.space.log_folder)
    for accepted in of_run(entries, governed.run.run, "ReceiptAccepted"):
        rows = ROWS[accepted.body["participant"]]
        used, held_back = accepted.body["rows_used"], accepted.body["rows_held_back"]
        assert held_back > 0
        if accepted.body["kind"] == "train":
            assert used + held_back == rows
        else:
            assert used == 0


@pytest.mark.parametrize("name", sorted(PERMITTED))
def test_a_nodes_own_log_agrees_with_the_spaces(governed: Governed, name: str) -> None:
    own_folder = governed.local.nodes[name].folder
    signer = load_identity(own_folder).log_signer
    verify_folder(own_folder / "log", verifier_key=signer.verifier_key)
    own = read_log(own_folder / "log")
    entries = read_log(governed.local.space.log_folder)
    accepted = of_run(entries, governed.run.run, "ReceiptAccepted", participant=name)
    receipted = [e.body["receipt"] for e in own if e.type == "UseReceipted"]
    assert [r["permit_id"] for r in receipted] == [a.body["permit_id"] for a in accepted]
    assert [r["update"] for r in receipted] == [a.body["update"] for a in accepted]


def test_the_log_verifies_against_what_every_node_saw(governed: Governed) -> None:
    folder = governed.local.space.log_folder
    seen = [note for name in PERMITTED if (note := _last_seen(governed, name))]
    assert len(seen) == len(PERMITTED)
    verified = verify_folder(folder, verifier_key=governed.key, seen=seen)
    assert verified.size == len(read_log(folder))
    assert replay_log(folder, jobs=1).violations == ()


# -- `tds audit verify` on copies ----------------------------------------------------------------


@pytest.fixture
def copy(governed: Governed, tmp_path: Path) -> Path:
    """A copy of the log's folder, to damage."""
    return shutil.copytree(governed.local.space.log_folder, tmp_path / "log")


def test_audit_verify_of_the_log_as_it_is(governed: Governed, copy: Path) -> None:
    done = _audit(governed, copy, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["size"] == len(read_log(copy))


@pytest.mark.parametrize("place", [0.0, 0.9])
def test_audit_verify_names_the_entry_with_a_changed_byte(
    governed: Governed, copy: Path, place: float
) -> None:
    snapshot = Snapshot.take(copy)
    lines = list(snapshot.lines())
    index = int(place * len(lines))
    changed = bytearray(lines[index])
    changed[len(changed) // 2] ^= 1
    for bundle in copy.glob("tile/entries/**/*"):
        if bundle.is_file():
            bundle.write_bytes(bundle.read_bytes().replace(lines[index], bytes(changed)))
    done = _audit(governed, copy)
    assert done.returncode == 3
    assert f"entry {index}" in done.stderr
    assert "Traceback" not in done.stderr


def test_audit_verify_of_dropped_entries_under_the_newest_checkpoint(
    governed: Governed, copy: Path
) -> None:
    _roll_back(governed, copy, entries=3)
    shutil.copy(governed.local.space.log_folder / "checkpoint", copy / "checkpoint")
    done = _audit(governed, copy)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_audit_verify_of_a_log_rolled_back_whole_against_what_a_node_saw(
    governed: Governed, copy: Path, tmp_path: Path
) -> None:
    """Within itself such a folder holds; only somebody else's checkpoint tells."""
    _roll_back(governed, copy, entries=12)
    assert _audit(governed, copy).returncode == 0
    note = tmp_path / "seen.txt"
    note.write_text(_last_seen(governed, "north"), encoding="utf-8")
    done = _audit(governed, copy, "--seen", str(note))
    assert done.returncode == 3
    assert "rolled back" in done.stderr


def test_audit_verify_of_an_intact_log_that_tells_of_a_use_without_a_permit(
    governed: Governed, tmp_path: Path
) -> None:
    """The operator, who holds the log's key, left a permit out: intact, and yet a broken rule."""
    lines = Snapshot.take(governed.local.space.log_folder).lines()
    kept = [line for line in lines if parse_entry(line).type != "PermitIssued"]
    with Log.open(
        folder=tmp_path / "log",
        database=tmp_path / "ledger.db",
        last_signed=tmp_path / "last-signed",
        signer=governed.local.space.log_signer(),
    ) as log:
        log.append(kept)
    assert _audit(governed, tmp_path / "log").returncode == 0
    done = _audit(governed, tmp_path / "log", command="replay")
    assert done.returncode == 4
    first = next(i for i, line in enumerate(kept) if parse_entry(line).type == "ReceiptAccepted")
    assert f"entry {first} breaks a rule" in done.stdout


def _last_seen(governed: Governed, name: str) -> str:
    state = NodeState.open(load_identity(governed.local.nodes[name].folder).paths.state)
    try:
        seen = state.last_seen()
    finally:
        state.close()
    return "" if seen is None else seen.note


def _audit(
    governed: Governed, folder: Path, *more: str, command: str = "verify"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python("-m", "commands", "audit", command, str(folder), "--key", governed.key, *more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "1000"},  # messages are not wrapped
    )


def _roll_back(governed: Governed, folder: Path, *, entries: int) -> None:
    """The folder as the log could have signed it before its last entries."""
    kept = list(Snapshot.take(folder).lines())[:-entries]
    shutil.rmtree(folder)
    with Log.open(
        folder=folder,
        database=folder.parent / "again.db",
        last_signed=folder.parent / "again-last-signed",
        signer=governed.local.space.log_signer(),
    ) as log:
        log.append(kept)
