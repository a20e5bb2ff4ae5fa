"""Finding entries: by whom, what, which run, which purpose and when; one line for each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import Story, read, space, tell, write

from auditors.find import Wanted, find_entries
from auditors.summary import MAX_SUMMARY, summary_of
from policies.entries import ENTRY_TYPES, Entry
from policies.fields import parse_instant


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    with space(tmp_path_factory.mktemp("find") / "space") as site:
        tell(site)
        return read(site)


@pytest.fixture(scope="module")
def log(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("find"), story)


def kinds(log: Path, **wanted: Any) -> list[str]:
    return [one.type for one in find_entries(log, Wanted(**wanted))]


def test_everything(log: Path, story: Story) -> None:
    assert kinds(log) == [one.type for one in story]
    assert [one.index for one in find_entries(log, Wanted(), size=3)] == [0, 1, 2]


def test_by_participant(log: Path) -> None:
    found = kinds(log, participant="beta")
    assert found[:4] == [
        "ParticipantEnrolled",
        "ProductRegistered",
        "CertificateIssued",
        "AgreementConcluded",
    ]
    assert (found.count("ConsentWithdrawn"), found.count("ReceiptAccepted")) == (1, 1)
    assert "RunOpened" not in found, "it names agreements, not their owners"
    assert kinds(log, participant="nobody") == []


def test_by_product_and_agreement(log: Path) -> None:
    by_product = kinds(log, product="beta/records")
    assert by_product.count("RoundDecided") == 4
    by_agreement = kinds(log, agreement="agreement-beta")
    assert by_agreement.count("RoundDecided") == 4
    assert "RunOpened" in by_agreement
    assert "ProductRegistered" not in by_agreement
    assert "RoundDecided" not in kinds(log, agreement="agreement-alpha"), "no run was under it"


def test_by_run_and_purpose(log: Path, story: Story) -> None:
    runs = [one.body["run"] for one in story if one.type == "RunOpened"]
    found = kinds(log, run=runs[0])
    assert (found[0], found[-1]) == ("RunOpened", "TransferStep")
    assert found.count("RoundDecided") == 4
    assert kinds(log, run=runs[1], participant="gamma").count("RoundDecided") == 1
    assert kinds(log, run="run-") == kinds(log, purpose="medical-research")
    assert kinds(log, purpose="marketing") == []


def test_by_type(log: Path, story: Story) -> None:
    assert kinds(log, type="ReceiptAccepted") == ["ReceiptAccepted"] * 5
    assert kinds(log, type="ReceiptAccepted", participant="gamma") == ["ReceiptAccepted"] * 2
    assert kinds(log, type="EnginesDisagreed") == []


def test_a_consent_is_found_from_its_beginning_to_its_end(log: Path) -> None:
    found = kinds(log, agreement="agreement-beta")
    assert [one for one in found if one not in ("TransferStep", "RoundDecided")] == [
        "AgreementConcluded",
        "RunOpened",
        "ReportsMade",
        "PermitIssued",
        "ReportsMade",
        "PermitIssued",
        "ReceiptAccepted",
        "RoundClosed",
        "ConsentWithdrawn",
    ]


def test_everything_together_narrows_down(log: Path, story: Story) -> None:
    runs = [one.body["run"] for one in story if one.type == "RunOpened"]
    withdrawn = next(one for one in story if one.type == "ConsentWithdrawn")
    assert (
        kinds(
            log,
            participant="gamma",
            product="gamma/records",
            agreement="agreement-gamma",
            run=runs[0],
            purpose="medical-research",
            type="ReceiptAccepted",
            since=parse_instant(withdrawn.time) + timedelta(milliseconds=1),
        )
        == ["ReceiptAccepted"] * 2
    )


def test_by_time(log: Path, story: Story) -> None:
    first, last = parse_instant(story[0].time), parse_instant(story[-1].time)
    assert kinds(log, since=last + timedelta(milliseconds=1)) == []
    assert kinds(log, until=first) == []
    assert len(kinds(log, since=first, until=last + timedelta(milliseconds=1))) == len(story)


def test_each_line_says_what_happened(log: Path) -> None:
    lines = {one.type: one.summary for one in find_entries(log, Wanted())}
    assert all(lines[kind] != kind for kind in lines), "each body was understood"
    assert lines["ConsentWithdrawn"] == "beta withdrew its consent to agreement-beta"
    assert (
        "train round 1 attempt 1: permitted nobody; refused gamma (offline)"
        in (lines["RoundDecided"])
    )
    assert "used gamma; left out nobody" in lines["RoundClosed"]


@pytest.mark.parametrize("kind", sorted(ENTRY_TYPES))
def test_a_body_in_another_form_is_not_told(kind: str) -> None:
    entry = Entry(kind, "2026-01-01T00:00:00.000Z", {"participant": "x" * 1000})
    assert len(summary_of(entry)) <= MAX_SUMMARY
