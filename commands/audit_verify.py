"""`tds audit verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditors.rules import check_rules
from commands.audit_input import (
    MAX_NOTE_BYTES,
    read_text,
    tell_violations,
    verified_folder,
    violations_json,
)
from commands.errors import Exit
from commands.output import JsonFlag, print_json, say


def verify(
    folder: Annotated[Path, typer.Argument(help="A copy of the log's folder.")],
    key: Annotated[
        str, typer.Option(help="The log's public key (name+hash+base64), or a file that holds it.")
    ],
    seen: Annotated[
        list[Path] | None,
        typer.Option(help="A signed checkpoint that somebody else saw (a node, another auditor)."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Verify that nothing was changed, dropped or rewritten, and that the entries keep the rules.

    Ends with 0 when all holds, 3 when the log's integrity is broken (the place is named), 4 when
    the log is intact but records a broken rule (a use without a permit, a use after withdrawal).
    Dropping the newest entries together with their checkpoints can only be seen against a later
    checkpoint: keep one from each audit, and ask the nodes for theirs (--seen).

    Example: tds audit verify ./log --key log-key.txt --seen clinic/log-seen.txt
    """
    heads = [read_text(path, MAX_NOTE_BYTES) for path in seen or []]
    verified = verified_folder(folder, key, heads)
    violations = check_rules(folder, size=verified.size)
    if as_json:
        print_json(
            {
                "origin": verified.origin,
                "size": verified.size,
                "root": verified.root_hex,
                "seen": len(heads),
                "violations": violations_json(violations),
            }
        )
    else:
        say(
            f"verified: {verified.size} entries of {verified.origin}, root "
            f"{verified.root_hex[:16]}…, {len(heads)} checkpoints seen by others"
        )
        tell_violations(violations)
        if not violations:
            say("rules kept: every use had a permit, no permit after a withdrawal, rounds chained")
    if violations:
        raise typer.Exit(Exit.RULE_BROKEN)
