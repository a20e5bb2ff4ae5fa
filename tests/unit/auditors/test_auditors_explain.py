"""One entry in plain sentences: every type, both languages, what it rests on, what followed."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import Line, Story, copied

from auditors.errors import AuditInputError, RuleViolated
from auditors.explain_chinese import CHINESE
from auditors.explain_english import ENGLISH
from auditors.explain_entry import Told, explain_entry
from auditors.explain_registers import REGISTERS
from auditors.explain_rounds import ROUNDS
from auditors.explain_say import Say
from auditors.explain_sentences import sentences
from auditors.explain_trail import MAX_FOLLOWED
from auditors.known import NOTHING_KNOWN, Known
from policies.canonical import canonical_bytes
from policies.entries import ENTRY_TYPES, Entry, entry_bytes
from policies.phrases import Language

TIME = "2026-01-01T00:00:00.000Z"


def told_of(
    story: Story, index: int, language: Language = "en", known: Known = NOTHING_KNOWN
) -> Told:
    lines = [
        (n, entry_bytes(one.type, time=one.time, body=one.body)) for n, one in enumerate(story)
    ]
    return explain_entry(lambda: lines, index, language, known)


@pytest.fixture(scope="module")
def story(told: tuple[Path, Story]) -> Story:
    return told[1]


def nth(story: Story, kind: str, n: int = 0) -> int:
    return [index for index, one in enumerate(story) if one.type == kind][n]


def types(lines: Iterable[Any]) -> list[str]:
    return [one.type for one in lines]


# -- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_entry_of_a_log_is_told(story: Story, language: Language) -> None:
    say = Say(language, NOTHING_KNOWN)
    for one in story:
        text = sentences(Entry(one.type, one.time, one.body), say)
        assert text, one.type
        assert all(sentence and "{" not in sentence for sentence in text), one.type
        if language == "zh":
            assert any("\u4e00" <= char <= "\u9fff" for char in text[0]), one.type


def test_a_receipt_says_whose_data_how_many_rows_what_loss_under_which_permit(
    story: Story,
) -> None:
    found = told_of(story, nth(story, "ReceiptAccepted"))
    text = "\n".join(found.says)
    permit = story[nth(story, "PermitIssued", 1)].body["id"]
    for words in (
        "alpha's node signed that it used 80 rows of alpha/records in training round 1",
        f"Under {permit}; 20 more rows were used to evaluate",
        "in a sandbox with files own, level isolated, memory_limit yes, network none",
        "Allowed by limited, for medical-research of consortium",
        "at most 100 rows; 2 units count for it. No ε bounds what the product has given away.",
    ):
        assert words in text, words


def test_a_decision_tells_each_verdict_with_its_reasons(story: Story) -> None:
    found = told_of(story, nth(story, "RoundDecided", 3))
    assert [(one.permitted, one.headline) for one in found.verdicts] == [
        (False, "alpha was refused."),
        (False, "beta was refused before its policy was asked."),
        (True, "gamma was permitted: permission 1 is met in every constraint."),
    ]
    alpha, beta, _ = found.verdicts
    assert alpha.because == ("the number of uses, this one included, is 4 (permission 1)",)
    assert "would have to be at most 3" in alpha.changes[0]
    assert beta.because[0].startswith("beta withdrew its consent at")
    chinese = told_of(story, nth(story, "RoundDecided", 3), "zh").verdicts
    assert chinese[0].because == ("使用次数（含本次）为 4（第 1 条许可）",)
    assert chinese[1].because[0].startswith("授权已撤回")


def test_names_stand_beside_pseudonyms(story: Story) -> None:
    at = nth(story, "ConsentWithdrawn")
    known = Known({"beta": "北方医院"}, {story[at].body["reason"]: {"text": "enough"}})
    found = told_of(story, at, known=known)
    assert found.says[0].startswith("北方医院 (beta) took back its consent")
    assert "Why: enough" in found.says
    assert any("committed to in the log" in one for one in told_of(story, at).says)


def test_a_decision_that_does_not_follow_says_so(story: Story) -> None:
    other = copied(story)
    at = nth(other, "RoundDecided", 3)
    report = other[at - 1].body["reports"][0]
    report["effect"] = "permit" if report["effect"] == "deny" else "deny"
    other[at].body["decision"]["verdicts"][0]["report"] = _digest(report)
    found = told_of(other, at).verdicts[0]
    assert "evaluating its report again does not give what is logged" in found.headline


def _digest(value: object) -> str:
    from policies.canonical import digest_of

    return digest_of(value)


# -- what it rests on, and what followed -----------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "n", "rests", "followed"),
    [
        (
            "SpaceCreated",
            0,
            [],
            {"BaselineAdopted": 1, "ParticipantEnrolled": 3, "RunOpened": 2, "VoucherIssued": 2},
        ),
        ("BaselineAdopted", 0, ["SpaceCreated"], {"RoundDecided": 5}),
        (
            "ReceiptAccepted",
            0,
            [
                "PermitIssued",
                "RoundDecided",
                "RunOpened",
                "AgreementConcluded",
                "ProductRegistered",
                "ParticipantEnrolled",
            ],
            {"RoundClosed": 1},
        ),
        (
            "ConsentWithdrawn",
            0,
            ["AgreementConcluded", "ProductRegistered", "ParticipantEnrolled"],
            {"RoundDecided": 2, "TransferStep": 1},
        ),
        (
            "PermitIssued",
            1,
            ["RoundDecided", "RunOpened", "VoucherIssued", *["AgreementConcluded"] * 3],
            {"ReceiptAccepted": 2, "RoundClosed": 1},
        ),
        ("ReportsMade", 0, ["RunOpened", "BaselineAdopted"], {"RoundDecided": 1}),
        ("RoundAbandoned", 0, ["PermitIssued", "RunOpened"], {}),
        (
            "RoundClosed",
            1,
            ["ReceiptAccepted", "ReceiptAccepted", "PermitIssued", "RoundClosed", "RunOpened"],
            {"RoundClosed": 1, "RoundDecided": 1},
        ),
        ("RunEnded", 0, ["RoundClosed", "RunOpened"], {}),
        ("CertificateIssued", 0, ["ProductRegistered"], {"RoundDecided": 4}),
    ],
)
def test_the_trail(
    story: Story, kind: str, n: int, rests: list[str], followed: dict[str, int]
) -> None:
    found = told_of(story, nth(story, kind, n))
    assert [one for one in types(found.rests) if one != "AppRegistered"] == rests
    assert {k: v for k, v in found.types.items() if k != "AgreementConcluded"} == followed
    indexes = [one.entry for one in found.rests]
    assert indexes == sorted(indexes, reverse=True)
    assert all(one.entry < found.index for one in found.rests)
    assert all(one.entry > found.index for one in found.followed)


def test_a_decision_rests_on_its_reports_the_withdrawal_and_the_close_before(story: Story) -> None:
    found = told_of(story, nth(story, "RoundDecided", 2))
    assert types(found.rests)[:3] == ["ReportsMade", "ConsentWithdrawn", "RoundClosed"]
    assert set(types(found.rests)) >= {"AgreementConcluded", "BaselineAdopted", "RunOpened"}
    assert found.types["PermitIssued"] == 1


def test_a_newer_version_takes_the_place_of_the_one_before(story: Story) -> None:
    other = copied(story)
    at = nth(other, "ProductRegistered")
    newer = Line(other[at].type, other[at].time, {**other[at].body, "data_version": 2})
    later = [*other[: at + 2], newer, *other[at + 2 :]]
    assert "RoundDecided" not in told_of(later, at).types
    assert told_of(later, at + 2).types["RoundDecided"] == 4


def test_what_followed_is_counted_in_full_and_listed_in_part(story: Story) -> None:
    other = copied(story)
    agreement = other[nth(other, "AgreementConcluded")]
    many = [
        Line(agreement.type, TIME, {**agreement.body, "agreement": f"a{n}"})
        for n in range(MAX_FOLLOWED + 10)
    ]
    found = told_of([*other, *many], nth(other, "ProductRegistered"))
    assert len(found.followed) == MAX_FOLLOWED
    assert found.types["AgreementConcluded"] == 2 + len(many)


def test_the_same_in_json(story: Story) -> None:
    found = told_of(story, nth(story, "RoundDecided", 3)).to_json()
    assert json.loads(canonical_bytes(found)) == found
    assert (found["type"], len(found["verdicts"])) == ("RoundDecided", 3)  # type: ignore[arg-type]


# -- what cannot be told ---------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "size"), [(58, 58), (10**12, 58), (0, 0)])
def test_no_such_entry(story: Story, index: int, size: int) -> None:
    with pytest.raises(AuditInputError, match=r"expected an entry from 0 to 57|it is empty"):
        told_of(story[:size], index)


@pytest.mark.parametrize("line", [b"{}", b"", b"\xff", b'{"body":{},"time":"x","type":"RunEnded"}'])
def test_a_line_that_is_no_entry(line: bytes) -> None:
    with pytest.raises(RuleViolated, match="entry-readable"):
        explain_entry(lambda: [(0, line)], 0, "en", NOTHING_KNOWN)


@pytest.mark.parametrize("kind", sorted(ENTRY_TYPES))
def test_a_body_in_another_form_is_an_error_or_told(kind: Any) -> None:
    line = entry_bytes(kind, time=TIME, body={"participant": 3})
    try:
        found = explain_entry(lambda: [(0, line)], 0, "en", NOTHING_KNOWN)
    except RuleViolated as error:
        assert "entry-readable" in str(error)
    else:
        assert found.says


def test_entries_around_it_that_cannot_be_read_do_not_matter(story: Story) -> None:
    lines = [
        (n, entry_bytes(one.type, time=one.time, body=one.body)) for n, one in enumerate(story)
    ]
    at = nth(story, "RunEnded")
    broken = [(n, line if n == at else line[:-1] + b" }") for n, line in lines]
    assert explain_entry(lambda: broken, at, "en", NOTHING_KNOWN).index == at
    torn = [(n, line if n == at else b"{}") for n, line in lines]
    assert explain_entry(lambda: torn, at, "en", NOTHING_KNOWN).rests == ()


# -- words -----------------------------------------------------------------------------------------


def test_every_type_has_sentences() -> None:
    assert sorted(ENTRY_TYPES - set(REGISTERS) - set(ROUNDS)) == []
    unknown = Entry("FromTheFuture", TIME, {})
    (told,) = sentences(unknown, Say("en", NOTHING_KNOWN))
    assert told.startswith("An entry of type FromTheFuture")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_sentences() -> None:
    assert set(ENGLISH) == set(CHINESE)
    for key, text in ENGLISH.items():
        assert fields(text) == fields(CHINESE[key]), key
