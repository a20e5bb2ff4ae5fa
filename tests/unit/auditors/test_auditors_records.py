"""Records that laws ask for: what the log says, from where, and what is left open."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import Story
from report_html import Html

from auditors.errors import AuditInputError
from auditors.known import NOTHING_KNOWN, Known
from auditors.lines import log_lines
from auditors.page import render
from auditors.records import TEMPLATES, Template, record_bytes, record_page
from auditors.records_chinese import CHINESE
from auditors.records_english import ENGLISH
from auditors.report_facts import collect
from auditors.report_json import report_json
from auditors.report_scope import Checked, Scope
from auditors.shares import replay_log
from policies.canonical import parse_canonical
from policies.phrases import Language

CHECKED = Checked(
    verified=True, origin="logs.example/replay", size=58, root="ab" * 32, replayed=True
)
HOSTILE = "<script>alert(1)</script>"
BOTH: list[tuple[Template, Language]] = [(one, "en") for one in TEMPLATES] + [("pipl", "zh")]


def made(log: Path, known: Known = NOTHING_KNOWN, scope: Scope | None = None) -> dict[str, Any]:
    facts = collect(log_lines(log), CHECKED, scope or Scope(), replay_log(log).book)
    return report_json(facts, known)


@pytest.fixture(scope="module")
def document(told: tuple[Path, Story]) -> dict[str, Any]:
    return made(told[0])


def record(document: dict[str, Any], template: Template, language: Language = "en") -> Any:
    data = record_bytes(document, template, language)
    return parse_canonical(data.rstrip(b"\n"), max_bytes=1 << 24)


def items(document: dict[str, Any], template: Template, language: Language = "en") -> list[Any]:
    sections = record(document, template, language)["sections"]
    return [one for section in sections for one in section["items"]]


@pytest.mark.parametrize(("template", "language"), BOTH)
def test_a_record_is_a_page_that_needs_nothing_but_itself(
    document: dict[str, Any], template: Template, language: Language
) -> None:
    html = Html(render(record_page(document, template, language)))
    assert html.outside == []
    assert html.open == []
    for words in {
        "en": ("Not legal advice", "The log is pseudonymous", "To be filled in by"),
        "zh": ("不构成法律意见", "假名化日志", "填写："),
    }[language]:
        assert words in html.text
    assert html.texts["h1"][0].endswith("example.org/health")


@pytest.mark.parametrize(("template", "language"), BOTH)
def test_each_item_says_what_from_where_and_who_fills_in_the_rest(
    document: dict[str, Any], template: Template, language: Language, story_size: int
) -> None:
    found = items(document, template, language)
    assert len(found) >= 8
    for one in found:
        assert one["values"], one["label"]
        assert "条" in one["basis"] if language == "zh" else "Article" in one["basis"]
        places = [int(place) for place in re.findall(r"#(\d+)", one["source"])]
        assert all(place < story_size for place in places)
    assert sum(bool(one["open"]) for one in found) >= 7


@pytest.fixture(scope="module")
def story_size(told: tuple[Path, Story]) -> int:
    return len(told[1])


def test_gdpr_has_each_letter_of_article_30_for_each_owner(document: dict[str, Any]) -> None:
    sections = record(document, "gdpr-30")["sections"]
    titles = [one["title"] for one in sections]
    assert titles == [
        "How to read this record",
        "Controller: alpha",
        "Controller: beta",
        "Controller: gamma",
        "Processor: the operator of the space",
        "Keeping and showing this record",
    ]
    bases = [one["basis"].split(",")[0] for one in sections[1]["items"]]
    assert bases == [f"Article 30(1)({letter})" for letter in "abcdefg"]
    bases = [one["basis"].split(",")[0] for one in sections[4]["items"]]
    assert bases == [f"Article 30(2)({letter})" for letter in "abcd"]
    beta = {one["basis"]: one for one in sections[2]["items"]}
    assert beta["Article 30(1)(b)"]["values"] == ["medical-research (uses: 1, runs: 1)"]
    assert "agreement-beta: withdrawn at" in beta["Article 30(1)(f)"]["values"][0]
    assert "no use and no permit after it" in beta["Article 30(1)(f)"]["values"][0]
    alpha = {one["basis"]: one for one in sections[1]["items"]}
    assert any(
        "limited: what was received is to be deleted" in one
        for one in alpha["Article 30(1)(f)"]["values"]
    )
    assert "No run had differential privacy: nothing bounds ε." in " ".join(
        alpha["Article 30(1)(g), Article 32(1)"]["values"]
    )


def test_ai_act_has_the_period_of_each_use(document: dict[str, Any]) -> None:
    page = record_page(document, "ai-act-12", "en")
    text = Html(render(page)).text
    for words in (
        "Article 12(1)",
        "Article 12(2)(a)",
        "Articles 12(2)(b), 72",
        "Articles 12(2)(c), 26(5)",
        "Article 12(3)(a)",
        "Article 12(3)(b)",
        "Article 12(3)(c)",
        "Articles 12(3)(d), 14(5)",
        "Articles 19(1), 26(6)",
        "at least six months",
        "Rounds without a result: 0; given up: 1",
        "Not applicable: no search is made",
    ):
        assert words in text, words
    (table,) = [one for section in page.sections for one in section.blocks if one.kind == "table"]
    started = [row[4].text for row in table.rows]
    assert len(started) == 5
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z", one) for one in started)


def test_pipl_in_chinese_has_its_articles_and_three_years(document: dict[str, Any]) -> None:
    found = {one["basis"]: one for one in items(document, "pipl", "zh")}
    assert set(found) == {
        "第五十二条",
        "第五十五条",
        "第五十六条第一款第一项",
        "第五十六条第一款第二项",
        "第五十一条、第五十六条第一款第三项",
        "第二十一条",
        "第二十三条",
        "第三十八条、第三十九条",
        "第五十五条、第五十六条",
        "第十五条、第四十七条",
        "第五十六条第二款",
    }
    year = int(document["period"]["last"][:4]) + 3
    assert f"至少保存至 {year}-" in found["第五十六条第二款"]["values"][0]
    assert "不跨法域" in found["第三十八条、第三十九条"]["values"][0]
    assert "《中华人民共和国个人信息保护法》" in " ".join(found["第五十六条第一款第一项"]["values"])


@pytest.mark.parametrize(
    ("last", "until"), [("2028-02-29", "2031-02-28"), ("2026-11-26", "2029-11-26")]
)
def test_three_years_later(document: dict[str, Any], last: str, until: str) -> None:
    other = {**document, "period": {**document["period"], "last": f"{last}T08:00:00.000Z"}}
    kept = items(other, "pipl")[-1]
    assert kept["values"][0].endswith(f"until {until}.")


def test_only_the_owner_of_the_scope(told: tuple[Path, Story]) -> None:
    only = made(told[0], scope=Scope(participant="gamma"))
    titles = [one["title"] for one in record(only, "gdpr-30")["sections"]]
    assert [one for one in titles if one.startswith("Controller")] == ["Controller: gamma"]


def test_texts_that_were_disclosed_are_told_and_hostile_ones_are_text(
    told: tuple[Path, Story],
) -> None:
    cards = [one.body["description"] for one in told[1] if one.type == "ProductRegistered"]
    columns = [{"name": "age"}, {"name": HOSTILE}]
    known = Known({"alpha": HOSTILE}, {cards[0]: {"title": "Records", "columns": columns}})
    with_texts = made(told[0], known)
    html = Html(render(record_page(with_texts, "gdpr-30", "en")))
    assert html.outside == []
    assert f"Columns of alpha/records: age, {HOSTILE}" in html.text
    assert f"Controller: {HOSTILE} (alpha)" in html.text
    assert "Columns" not in Html(render(record_page(made(told[0]), "gdpr-30", "en"))).text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_log_with_nothing_in_it(template: Template) -> None:
    empty = report_json(collect([], CHECKED, Scope()), NOTHING_KNOWN)
    assert Html(render(record_page(empty, template, "en"))).outside == []


def test_what_has_no_words_is_refused(document: dict[str, Any]) -> None:
    for template in ("gdpr-30", "ai-act-12"):
        with pytest.raises(AuditInputError, match="in English only"):
            record_page(document, template, "zh")  # type: ignore[arg-type]


def test_chinese_has_the_sentences_that_its_record_needs() -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert set(CHINESE) <= set(ENGLISH)
    only_english = ("gdpr-", "ai-", "the-controller", "the-processor", "the-provider", "the-deploy")
    assert {key for key in ENGLISH if not key.startswith(only_english)} == set(CHINESE)
    for key, text in CHINESE.items():
        assert fields(text) == fields(ENGLISH[key]), key
