"""The facts of a report, from a log that a real governance wrote, as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_log_site import Line, Story, copied

from auditors.errors import AuditInputError
from auditors.known import NOTHING_KNOWN, Known
from auditors.lines import log_lines, quick_entry
from auditors.report_facts import Facts, collect
from auditors.report_json import report_bytes, report_json
from auditors.report_scope import MAX_LISTED, Checked, Listed, Scope
from auditors.report_series import MAX_POINTS, Bars, Timeline
from auditors.shares import replay_log
from policies.canonical import canonical_bytes, parse_canonical
from policies.entries import entry_bytes, parse_entry
from policies.errors import DocumentError
from policies.fields import instant, parse_instant

UNCHECKED = Checked(verified=False)


def lines(story: Story) -> Iterator[tuple[int, bytes]]:
    for index, one in enumerate(story):
        yield index, entry_bytes(one.type, time=one.time, body=one.body)


def facts_of(story: Story, scope: Scope | None = None) -> Facts:
    return collect(lines(story), UNCHECKED, scope or Scope())


@pytest.fixture(scope="module")
def story(told: tuple[Path, Story]) -> Story:
    return told[1]


@pytest.fixture(scope="module")
def facts(told: tuple[Path, Story]) -> Facts:
    return collect(log_lines(told[0]), UNCHECKED, Scope(), replay_log(told[0]).book)


def runs_of(story: Story) -> list[str]:
    return [one.body["run"] for one in story if one.type == "RunOpened"]


def test_who_used_whose_data_for_what_and_at_what_cost(facts: Facts, story: Story) -> None:
    run = runs_of(story)[0]
    rows = [
        (u.participant, u.agreement, u.trained, u.evaluated, u.rows_total, u.epsilon, u.pays)
        for u in facts.uses.values()
    ]
    assert rows == [
        ("alpha", "limited", 2, 0, 160, "", "4"),
        ("beta", "agreement-beta", 1, 0, 80, "", "2"),
        ("gamma", "agreement-gamma", 1, 1, 80, "", "4"),
    ]
    assert {(u.run, u.consumer, u.purpose) for u in facts.uses.values()} == {
        (run, "consortium", "medical-research")
    }
    assert facts.use_count == 5
    alpha = next(iter(facts.uses.values()))
    assert story[alpha.first_entry].type == story[alpha.last_entry].type == "ReceiptAccepted"
    assert alpha.environments == [
        "files: own, level: isolated, memory_limit: yes, network: none, no_new_privileges: yes, "
        "scratch: bounded, user: nobody"
    ]


def test_who_was_refused_and_why(facts: Facts) -> None:
    rows = [
        (r.participant, r.code, r.count, r.first_round, r.last_round)
        for r in facts.refusals.values()
    ]
    assert rows == [
        ("beta", "consent-withdrawn", 2, "2", "eval 3"),
        ("alpha", "count-exhausted", 1, "eval 3", "eval 3"),
        ("gamma", "offline", 1, "1", "1"),
    ]
    assert (facts.permitted, facts.refused) == (9, 4)
    assert [bar.permitted for bar in facts.bars.bars] == [3, 3, 2, 1, 0]
    assert [bar.refused for bar in facts.bars.bars] == [0, 0, 1, 2, 1]


def test_when_a_withdrawal_took_effect(facts: Facts, story: Story) -> None:
    (found,) = facts.withdrawals
    assert (found.participant, found.agreement) == ("beta", "agreement-beta")
    known = Known(texts={found.reason: {"text": "enough"}})
    assert report_json(facts, known)["withdrawals"][0]["reason"] == "enough"
    assert report_json(facts, NOTHING_KNOWN)["withdrawals"][0]["reason"] == ""
    assert found.last_use is not None
    assert found.first_decision is not None
    assert (found.last_use.round, story[found.last_use.entry].body["participant"]) == (1, "beta")
    assert found.last_use.entry < found.entry < found.first_decision.entry
    assert (found.first_decision.round, found.permitted) == (2, False)
    assert found.codes == ("consent-withdrawn",)
    assert (found.permits_after, found.uses_after, found.in_flight) == (0, 0, 0)


def test_what_is_missing_and_why(facts: Facts) -> None:
    rows = [
        (one.how, one.permitted.whose.participant, one.code, one.permitted.round.attempt)
        for one in facts.missing.items
    ]
    assert rows == [
        *(("abandoned", name, "abandoned", 1) for name in ("alpha", "beta", "gamma")),
        ("closed", "gamma", "no-reply", 2),
    ]
    assert dict(facts.missing_why) == {"abandoned": 3, "no-reply": 1}
    assert [one.text for one in facts.abandoned.items] == ["request first took its place"]
    assert facts.no_result.total == 0


def test_budgets_count_what_was_set_aside(facts: Facts) -> None:
    document = report_json(facts, NOTHING_KNOWN)
    by_id = {one["agreement"]: one for one in document["agreements"]}
    assert by_id["limited"]["limits"] == {"count": {"most": "3", "inclusive": True}}
    assert by_id["limited"]["spent"] == {
        "uses": 3,
        "metered_s": 30,
        "epsilon": None,
        "delta": None,
        "paid": "6",
        "earned": "4",
    }
    assert by_id["agreement-beta"]["spent"]["metered_s"] == 30, "the abandoned permit's, whole"
    assert [(one["spent"], one["left"]) for one in document["vouchers"]] == [
        ("18", "82"),
        ("0", "1"),
    ]
    assert [(one["owner"], one["set_aside"], one["earned"]) for one in document["settlement"]] == [
        ("alpha", "6", "4"),
        ("beta", "4", "2"),
        ("gamma", "8", "4"),
    ]


def test_runs_and_what_is_registered(facts: Facts) -> None:
    rows = [
        (r.state, r.decisions, r.permits, r.closed, r.abandoned, r.receipts, r.nobody)
        for r in facts.runs.values()
    ]
    assert rows == [("COMPLETED", 4, 4, 3, 1, 5, 0), ("STOPPED", 1, 0, 0, 0, 0, 1)]
    register = facts.register
    assert {p.participant: p.role for p in register.participants.values()} == {
        "operator": "operator",
        "consortium": "consumer",
        "alpha": "node",
        "beta": "node",
        "gamma": "node",
    }
    assert [law.name for law in register.laws] == [
        "core-data",
        "cross-border",
        "personal-information",
    ]
    assert all(law.source_zh for law in register.laws)
    assert all(
        one.certificate and not one.certificate.revoked for one in register.products.values()
    )
    assert register.contracts["agreement-beta"].withdrawn
    assert register.states("transfers") == {"COMPLETED": 2, "TERMINATED": 2}


# -- scope ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "uses", "refused", "withdrawals"),
    [
        (Scope(), 5, 4, 1),
        (Scope(participant="gamma"), 2, 1, 0),
        (Scope(participant="consortium"), 5, 4, 1),
        (Scope(participant="beta"), 1, 2, 1),
        (Scope(participant="operator"), 0, 0, 0),
    ],
)
def test_a_participants_report(
    story: Story, scope: Scope, uses: int, refused: int, withdrawals: int
) -> None:
    found = facts_of(story, scope)
    assert (found.use_count, found.refused, len(found.withdrawals)) == (uses, refused, withdrawals)
    assert found.earned == facts_of(story).earned, "a budget is of the whole log"


def test_a_runs_and_a_periods_report(story: Story) -> None:
    first, second = runs_of(story)
    assert facts_of(story, Scope(run=first)).use_count == 5
    of_second = facts_of(story, Scope(run=second))
    assert (of_second.use_count, list(of_second.runs)) == (0, [second])
    withdrawn = parse_instant(facts_of(story).withdrawals[0].time) + timedelta(milliseconds=1)
    before, after = facts_of(story, Scope(until=withdrawn)), facts_of(story, Scope(since=withdrawn))
    assert (before.use_count, after.use_count) == (2, 3)
    assert (len(before.withdrawals), len(after.withdrawals)) == (1, 0)


@pytest.mark.parametrize("scope", [Scope(participant="nobody"), Scope(run="run-none")])
def test_a_scope_that_the_log_does_not_know(story: Story, scope: Scope) -> None:
    with pytest.raises(AuditInputError, match="in the log, got none"):
        facts_of(story, scope)


# -- what a log may hold that governance never writes ----------------------------------------------


@pytest.mark.parametrize("missing", ["decision", "cohort", "permit_id", "spec", "document", "run"])
def test_a_body_without_a_field_is_counted_and_left_out(story: Story, missing: str) -> None:
    other = copied(story)
    hit = [one for one in other if missing in one.body]
    for one in hit:
        del one.body[missing]
    found = facts_of(other)
    assert found.unreadable.total > 0
    assert report_bytes(found, NOTHING_KNOWN), "it can be told all the same"


def test_a_line_that_is_no_entry_is_counted(story: Story) -> None:
    good = list(lines(story))
    bad = [(len(good), b"{}"), (len(good) + 1, b'{"a":1.5}'), (len(good) + 2, b"\xff")]
    found = collect([*good, *bad], UNCHECKED, Scope())
    assert found.unreadable.items == [index for index, _ in bad]


@pytest.mark.parametrize(
    "line",
    [
        b'{"body":{"a":"\\ud800"},"time":"2026-01-01T00:00:00.000Z","type":"RunEnded"}',
        b'{"body":{"a":0.5},"time":"2026-01-01T00:00:00.000Z","type":"RunEnded"}',
        b'{"body":{"a":1e400},"time":"2026-01-01T00:00:00.000Z","type":"RunEnded"}',
        b'{"body":{},"time":"2026-01-01T00:00:00.000Z","type":"Invented"}',
        b'{"body":[],"time":"2026-01-01T00:00:00.000Z","type":"RunEnded"}',
        b"[" * 5000,
        b"null",
    ],
)
def test_no_entry(line: bytes) -> None:
    with pytest.raises(DocumentError):
        quick_entry(line)


def test_quick_reading_reads_the_same(story: Story) -> None:
    assert all(quick_entry(line) == parse_entry(line) for _, line in lines(story))


def test_the_document_is_canonical_and_says_the_same_twice(facts: Facts, story: Story) -> None:
    known = Known({"alpha": "Alpha Hospital", "nobody": "?"})
    data = report_bytes(facts, known)
    value: Any = parse_canonical(data.rstrip(b"\n"), max_bytes=1 << 24)
    assert canonical_bytes(value) + b"\n" == data
    assert value["names"] == {"alpha": "Alpha Hospital"}
    again = collect(lines(story), UNCHECKED, Scope(), facts.book)
    assert report_bytes(again, known) == data
    assert value["totals"]["uses"] == 5


def test_every_top_level_field_is_documented(facts: Facts) -> None:
    import auditors.report_json as module

    assert module.__doc__ is not None
    words = module.__doc__.replace(",", " ").replace("`", " ").split()
    assert [name for name in report_json(facts, NOTHING_KNOWN) if name not in words] == []


# -- bounded ---------------------------------------------------------------------------------------


def test_a_list_keeps_its_first() -> None:
    listed: Listed[int] = Listed()
    for n in range(MAX_LISTED + 10):
        listed.add(n)
    assert (listed.total, len(listed.items)) == (MAX_LISTED + 10, MAX_LISTED)


def test_memory_is_bounded_however_many_rounds(story: Story) -> None:
    """One round a thousand times over: the lists end, the counts go on."""
    start = next(i for i, one in enumerate(story) if one.type == "RoundAbandoned") + 1
    stop = next(i for i, one in enumerate(story) if one.type == "RoundClosed") + 1
    again: Story = []
    for n in range(1000):
        text = json.dumps([(one.type, one.time, one.body) for one in story[start:stop]])
        permit = next(one.body["id"] for one in story[start:stop] if one.type == "PermitIssued")
        text = text.replace(permit, f"permit-{n:032x}")
        again += [Line(*one) for one in json.loads(text)]
    found = facts_of([*story[:start], *again])
    assert found.use_count == 2000
    assert (found.missing.total, len(found.missing.items)) == (1003, MAX_LISTED)
    assert len(found.bars.bars) <= MAX_POINTS
    assert sum(bar.rounds for bar in found.bars.bars) == 1001


@given(st.lists(st.tuples(st.integers(0, 10**12), st.sampled_from("abc")), max_size=300))
def test_a_timeline_is_bounded_and_counts_every_use(uses: list[tuple[int, str]]) -> None:
    start = parse_instant("2026-01-01T00:00:00.000Z")
    line = Timeline()
    for at, who in uses:
        line.add(instant(start + timedelta(milliseconds=at)), who)
    assert len(line.ends()) <= MAX_POINTS
    for who in "abc":
        counts = line.cumulative(who)
        assert counts == sorted(counts)
        assert (counts[-1] if counts else 0) == sum(other == who for _, other in uses)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=600))
def test_bars_are_bounded_and_count_every_verdict(rounds: list[tuple[int, int]]) -> None:
    bars = Bars()
    for n, (permitted, refused) in enumerate(rounds):
        bars.add(str(n), permitted, refused)
    assert len(bars.bars) <= MAX_POINTS
    assert sum(bar.rounds for bar in bars.bars) == len(rounds)
    assert sum(bar.permitted for bar in bars.bars) == sum(p for p, _ in rounds)
    assert sum(bar.refused for bar in bars.bars) == sum(r for _, r in rounds)


def test_a_scope_is_whole_only_without_limits() -> None:
    assert Scope().whole
    assert not replace(Scope(), run="run-1").whole
