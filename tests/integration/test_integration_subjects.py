"""A subject withdraws between two rounds of a run with real processes, and all logs agree."""

from __future__ import annotations

import csv
import json
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from integration_space import (
    ALLOWED,
    ended,
    has,
    of_run,
    read_log,
    running_child,
    slow_bundle,
    spec,
    wait_for,
    write_product,
)

from clients.rowset import OpenedRow
from commands.children import python
from commands.localspace import LocalSpace, local_space
from commands.node_consent import consent_withdraw
from policies.canonical import parse_json
from policies.envelope import unverified_payload
from policies.receipt import RECEIPT_TYPE, Receipt

pytestmark = pytest.mark.process

OWNER = "north"
ROWS = 120
EACH = 5  # rows of a subject
LEAVES, STAYS, NEVER = "p-03", "p-04", "p-05"
TRAINED = 3  # rounds; an evaluation follows
WITHDRAWN_IN = 2


@dataclass(frozen=True, slots=True)
class Told:
    """The run, and the space whose processes still run."""

    local: LocalSpace
    run: str

    @property
    def folder(self) -> Path:
        """The owner's node."""
        return self.local.nodes[OWNER].folder

    def receipts(self) -> list[Receipt]:
        """The owner's, as the space's log has them."""
        entries = read_log(self.local.space.log_folder)
        return [
            Receipt.from_json(
                unverified_payload(b64decode(str(one.body["envelope"])), payload_type=RECEIPT_TYPE)
            )
            for one in of_run(entries, self.run, "ReceiptAccepted", participant=OWNER)
        ]


def tds(*words: str) -> subprocess.CompletedProcess[str]:
    """`tds` as a process of its own."""
    return subprocess.run(
        python("-m", "commands", *words), capture_output=True, text=True, timeout=120, check=False
    )


