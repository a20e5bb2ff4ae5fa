"""`tds node subject`, as an owner calls it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from commands_site import Tds

from clients.consent import Subjects
from clients.identity import load_identity
from clients.records import SeenCheckpoint, Use
from clients.rolls import codes_of, packed_states, roll_id, roll_of, subject_key
from clients.state import NodeState
from clients.used_rows import UseRows
from commands.node_wiring import now
from policies.account import Amounts
from policies.canonical import sha256_hex
from policies.fields import instant
from policies.privacy_loss import NO_LOSSES, UNBOUNDED

P = "medical-research"


def use(state: NodeState, salt: bytes, number: int, whose: list[str], states: list[int]) -> None:
    """A use of the product that the site has, of such rows, or of none."""
    [agreement] = state.agreements()
    permit = f"permit-{number:032x}"
    begun = Use(
        permit_id=permit,
        permit=sha256_hex(permit.encode()),
        agreement=agreement.id,
        product=agreement.product,
        app="a" * 64,
        run="run-1",
        round=number,
        started=instant(now() + timedelta(seconds=number)),
        expires=instant(now()),
    )
    state.approve_app("a" * 64, time=instant(now()))
    seen = SeenCheckpoint(number, bytes(32), "note")
    state.begin_use(
        begun,
        reserved=Amounts(1, 1, UNBOUNDED),
        expected_uses=number - 1,
        expected_losses=NO_LOSSES,
        seen=seen,
    )
    state.finish_use(permit, "receipted" if states else "failed", used_s=1 if states else None)
    if not states:
        return
    key, subjects = subject_key(salt), Subjects.of(np.array(whose, dtype=object))
    codes = codes_of(np.array(states, dtype=np.uint8), subjects, np.full(9, 2, np.uint8))
    packed, roll = packed_states(key, codes), roll_of(key, roll_id(key, subjects), subjects)
    rows = UseRows(permit, "of-subjects", "train", P, begun.started, "c" * 64, roll.id, packed.id)
    state.keep_rows(rows, roll=roll, states=packed)


@pytest.fixture
def used(desk: Path) -> Path:
    """The desk, whose node has three uses: of p1 and p2, of p2 with p1 left out, of nothing."""
    identity = load_identity(desk / "clinic")
    state = NodeState.open(identity.paths.state)
    use(state, identity.keys.salt, 1, ["p1", "p2", "p1"], [1, 1, 2])
    use(state, identity.keys.salt, 2, ["p1", "p2", "p1"], [0, 1, 0])
    use(state, identity.keys.salt, 3, [], [])
    state.close()
    return desk


def test_the_uses_of_a_subject(tds: Tds, used: Path) -> None:
    ran = tds("node", "subject", "p1", "--node", "clinic", "--json")
    assert ran.code == 0, ran.err
    told = ran.json()
    names = ("run", "round", "rows", "trained_on", "evaluated_on", "left_out", "why")
    assert [[one[name] for name in names] for one in told["uses"]] == [
        ["run-1", 1, 2, 1, 1, 0, ""],
        ["run-1", 2, 2, 0, 0, 2, "withdrawn"],
    ]
    assert (told["uses_of_no_rows"], told["uses_of_other_data"], told["not_known"]) == (1, 0, [])
    shown = tds("node", "subject", "p1", "--node", "clinic").out
    assert "1 uses in 1 runs had rows of this subject" in shown
    assert "1 uses ended before a row was read" in shown
    absent = tds("node", "subject", "p9", "--node", "clinic").out
    assert "0 uses in 0 runs" in absent
    assert "2 uses were of data without a row of this subject" in absent


def test_no_proof_is_written_that_fits_no_receipt(tds: Tds, used: Path) -> None:
    ran = tds("node", "subject", "p1", "--node", "clinic", "--prove", "proof.json")
    assert ran.code == 1
    assert "expected rows that fit the receipt's commitment" in " ".join(ran.err.split())
    assert not (used / "proof.json").exists()


def test_a_subject_is_needed(tds: Tds, desk: Path) -> None:
    assert tds("node", "subject", "", "--node", "clinic").code == 2
