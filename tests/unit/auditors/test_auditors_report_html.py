"""The HTML report: self-contained, in two languages, hostile text as text, the right figures."""

from __future__ import annotations

import re
import string
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import Story, copied
from report_html import Html

from auditors import report_plots, svg
from auditors.known import NOTHING_KNOWN, Known
from auditors.lines import log_lines
from auditors.page import render
from auditors.report_chinese import CHINESE
from auditors.report_english import ENGLISH
from auditors.report_facts import Facts, collect
from auditors.report_json import report_json
from auditors.report_page import report_page
from auditors.report_plots import Level
from auditors.report_scope import Checked, Scope
from auditors.report_terms import terms_of
from auditors.rules import Violation
from auditors.shares import replay_log
from auditors.svg import Said
from policies.entries import entry_bytes
from policies.phrases import Language

GOOD = Checked(
    verified=True,
    origin="logs.example/replay",
    size=58,
    root="ab" * 32,
    cosigners=("witness.example/one",),
    replayed=True,
    decisions=5,
    permits=4,
    receipts=5,
)
HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>`\"'&"


@pytest.fixture(scope="module")
def facts(told: tuple[Path, Story]) -> Facts:
    return collect(log_lines(told[0]), GOOD, Scope(), replay_log(told[0]).book)


def page(facts: Facts, language: Language = "en", known: Known = NOTHING_KNOWN) -> str:
    return render(report_page(report_json(facts, known), language))


def of_story(story: Story, checked: Checked = GOOD) -> Facts:
    lines = (
        (n, entry_bytes(one.type, time=one.time, body=one.body)) for n, one in enumerate(story)
    )
    return collect(lines, checked, Scope())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_file_needs_nothing_but_itself(facts: Facts, language: Language) -> None:
    source = page(facts, language)
    html = Html(source)
    assert html.outside == []
    assert html.open == []
    assert "http://www.w3.org/2000/svg" in source
    rest = source.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://(?!www\.w3\.org)[^\s<\"]*\"", rest)
    (policy,) = [
        value for tag, name, value in html.attributes if name == "content" and "default" in value
    ]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_figures_stand_there(facts: Facts) -> None:
    html = Html(page(facts))
    tiles = dict(zip(html.texts["dt"], html.texts["dd"], strict=True))
    assert tiles == {
        "uses with a receipt": "5",
        "owners whose data was used": "3",
        "verdicts: permitted": "9",
        "verdicts: refused": "4",
        "consents withdrawn": "1",
        "permits without receipt": "4",
        "largest ε of one product": "no bound",
        "runs": "2",
        "broken rules": "0",
        "alarms": "0",
    }
    for words in (
        "Verified and replayed: nothing was rewritten, and every decision follows.",
        "58 entries, root " + "ab" * 32,
        "Cosigned by witness.example/one",
        "80 of 100",
        "beta withdrew its consent at",
        "the number of uses is 4; the agreement allows at most 3",
        "No use and no permit after it.",
        "given up: request first took its place",
        "Data Security Law of the People's Republic of China (2021), Article 21",
        "3 of 3",
    ):
        assert words in html.text, words


def test_the_same_in_chinese(facts: Facts) -> None:
    source = page(facts, "zh")
    html = Html(source)
    assert '<html lang="zh-CN">' in source
    for words in (
        "已验证并重放",
        "授权已撤回",
        "使用次数（含本次）不符合合约的约束",
        "《中华人民共和国数据安全法》（2021年）第二十一条",
        "此后无使用，亦无许可。",
    ):
        assert words in html.text, words


def test_names_stand_beside_pseudonyms(facts: Facts) -> None:
    text = Html(page(facts, known=Known({"alpha": "阿尔法医院", "nobody": "Nobody"}))).text
    assert "阿尔法医院" in text
    assert "阿尔法医院 (alpha)" in text
    assert "Nobody" not in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_hostile_text_is_text(told: tuple[Path, Story], language: Language) -> None:
    story, texts = copied(told[1]), {}
    for one in story:
        if one.type == "AppRegistered":
            texts[one.body["description"]] = {"title": HOSTILE, "author": HOSTILE}
        if one.type == "RoundDecided":
            for verdict in one.body["decision"]["verdicts"]:
                verdict["reasons"] = [{"code": HOSTILE, "text": HOSTILE}]
        if one.type in ("RoundAbandoned", "RunEnded"):
            one.body["reason"] = HOSTILE
        for key in ("participant", "product", "agreement"):
            if one.body.get(key) == {"participant": "beta", "product": "beta/records"}.get(key):
                one.body[key] = HOSTILE
    found = of_story(story, Checked(verified=False, violations=(Violation(3, "x", HOSTILE),)))
    source = page(found, language, Known({"alpha": HOSTILE}, texts))
    html = Html(source)
    assert html.outside == []
    assert HOSTILE in html.text
    assert "<script" not in source


def test_hostile_names_in_plots() -> None:
    said = Said(id="x", title=HOSTILE, text=HOSTILE)
    ends = ["2026-01-01T00:00:01.000Z", "2026-01-01T00:00:02.000Z"]
    names = {f"{HOSTILE}{n}": [n, n + 1] for n in range(12)}
    for image in (
        report_plots.uses_over_time(said, "2026-01-01T00:00:00.000Z", ends, names),
        report_plots.levels(said, [Level(HOSTILE, Decimal(2), Decimal(1), HOSTILE)]),
        report_plots.rounds(said, [bar(HOSTILE, 1, 2)], HOSTILE, HOSTILE),
    ):
        html = Html(str(image))
        assert html.outside == []
        assert html.texts["title"] == [HOSTILE]
        assert html.texts["desc"] == [HOSTILE]


def bar(label: str, permitted: int, refused: int) -> dict[str, Any]:
    return {"first": label, "last": label, "permitted": permitted, "refused": refused}


# -- the verdict -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checked", "tone", "words"),
    [
        (GOOD, "good", "Verified and replayed"),
        (
            Checked(verified=False, replayed=True),
            "warn",
            "Replayed, not verified: no key was given",
        ),
        (Checked(verified=True), "warn", "Not replayed"),
        (
            Checked(verified=True, violations=(Violation(48, "permit-agreed", "expected …"),)),
            "bad",
            "One broken rule",
        ),
    ],
)
def test_the_verdict_stands_at_the_top(
    told: tuple[Path, Story], checked: Checked, tone: str, words: str
) -> None:
    source = page(of_story(told[1], checked))
    top = source[: source.index("<nav")]
    assert f'class="verdict {tone}"' in top
    assert words in top
    assert ("permit-agreed" in source) == bool(checked.violations)


def test_a_log_with_nothing_in_it() -> None:
    text = Html(page(collect([], Checked(verified=True), Scope()))).text
    for words in ("No use with an accepted receipt.", "Nobody was refused.", "No run."):
        assert words in text


# -- words -----------------------------------------------------------------------------------------


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_texts() -> None:
    only_chinese = {key for key in CHINESE if key.startswith("code-")}
    assert set(ENGLISH) == set(CHINESE) - only_chinese
    for key, text in ENGLISH.items():
        assert fields(text) == fields(CHINESE[key]), key
        assert text, key


# -- plots -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6, 8]),
        (13, [0, 5, 10, 15]),
        (4000, [0, 1000, 2000, 3000, 4000]),
    ],
)
def test_ticks_are_round_and_reach_the_top(most: int, expected: list[int]) -> None:
    assert svg.ticks(most) == expected


def test_labels_are_moved_apart_within_the_plot() -> None:
    placed = svg.spread([100, 100, 101, 20], 10, 110)
    assert sorted(placed) == [20, 78, 94, 110]
    assert placed[3] == 20


def test_the_most_used_have_a_line_each() -> None:
    uses = {f"p{n}": [1000 * (20 - n), 20_000 - n] for n in range(20)}
    ends = ["2026-01-02T00:00:00.000Z", "2026-01-09T00:00:00.000Z"]
    said = Said(id="x", title="", text="")
    image = str(report_plots.uses_over_time(said, "2026-01-01T00:00:00.000Z", ends, uses))
    labels = Html(image).texts["text"]
    assert [one for one in labels if one.startswith("p")] == [
        f"p{n} {20_000 - n}" for n in range(report_plots.MAX_LINES)
    ]
    assert {"0", "5000", "10k", "20k", "2026-01-01", "2026-01-09"} <= set(labels)
    assert image.count("<path") == report_plots.MAX_LINES


def test_who_was_used_alike_has_one_line() -> None:
    uses = {"a": [1, 2], "b": [1, 2], "c": [0, 2]}
    ends = ["2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z"]
    said = Said(id="x", title="", text="")
    image = str(report_plots.uses_over_time(said, "2026-01-01T00:00:00.000Z", ends, uses))
    assert image.count("<path") == 2
    assert {"a 2", "b 2", "c 2"} <= set(Html(image).texts["text"])


def test_what_goes_beyond_its_limit_has_another_colour() -> None:
    said = Said(id="x", title="", text="")
    over = str(report_plots.levels(said, [Level("a", Decimal(3), Decimal(2), "3 of 2")]))
    within = str(report_plots.levels(said, [Level("a", Decimal(1), Decimal(2), "1 of 2")]))
    assert (svg.COLOURS[1] in over, svg.COLOURS[1] in within) == (True, False)


def test_terms_in_words(told: tuple[Path, Story]) -> None:
    document = next(
        one.body["document"]
        for one in told[1]
        if one.type == "AgreementConcluded" and one.body["agreement"] == "limited"
    )
    assert terms_of(document, "en") == [
        "permission 1: use; the number of uses, this one included: at most 3",
        "duty: delete what was received; duty: pay for the use",
    ]
    assert terms_of(document, "zh") == [
        "第 1 条许可：use；使用次数（含本次）不得超过 3",
        "义务：删除所接收的内容；义务：支付使用费",
    ]
    assert terms_of("{}", "en") == []
