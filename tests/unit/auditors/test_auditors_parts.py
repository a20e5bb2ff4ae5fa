"""A replay of entries that were logged in parts: what follows at once follows whole entries.

Lines are made so short here that decisions, permits and receipts take several; a round of four
hundred does the same with lines of 64 KiB (`test_server_parts`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from replay_log_site import (
    Keys,
    Story,
    change,
    copied,
    faults,
    keys_of,
    lines_of,
    open_run,
    places,
    read,
    relinked,
    space,
    whole_round,
    write,
    write_lines,
)

from auditors.shares import replay_log
from auditors.snapshot import Snapshot
from policies import parts
from policies.entries import parse_entry


@pytest.fixture(autouse=True)
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_LINE_BYTES", 1_650)
    monkeypatch.setattr(parts, "_PART_CHARS", 250)
    monkeypatch.setattr(parts, "_MAX_PARTS", 1_000)


@pytest.fixture
def honest(tmp_path: Path) -> tuple[Story, Keys]:
    with space(tmp_path / "space") as site:
        for name in ("delta", "epsilon", "zeta"):
            node = site.enrol(name)
            site.add_product(node)
            site.agree(node)
        run = open_run(site, agreements=[node.agreement for node in site.nodes.values()])
        site.authorize(run, "abandoned")
        for request in ("first", "second", "evaluation"):
            whole_round(site, run, request, without="gamma")
        whole = [parse_entry(line) for _, line in Snapshot.take(site.space.log_folder).entries()]
        lines = [parse_entry(line).type for line in site.log.entries(0, site.log.size)]
        parted = Counter(one.type for one in whole) - Counter(lines)
        assert {"RoundDecided", "PermitIssued", "ReceiptAccepted", "ReportsMade"} <= parted.keys()
        return read(site), keys_of(site)


def place(story: Story, at: int) -> int:
    """The index of an entry's last line."""
    return len(lines_of(story[: at + 1])) - 1


def test_an_honest_log_is_clean(honest: tuple[Story, Keys], tmp_path: Path) -> None:
    story, keys = honest
    assert relinked(copied(story), keys) == story
    folder = write(tmp_path / "copy", story)
    assert faults(folder) == []
    found = replay_log(folder, jobs=1)
    assert (found.entries, found.decisions, found.permits) == (len(story), 4, 4)
    run = next(iter(found.book.runs.values()))
    closes = places(story, "RoundClosed")
    assert [one.entry for one in run.chain] == [place(story, at) for at in closes]


def test_a_permit_that_does_not_follow_at_once(honest: tuple[Story, Keys], tmp_path: Path) -> None:
    """A voucher of one line was logged between a decision and its permit, each of many."""
    story = copied(honest[0])
    decided, permit = places(story, "RoundDecided")[3], places(story, "PermitIssued")[3]
    assert permit == decided + 1
    story.insert(permit, story[places(story, "VoucherIssued")[0]])
    found = faults(write(tmp_path / "copy", relinked(story, honest[1])))
    named = {(index, rule) for index, rule, _ in found}
    assert (place(story, decided), "permit-follows") in named
    assert (place(story, permit + 1), "permit-decided") in named


def test_one_fault_is_named_at_its_last_line(honest: tuple[Story, Keys], tmp_path: Path) -> None:
    story = copied(honest[0])
    at = change("PermitIssued", 3, lambda body: body.update(purpose="marketing"))(story)
    found = faults(write(tmp_path / "copy", relinked(story, honest[1])))
    assert [(index, rule) for index, rule, _ in found] == [(place(story, at), "permit-follows")]


def test_parts_that_make_no_entry_are_named(honest: tuple[Story, Keys], tmp_path: Path) -> None:
    lines = lines_of(honest[0])
    at = next(n for n, line in enumerate(lines) if parse_entry(line).type == "EntryPart")
    del lines[at]
    found = replay_log(write_lines(tmp_path / "copy", lines), jobs=1)
    assert (at, "entry-whole") in {(one.index, one.rule) for one in found.violations}
