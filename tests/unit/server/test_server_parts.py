"""A round so large that its decision and its permit are logged in parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_site import CONSUMER, Site

from auditors.shares import replay_log
from ledger.checkpoint import open_checkpoint
from ledger.note import NoteVerifier
from ledger.proofs import verify_inclusion
from ledger.tree import leaf_hash
from policies.entries import parse_entry
from policies.parts import MAX_LINE_BYTES, log_lines

MEMBERS = 400


@pytest.fixture
def large(tmp_path: Path) -> Site:
    site = Site.make(tmp_path / "space")
    site.populate(*(f"enterprise-{n}" for n in range(MEMBERS)))
    return site


def test_a_round_of_four_hundred(large: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = large.open_run()
    before = large.log.size
    answer = large.authorize(run)
    permit = large.permit(answer)
    assert len(permit.body.cohort) == MEMBERS
    lines = large.log.entries(before, large.log.size)
    kinds = [parse_entry(line).type for line in lines]
    assert max(map(len, lines)) <= MAX_LINE_BYTES
    assert kinds.count("EntryWhole") == 2, "the decision and the permit"

    # The permit proves its place: the last line of its entry.
    assert permit.log.index == large.log.size - 1
    assert len(log_lines(permit.body.entry())) > 1
    head = open_checkpoint(permit.log.checkpoint, NoteVerifier.parse(large.space.card.log_key))
    verify_inclusion(
        index=permit.log.index,
        size=head.size,
        leaf=leaf_hash(permit.body.line()),
        proof=[bytes.fromhex(one) for one in permit.log.proof],
        root=head.root,
    )
    node = large.nodes["enterprise-7"]
    assert [one.accepted for one in large.submit(answer, node)] == [True]
    large.close_round(answer)

    # A registry made again from the log, in batches that end within an entry, is the same.
    uses, view = large.uses(), large.governance.runs.get(CONSUMER, run)
    large.close()
    for path in large.space.database.parent.glob("governance.db*"):
        path.unlink()
    monkeypatch.setattr("server.journal._BATCH", 12)
    large.open()
    assert large.uses() == uses
    assert large.governance.runs.get(CONSUMER, run).row == view.row
    large.close()
    assert replay_log(large.space.log_folder, jobs=1).violations == ()
