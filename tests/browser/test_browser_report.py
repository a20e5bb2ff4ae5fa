"""Reports in a real browser: nothing is cut, nothing is fetched, and they print to PDF."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from auditors.known import Known
from auditors.lines import log_lines
from auditors.page import render
from auditors.records import record_page
from auditors.report_facts import Facts, collect
from auditors.report_json import report_json
from auditors.report_page import report_page
from auditors.report_scope import Checked, Scope
from auditors.shares import replay_log
from policies.phrases import Language

CHECKED = Checked(
    verified=True, origin="logs.example/replay", size=58, root="ab" * 32, replayed=True
)
LONG = Known({"alpha": "The University Hospital of a Town with a Remarkably Long Name"})
PAGES = ("report-en", "report-zh", "gdpr-30-en", "ai-act-12-en", "pipl-zh")


@pytest.fixture(scope="session")
def facts(log: Path) -> Facts:
    return collect(log_lines(log), CHECKED, Scope(), replay_log(log).book)


@pytest.fixture(scope="session", params=PAGES)
def file(
    request: pytest.FixtureRequest, facts: Facts, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    name, _, spoken = str(request.param).rpartition("-")
    language: Language = "zh" if spoken == "zh" else "en"
    document = report_json(facts, LONG)
    made = (
        report_page(document, language)
        if name == "report"
        else record_page(document, name, language)  # type: ignore[arg-type]
    )
    path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_text(render(made), encoding="utf-8")
    return path


def opened(browser: Browser, file: Path, width: int) -> tuple[Page, list[str]]:
    """The page, and whatever it asked for or complained about."""
    heard: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    page.goto(file.as_uri())
    heard.remove(file.as_uri())
    return page, heard


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_fetched_and_nothing_is_cut(browser: Browser, file: Path, width: int) -> None:
    page, heard = opened(browser, file, width)
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = page.evaluate(
        "() => [...document.querySelectorAll('td, th, p, li, dd, dt, h1, h2, h3')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 2 && e.clientWidth > 2)"
        ".map(e => e.tagName + ': ' + e.textContent.slice(0, 60))"
    )
    assert beyond == []
    # The style is there: the Content-Security-Policy lets its digest through.
    assert page.evaluate(
        "getComputedStyle(document.querySelector('.verdict')).borderLeftStyle"
    ) == ("solid")
    page.close()


def test_text_of_plots_stays_inside(browser: Browser, file: Path) -> None:
    page, _ = opened(browser, file, 1280)
    outside = page.evaluate(
        "() => [...document.querySelectorAll('svg')].flatMap(svg => {"
        " const box = svg.getBoundingClientRect();"
        " return [...svg.querySelectorAll('text')].filter(t => {"
        "  const r = t.getBoundingClientRect();"
        "  return r.left < box.left - 1 || r.right > box.right + 1;"
        " }).map(t => t.textContent); })"
    )
    assert outside == []
    page.close()


def test_it_prints(browser: Browser, file: Path, tmp_path: Path) -> None:
    page, _ = opened(browser, file, 1280)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # 182 mm: A4 without its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    printed = tmp_path / "report.pdf"
    page.pdf(path=str(printed), prefer_css_page_size=True, print_background=True)
    page.close()
    text = subprocess.run(
        ["pdftotext", "-layout", str(printed), "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = text.rstrip("\f").split("\f")
    assert len(pages) >= 3
    assert all(one.strip() for one in pages), "no page is empty"
    heading = "Audit report" if file.stem == "report-en" else ""
    assert heading in pages[0]
    assert pages[0].split()[-1] in ("1/" + str(len(pages)), str(len(pages))), "pages are numbered"