def with_subjects(product: Path) -> Path:
    """Row i is of subject i // EACH; all but one have consented."""
    folder = product.parent
    with (folder / "rows.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    names = [f"p-{number // EACH:02}" for number in range(ROWS)]
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [*row, who] for row, who in zip(rows, ["who", *names], strict=True)
        )
    said = json.loads(product.read_text())
    said["columns"].append({"name": "who", "type": "string", "role": "subject"})
    product.write_text(json.dumps(said | {"subject_consent": "table", "consent": "consents.csv"}))
    lines = [f"{who},{ALLOWED},2026-01-01,,form" for who in sorted(set(names) - {NEVER})]
    header = "subject,purpose,given,withdrawn,evidence"
    (folder / "consents.csv").write_text("\n".join([header, *lines, ""]))
    return product


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The owner withdraws `LEAVES` while its node trains in round `WITHDRAWN_IN`."""
    root = tmp_path_factory.mktemp("subjects")
    with local_space(root, name="tests/subjects") as local:
        local.start()
        bundle = slow_bundle(root / "app")
        app = local.register_app(bundle, "Slow")
        for seed, name in enumerate((OWNER, "south")):
            product, _ = write_product(root / "data" / name, name, rows=ROWS, seed=seed)
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=with_subjects(product) if name == OWNER else product,
                purpose=ALLOWED,
                app=bundle,
            )
        local.start_nodes(local.nodes)
        agreements = [node.agreement for node in local.nodes.values()]
        run = local.open_run(
            spec(app, agreements, rounds=TRAINED, deadline_s=60, slow_ms=6000, slow_rows=1)
        ).run
        began = has(local.nodes[OWNER].folder / "log", run, "UseStarted", round=WITHDRAWN_IN)
        wait_for("the round", began, timeout_s=90)
        running_child(local.processes[OWNER].process.pid)
        # In this process: on a busy machine a new one takes longer than the round.
        consent_withdraw(
            product=f"{OWNER}/rows",
            subject=LEAVES,
            node=local.nodes[OWNER].folder,
            evidence="call of today",
        )
        assert ended(local, run, timeout_s=120).state == "COMPLETED"
        yield Told(local, run)


def test_the_next_receipt_counts_and_commits_to_fewer_rows(told: Told) -> None:
    receipts = told.receipts()
    assert [one.round for one in receipts] == list(range(1, TRAINED + 2))
    assert [one.rows_without_consent for one in receipts] == [EACH, EACH, 2 * EACH, 2 * EACH]
    assert len({one.rows_commitment for one in receipts}) == len(receipts)
    assert len({one.product_commitment for one in receipts}) == 1
    used = [one.rows_used + one.rows_held_back for one in receipts[:TRAINED]]
    assert used == [ROWS - EACH, ROWS - EACH, ROWS - 2 * EACH]


def test_the_owners_log_and_an_auditor_agree(told: Told) -> None:
    log = told.local.space.log_folder
    reconciled = tds("node", "reconcile", "--node", str(told.folder), "--log", str(log), "--json")
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
    assert json.loads(reconciled.stdout)["differences"] == []
    assert json.loads(reconciled.stdout)["both"]["receipts"] == TRAINED + 1
    replayed = tds("audit", "replay", str(log), "--key", told.local.space.card.log_key)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


@pytest.mark.parametrize(
    ("subject", "used", "left_out", "why"),
    [
        (LEAVES, [1, 2], [3, 4], "withdrawn"),
        (STAYS, [1, 2, 3], [], ""),
        (NEVER, [], [1, 2, 3, 4], "not-given"),
    ],
)
def test_the_owner_is_told_exactly_the_rounds_before(
    told: Told, subject: str, used: list[int], left_out: list[int], why: str
) -> None:
    answer = _subject(told, subject)
    assert {one["run"] for one in answer["uses"]} == {told.run}
    assert {one["outcome"] for one in answer["uses"]} == {"receipted"}
    reached = [one["round"] for one in answer["uses"] if one["trained_on"] + one["evaluated_on"]]
    # Whether one of so few rows is held back, for the evaluation, is the node's dice.
    assert [number for number in reached if number <= TRAINED] == used
    assert set(reached).isdisjoint(left_out)
    assert [one["round"] for one in answer["uses"] if one["left_out"] == EACH] == left_out
    assert {one["why"] for one in answer["uses"] if one["left_out"]} <= {why}
    assert (answer["uses_of_no_rows"], answer["not_known"]) == (0, [])


def test_what_opens_the_commitments_says_the_same(told: Told, tmp_path: Path) -> None:
    """The owner shows it; whoever has the space's log holds it against the receipts there."""
    proof = tmp_path / "proof.json"
    _subject(told, LEAVES, "--prove", str(proof))
    text = proof.read_bytes()
    assert LEAVES.encode() not in text
    document: Any = parse_json(text, max_bytes=1 << 20)
    stated = {one.permit_id: one.rows_commitment for one in told.receipts()}
    assert [use["round"] for use in document["uses"]] == [1, 2, 3, 4]
    for use in document["uses"]:
        rows = [OpenedRow.from_json(row) for row in use["rows"]]
        for row in rows:
            row.verify(stated[use["permit_id"]])
        assert {row.state for row in rows} <= ({1, 2} if use["round"] <= WITHDRAWN_IN else {0})
        assert [row.row for row in rows] == [3 * EACH + place for place in range(EACH)]
    log = ("audit", "rows", str(told.local.space.log_folder))
    key = ("--key", told.local.space.card.log_key)
    checked = tds(*log, str(proof), *key, "--json")
    assert checked.returncode == 0, checked.stderr
    shown = json.loads(checked.stdout)
    assert shown["verified"]
    seen = [EACH - one["unseen"] for one in shown["uses"] if one["kind"] == "train"]
    assert seen == [EACH, EACH, 0]
    document["uses"][2]["rows"][0]["state"] = 1
    proof.write_text(json.dumps(document))
    assert tds(*log, str(proof), *key).returncode == 1


def _subject(told: Told, subject: str, *more: str) -> Any:
    done = tds("node", "subject", subject, "--node", str(told.folder), "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
