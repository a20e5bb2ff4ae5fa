"""`tds audit report`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from auditors.known import Known
from auditors.lines import log_lines
from auditors.page import render
from auditors.records import Template, record_bytes, record_page
from auditors.report_csv import FILES, write_csv
from auditors.report_facts import Facts, collect
from auditors.report_json import report_bytes, report_json
from auditors.report_page import report_page
from auditors.report_scope import Scope
from commands.audit_checked import Opened, check_first, opened_log
from commands.audit_find import moment
from commands.audit_input import KeyOption, PolicyOption, tell_violations
from commands.audit_names import NamesOption, pseudonym_of, read_names
from commands.audit_source import CaOption, MirrorOption, SourceArgument
from commands.errors import BadInput, Exit
from commands.output import say
from commands.telling import LanguageOption, parse_language
from policies.phrases import Language

PRIVATE: Final = 0o600
Format = Literal["html", "json", "csv"]


def report(
    log: SourceArgument,
    out: Annotated[
        Path, typer.Option(help="File to write; with --format csv, a folder for the files.")
    ],
    key: KeyOption = None,
    policy: PolicyOption = None,
    seen: Annotated[
        list[Path] | None, typer.Option(help="A signed checkpoint that somebody else saw.")
    ] = None,
    ca: CaOption = None,
    kept: MirrorOption = None,
    template: Annotated[
        Template | None,
        typer.Option(help="Instead of the report a record that a law asks for."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = "html",
    language: LanguageOption = "en",
    participant: Annotated[
        str | None, typer.Option(help="Only what concerns this participant.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only this run, by its whole id.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from this moment on: 2026-01-31T08:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only before this moment.")] = None,
    names: NamesOption = None,
) -> None:
    """Write a report: who used whose data, when, for what, who was refused and why, what is
    missing.

    Verifies (with --key or --policy) and replays the log first. If its integrity is broken there is
    no report and the exit code is 3; if it records broken rules they stand in the report in red
    and the exit code is 4. The HTML file needs nothing but itself; print it from a browser for a
    PDF. What is written with --names has mode 0600.

    Example: tds audit report ./log --key log-key.txt --out report.html
    """
    words = parse_language(language)
    if template is not None and form == "csv":
        raise BadInput(f"--template {template}: expected --format html or json, got csv")
    if form != "csv" and out.is_dir():
        raise BadInput(f"{out}: expected a file to write, got a folder; give --out {out}/report")
    if form == "csv" and out.exists() and not out.is_dir():
        raise BadInput(f"{out}: expected a folder for the CSV files, got a file")
    known = read_names(names)
    scope = Scope(
        participant=pseudonym_of(participant, known) if participant else "",
        run=run or "",
        since=moment(since, "--since"),
        until=moment(until, "--until"),
    )
    with opened_log(log, key, policy, seen=seen or [], ca=ca, kept=kept) as opened:
        checked, book = check_first(opened)
        facts = collect(log_lines(opened.folder, opened.size), checked, scope, book)
        if names is not None:
            _make_private(out, form)
        if template is not None:
            _write_record(out, form, report_json(facts, known), template, words)
        else:
            _write(out, form, facts, opened, known, words)
    say(f"{out}: {facts.use_count} uses, {facts.refused} refusals, {facts.missing.total} missing")
    tell_violations(checked.violations)
    if checked.violations:
        raise typer.Exit(Exit.RULE_BROKEN)


def _make_private(out: Path, form: Format) -> None:
    """What holds names is for its owner to read; so made before anything is in it."""
    if form == "csv":
        out.mkdir(parents=True, exist_ok=True)
    for path in [out / name for name in FILES] if form == "csv" else [out]:
        path.touch(mode=PRIVATE)
        path.chmod(PRIVATE)


def _write_record(
    out: Path, form: Format, document: Mapping[str, Any], template: Template, language: Language
) -> None:
    if form == "json":
        out.write_bytes(record_bytes(document, template, language))
    else:
        out.write_text(render(record_page(document, template, language)), encoding="utf-8")


def _write(
    out: Path,
    form: Format,
    facts: Facts,
    log: Opened,
    known: Known,
    language: Language,
) -> None:
    if form == "csv":
        write_csv(out, log_lines(log.folder, log.size), facts.scope, facts, known)
        return
    if form == "json":
        out.write_bytes(report_bytes(facts, known))
    else:
        page = report_page(report_json(facts, known), language)
        out.write_text(render(page), encoding="utf-8")
