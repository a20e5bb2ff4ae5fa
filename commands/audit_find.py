"""`tds audit find`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer

from auditors.find import Found, Wanted, find_entries
from auditors.report_scope import Checked
from commands.audit_checked import opened_log
from commands.audit_input import KeyOption, PolicyOption
from commands.audit_names import NamesOption, named, pseudonym_of, read_names
from commands.audit_source import CaOption, MirrorOption, SourceArgument
from commands.errors import BadInput
from commands.output import JsonFlag, print_json, say
from policies.entries import ENTRY_TYPES
from policies.errors import DocumentError
from policies.values import parse_datetime


def find(
    log: SourceArgument,
    participant: Annotated[
        str | None,
        typer.Option(help="About this participant: its pseudonym, or its name."),
    ] = None,
    product: Annotated[str | None, typer.Option(help="About this product.")] = None,
    agreement: Annotated[
        str | None,
        typer.Option(
            "--agreement",
            "--consent",
            help="Under this agreement: its consent given, used and withdrawn.",
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(help="Of this run, or the beginning of it.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Of runs for this purpose.")] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="Of this type, such as ReceiptAccepted.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="From this moment on: 2026-01-31T08:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before this moment.")] = None,
    key: KeyOption = None,
    policy: PolicyOption = None,
    ca: CaOption = None,
    kept: MirrorOption = None,
    names: NamesOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find entries by participant, product, consent, run, purpose, type and time.

    With --key or --policy the whole log is verified first (exit code 3 if it does not hold): then
    what is found is all there is, up to the size and root that are named. Without, the entries are
    taken as they stand.

    Example: tds audit find ./log --participant riverside --since 2026-01-01T00:00:00Z
    """
    known = read_names(names)
    wanted = Wanted(
        participant=pseudonym_of(participant, known) if participant else participant,
        product=product,
        agreement=agreement,
        run=run,
        purpose=purpose,
        type=_type(kind),
        since=moment(since, "--since"),
        until=moment(until, "--until"),
    )
    with opened_log(log, key, policy, ca=ca, kept=kept) as opened:
        checked = opened.checked
        found = find_entries(opened.folder, wanted, size=opened.size)
        told = ((one, named(one.summary, known)) for one in found)
        if as_json:
            print_json(_json(checked, told))
        else:
            _tell(checked, told)


def _json(checked: Checked, told: Iterable[tuple[Found, str]]) -> dict[str, object]:
    entries = [
        {"entry": one.index, "time": one.time, "type": one.type, "summary": summary}
        for one, summary in told
    ]
    rest = {"origin": checked.origin, "size": checked.size, "root": checked.root}
    verified = {"verified": checked.verified, **(rest if checked.verified else {})}
    return {**verified, "entries": entries}


def _tell(checked: Checked, told: Iterable[tuple[Found, str]]) -> None:
    count = 0
    for one, summary in told:
        count += 1
        say(f"{one.index}  {one.time}  {one.type}: {summary}")
    if checked.verified:
        say(
            f"{count} found; the log of {checked.size} entries was verified, so these are all "
            f"there are up to its root {checked.root}"
        )
    else:
        say(f"{count} found; not verified: give --key to know that nothing was changed or dropped")


def moment(text: str | None, option: str) -> datetime | None:
    """An option's moment; BadInput where it is none."""
    if text is None:
        return None
    try:
        return parse_datetime(text, option)
    except DocumentError as error:
        raise BadInput(str(error)) from error


def _type(text: str | None) -> str | None:
    if text is None or text in ENTRY_TYPES:
        return text
    raise BadInput(f"--type: expected one of {', '.join(sorted(ENTRY_TYPES))}, got {text!r:.60}")
