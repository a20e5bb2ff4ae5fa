"""`tds audit replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditors.wholelog import Replayed
from commands.audit_checked import opened_log, replayed
from commands.audit_input import KeyOption, PolicyOption, tell_violations, violations_json
from commands.audit_source import CaOption, MirrorOption, SourceArgument
from commands.audit_verify import tell_verified, verified_json
from commands.errors import Exit
from commands.output import JsonFlag, print_json, say


def replay(
    log: SourceArgument,
    key: KeyOption = None,
    policy: PolicyOption = None,
    seen: Annotated[
        list[Path] | None,
        typer.Option(help="A signed checkpoint that somebody else saw; needs --key or --policy."),
    ] = None,
    ca: CaOption = None,
    kept: MirrorOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Processes; as many as it is worth if left out."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Recompute every decision of a log from the entries before it, and name what does not follow.

    Reports, left values, cohorts, permits, receipts, budgets, closes and the chain of models: ends
    with 0 when everything follows, 4 when something does not (entry and rule are named). With --key
    or --policy the log is verified first, as by `tds audit verify`, and the end is 3 if it does not
    hold. Without, the entries are taken as they stand.

    Example: tds audit replay ./log --key log-key.txt
    """
    with opened_log(log, key, policy, seen=seen or [], ca=ca, kept=kept) as opened:
        verified = opened.verified
        if verified is not None and not as_json:
            tell_verified(verified, opened.seen)
        found = replayed(opened, jobs)
    if as_json:
        first = verified_json(verified) | {"seen": opened.seen} if verified is not None else None
        print_json({"verified": first} | _json(found))
    else:
        _tell(found, trusted=verified is not None)
    if found.violations:
        raise typer.Exit(Exit.RULE_BROKEN)


def _json(found: Replayed) -> dict[str, object]:
    return {
        "entries": found.entries,
        "decisions": found.decisions,
        "permits": found.permits,
        "receipts": found.receipts,
        "violations": violations_json(found.violations),
    }


def _tell(found: Replayed, *, trusted: bool) -> None:
    say(
        f"replayed: {found.entries} entries, {found.decisions} decisions, "
        f"{found.permits} permits, {found.receipts} receipts"
    )
    tell_violations(found.violations)
    if not found.violations:
        say("every decision follows from the entries before it, and so does what came of it")
    if not trusted:
        say(
            "the entries were taken as they stand: give --key or --policy to know that nobody "
            "changed or dropped any"
        )
