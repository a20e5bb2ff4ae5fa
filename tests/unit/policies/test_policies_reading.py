"""Policies read out: every rule, condition and duty has its sentence, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from policies_rules import agreement, constraint, logic, offer, rule

from policies.operands import ACTIONS, OPERANDS, OPERATORS
from policies.phrases import WORDS, Language
from policies.reading import Line, Reading, condition, read_out, shown
from policies.reading_words import READING
from policies.rows import Kind
from policies.rules import Constraint, Logic, leaves

NAMES = {
    "spatial": "CN",
    "event": "inference",
    "algorithm": "0" * 64,
    "executionEnvironment": "confined",
    "privacyUnit": "record",
}
VALUES = {
    Kind.INTEGER: "2",
    Kind.DECIMAL: "0.5",
    Kind.DURATION: "PT90M",
    Kind.INSTANT: "2027-01-01T00:00:00Z",
}


def texts(line: Line) -> Iterator[str]:
    yield line.text
    for part in line.parts:
        yield from texts(part)


def every(reading: Reading) -> list[str]:
    return [text for line in reading.lines for text in texts(line)]


def name_of(operand: str) -> str:
    row = OPERANDS[operand]
    if operand in NAMES:
        return NAMES[operand]
    return row.unit.split(", ")[0] if row.pattern and "," in row.unit else "x-1"


def one(text: str | dict[str, Any]) -> Constraint | Logic:
    return offer(rule("train", text)).permissions[0].constraints[0]


@pytest.mark.parametrize("language", READING)
def test_every_term_has_words(language: Language) -> None:
    words = READING[language]
    assert set(words.actions) == set(ACTIONS)
    company = {"hasPart", "isAllOf"}
    assert set(words.holds) == set(OPERATORS) - company
    assert set(words.company) == set(OPERANDS["togetherWith"].operators)


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("operand", OPERANDS)
def test_every_comparison_is_a_sentence(operand: str, language: Language) -> None:
    row = OPERANDS[operand]
    for operator in row.operators:
        value = VALUES.get(row.kind) or name_of(operand)
        part = one(constraint(f"{operand} {operator} {value}"))
        assert isinstance(part, Constraint)
        text = condition(part, language)
        assert text and "{" not in text and "None" not in text


@pytest.mark.parametrize(
    ("text", "english", "chinese"),
    [
        (
            "count lteq 5",
            "the number of uses, this one included, is at most 5",
            "使用次数（含本次）不超过 5",
        ),
        (
            "purpose isA medical-research",
            "the purpose is medical-research or belongs to it",
            "使用目的为 medical-research 或其子类别",
        ),
        (
            "meteredTime lt PT93600S",
            "the metered time, this use included, is less than 1 d 2 h",
            None,
        ),
        ("dateTime lteq 2027-01-01T00:00:00Z", "the time is 2027-01-01T00:00:00Z or earlier", None),
        ("togetherWith isAllOf a b", "all of these take part as well: a, b", None),
        ("notTogetherWith isNoneOf a", "none of these takes part: a", "下列各方均不参与：a"),
        ("recipient isAnyOf a b", "the recipient is a or b", "接收方为 a 或 b"),
        ("recipient isNoneOf a b c", "the recipient is none of: a, b, c", None),
        ("privacyUnit isA record", "the unit of privacy is record or what includes it", None),
        (
            "spatial isPartOf CN",
            "the place of processing is CN or a region of it",
            "处理地点在 CN 范围内",
        ),
        ("personalInformation eq no", "the product holds no personal information", None),
        (
            "personalInformation neq no",
            "the product holds personal information",
            "数据产品含有个人信息",
        ),
        (
            "secureAggregation neq none",
            "updates are added under masks whose sum governance alone releases; or updates are "
            "added under masks that cancel out between nodes",
            None,
        ),
        ("filingNumber neq none", "the product has a filing number", "数据产品有备案号"),
        ("filingNumber isNoneOf none A-1", "the filing number is none of: none, A-1", None),
        ("filingNumber eq A-1", "the filing number is A-1", None),
    ],
)
def test_a_condition_reads_so(text: str, english: str, chinese: str | None) -> None:
    part = one(constraint(text))
    assert isinstance(part, Constraint)
    assert condition(part, "en") == english
    if chinese is not None:
        assert condition(part, "zh") == chinese


def test_a_whole_offer_has_a_sentence_for_each_part() -> None:
    made = offer(
        rule(
            "train",
            logic("xone", "count lt 3", logic("and", "count gt 5", "epsilon lt 1")),
            duty=[rule("compensate", "payAmount gteq 2"), rule("delete")],
        ),
        rule("use"),
        no=[rule("infer"), rule("use", "recipient eq rival")],
        obligation=[rule("inform")],
        nextPolicy={"permission": [rule("evaluate")]},
        assigner="clinic",
    )
    reading = read_out(made, "en")
    assert reading.heading == "clinic offers this to whoever agrees to it, word for word."
    assert every(reading) == [
        "Permission 1: training a model is permitted if all of this holds:",
        "exactly one of these holds:",
        "the number of uses, this one included, is less than 3",
        "all of this holds:",
        "the number of uses, this one included, is more than 5",
        "the privacy loss ε of the product, this use included, is less than 1",
        "Duty before the use: pay for the use, and all of this holds:",
        "the pay for the use is at least 2",
        "Duty after the use: delete what was received.",
        "Permission 2: any use is permitted, without a condition.",
        "Prohibition 1: inference is forbidden, whatever else holds.",
        "Prohibition 2: any use is forbidden if all of this holds:",
        "the recipient is rival",
        "Beside every permission. Duty before the use: inform the owner.",
        "For what is derived from it:",
        "Permission 1: evaluating a model is permitted, without a condition.",
    ]
    chinese = every(read_out(made, "zh"))
    assert (
        len(chinese) == len(every(reading))
        and "第 1 条许可：以下各项均成立时，允许训练模型：" in chinese
    )


def test_paths_are_those_of_the_document() -> None:
    made = agreement(
        rule("train", logic("or", "count lt 3", "count gt 5")), no=[rule("infer", "count gt 1")]
    )
    places = {
        leaf.path
        for kind in (made.permissions, made.prohibitions)
        for leaf in leaves(kind[0].constraints)
    }
    reading = read_out(made, "en")
    assert places <= reading.paths()
    assert {
        "$.permission[0]",
        "$.prohibition[0]",
        "$.permission[0].constraint[0]",
    } <= reading.paths()
    assert made.assignee in reading.heading and made.target in reading.heading


@pytest.mark.parametrize(
    ("seconds", "english"),
    [(0, "no time at all"), (59, "59 s"), (3600, "1 h"), (90_061, "1 d 1 h 1 min 1 s")],
)
def test_a_duration_is_exact(seconds: int, english: str) -> None:
    assert shown("meteredTime", seconds, "en") == english


def test_nobody_has_a_name() -> None:
    assert shown("notTogetherWith", (), "zh") == "无"
