"""Rows left out for want of consent: what a receipt says of them is told wherever uses are."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import Story, copied

from auditors.explain_say import Say
from auditors.explain_sentences import sentences
from auditors.known import NOTHING_KNOWN
from auditors.page import render
from auditors.records import record_bytes, record_page
from auditors.report_csv import write_csv
from auditors.report_facts import Facts, collect
from auditors.report_json import report_json
from auditors.report_page import report_page
from auditors.report_scope import Checked, Scope
from policies.entries import Entry, entry_bytes
from policies.phrases import Language

Lines = list[tuple[int, bytes]]


def said(envelope: str, value: object) -> str:
    """The envelope with another figure; its signature is for the replay, not for what is told."""
    outer = json.loads(base64.b64decode(envelope))
    receipt = json.loads(base64.b64decode(outer["payload"]))
    if value is None:
        del receipt["rows_without_consent"]
    else:
        receipt["rows_without_consent"] = value
    outer["payload"] = base64.b64encode(json.dumps(receipt).encode()).decode()
    return base64.b64encode(json.dumps(outer).encode()).decode()


def edited(story: Story, figures: dict[str, list[Any]]) -> Story:
    """The log, whose accepted receipts say these figures by participant."""
    other = copied(story)
    left = {name: list(values) for name, values in figures.items()}
    for one in other:
        if one.type == "ReceiptAccepted" and left.get(one.body["participant"]):
            value = left[one.body["participant"]].pop(0)
            one.body["envelope"] = said(one.body["envelope"], value)
    assert not any(left.values())
    return other


def lines_of(story: Story) -> Lines:
    return [(n, entry_bytes(one.type, time=one.time, body=one.body)) for n, one in enumerate(story)]


def facts_of(lines: Lines) -> Facts:
    return collect(lines, Checked(verified=False), Scope())


@pytest.fixture(scope="module")
def lines(told: tuple[Path, Story]) -> Lines:
    return lines_of(edited(told[1], {"alpha": [3, 7], "beta": [5], "gamma": [None, None]}))


def test_single_uses_say_how_many(lines: Lines, tmp_path: Path) -> None:
    facts = facts_of(lines)
    write_csv(tmp_path / "tables", lines, Scope(), facts, NOTHING_KNOWN)
    with (tmp_path / "tables" / "uses.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [
            (one["participant"], one["rows_without_consent"])
            for one in csv.DictReader(file)
            if one["outcome"] == "receipt accepted"
        ]
    expected = [("alpha", 3), ("beta", 5), ("alpha", 7), ("gamma", None), ("gamma", None)]
    assert rows == [(who, "" if n is None else str(n)) for who, n in expected]
    sessions = report_json(facts, NOTHING_KNOWN)["sessions"]["items"]
    assert [(one["participant"], one["without_consent"]) for one in sessions] == expected


def test_uses_put_together_say_least_and_most(lines: Lines) -> None:
    found = {one.participant: one for one in facts_of(lines).uses.values()}
    figures = {who: (one.without_least, one.without_most) for who, one in found.items()}
    assert figures == {"alpha": (3, 7), "beta": (5, 5), "gamma": (None, None)}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Rows left out for want of consent, each use", "3 to 7")),
        ("zh", ("每次使用中因缺少个人同意而剔除的行", "3 至 7")),
    ],
)
def test_the_page_has_a_column(lines: Lines, language: Language, words: tuple[str, ...]) -> None:
    html = render(report_page(report_json(facts_of(lines), NOTHING_KNOWN), language))
    for one in words:
        assert one in html


@pytest.mark.parametrize(
    ("template", "language", "words"),
    [
        ("gdpr-30", "en", "up to 7 rows in one use; nodes that signed so: 1"),
        ("ai-act-12", "en", "Left out for want of consent"),
        ("pipl", "en", "up to 5 rows in one use"),
        ("pipl", "zh", "单次使用至多 7 行，由 1 个节点签署"),
    ],
)
def test_records_tell_the_measure(
    lines: Lines, template: Any, language: Language, words: str
) -> None:
    document = report_json(facts_of(lines), NOTHING_KNOWN)
    assert words in render(record_page(document, template, language))


def test_a_log_without_any_is_not_said_to_have_left_out(told: tuple[Path, Story]) -> None:
    document = report_json(facts_of(lines_of(told[1])), NOTHING_KNOWN)
    assert {one["without_most"] for one in document["uses"]} == {0}
    assert "consent did not stand" not in record_bytes(document, "gdpr-30", "en").decode()


@pytest.mark.parametrize(
    ("value", "language", "words"),
    [
        (4, "en", "No app saw 4 further rows: their subjects' consent did not stand."),
        (4, "zh", "另有 4 行因其个人同意无效而未向任何应用提供。"),
        (0, "en", ""),
        (None, "en", ""),
        ("<b>4", "en", ""),
        (True, "en", ""),
        (-1, "en", ""),
    ],
)
@pytest.mark.parametrize("kind", ["ReceiptAccepted", "UseReceipted"])
def test_an_entry_is_explained_with_it(
    told: tuple[Path, Story], kind: Any, value: object, language: Language, words: str
) -> None:
    other = edited(told[1], {"alpha": [value]})
    entry = next(one for one in other if one.type == "ReceiptAccepted")
    body: Any = entry.body
    if kind == "UseReceipted":
        outer = json.loads(base64.b64decode(body["envelope"]))
        body = {"receipt": json.loads(base64.b64decode(outer["payload"])), "envelope": "a" * 64}
    text = sentences(Entry(kind, entry.time, body), Say(language, NOTHING_KNOWN))
    hit = [one for one in text if "consent" in one or "同意" in one]
    assert hit == ([words] if words else [])
