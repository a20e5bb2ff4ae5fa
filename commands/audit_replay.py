"""`tds audit replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from auditors.shares import replay_log
from commands.audit_input import tell_violations, violations_json
from commands.errors import Exit
from commands.output import STDERR, JsonFlag, print_json, say


def replay(
    folder: Annotated[Path, typer.Argument(help="A copy of the log's folder.")],
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Processes; as many as it is worth if left out."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Recompute every decision of a log from the entries before it, and name what does not follow.

    Reports, left values, cohorts, permits, receipts, budgets, closes and the chain of models: ends
    with 0 when everything follows, 4 when something does not (entry and rule are named). Needs the
    folder only, and takes its entries as they stand: that nobody changed them is for
    `tds audit verify` to say.

    Example: tds audit replay ./log
    """
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        bar = progress.add_task("replaying entries")
        found = replay_log(
            folder,
            jobs=jobs,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if as_json:
        print_json(
            {
                "entries": found.entries,
                "decisions": found.decisions,
                "permits": found.permits,
                "receipts": found.receipts,
                "violations": violations_json(found.violations),
            }
        )
    else:
        say(
            f"replayed: {found.entries} entries, {found.decisions} decisions, "
            f"{found.permits} permits, {found.receipts} receipts"
        )
        tell_violations(found.violations)
        if not found.violations:
            say("every decision follows from the entries before it, and so does what came of it")
    if found.violations:
        raise typer.Exit(Exit.RULE_BROKEN)
