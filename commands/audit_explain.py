"""`tds audit explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from auditors.explain_entry import Line, Told, explain_entry
from auditors.explain_say import Say
from auditors.lines import log_lines
from auditors.report_scope import Checked
from commands.audit_checked import opened_log
from commands.audit_input import KeyOption, PolicyOption
from commands.audit_names import NamesOption, read_names
from commands.audit_source import CaOption, MirrorOption, SourceArgument
from commands.output import JsonFlag, print_json, say
from commands.telling import LanguageOption, parse_language, say_explanation
from policies.phrases import Language


def explain(
    log: SourceArgument,
    entry: Annotated[int, typer.Argument(help="Which entry, counted from 0.", min=0)],
    language: LanguageOption = "en",
    key: KeyOption = None,
    policy: PolicyOption = None,
    ca: CaOption = None,
    kept: MirrorOption = None,
    names: NamesOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say in plain sentences what an entry says, what it rests on, and what followed from it.

    A decision is told candidate by candidate, each evaluated once more from what stands in the log.
    Works on the log of a space, and on a node's own. With --key or --policy the log is verified
    first (exit code 3 if it does not hold). An entry that cannot be read ends with 4.

    Example: tds audit explain ./log 48 --lang zh
    """
    words = parse_language(language)
    known = read_names(names)
    with opened_log(log, key, policy, ca=ca, kept=kept) as opened:
        checked = opened.checked
        told = explain_entry(lambda: log_lines(opened.folder, opened.size), entry, words, known)
    if as_json:
        print_json({"verified": checked.verified, **told.to_json()})
    else:
        _say(told, checked, words, Say(words, known))


def _say(told: Told, checked: Checked, language: Language, words: Say) -> None:
    say(words("head", index=told.index, time=told.entry.time, type=told.entry.type))
    for sentence in told.says:
        say(f"  {sentence}")
    for verdict in told.verdicts:
        say("")
        say(verdict.headline)
        say_explanation(verdict, language)
    say("")
    say(words("rests") if told.rests else words("rests-none"))
    _lines(told.rests)
    if told.more_rests:
        say(f"  {words('rests-more', n=told.more_rests)}")
    parts = ", ".join(f"{kind} {count}" for kind, count in told.types.items())
    say(words("followed", parts=parts) if told.followed else words("followed-none"))
    _lines(told.followed)
    more = sum(told.types.values()) - len(told.followed)
    if more:
        say(f"  {words('followed-more', n=more)}")
    if checked.verified:
        found = {"size": checked.size, "origin": checked.origin, "root": checked.root}
        say(words("verified", **found))
    else:
        say(words("unverified"))


def _lines(lines: tuple[Line, ...]) -> None:
    for one in lines:
        say(f"  #{one.entry}  {one.time}  {one.text}")
