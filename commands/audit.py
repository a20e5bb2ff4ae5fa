"""`tds audit`: offline, from a folder; needs no governance, no database, no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from auditors.rules import check_rules
from auditors.verify import verify_folder
from commands.errors import BadInput, Exit
from commands.output import STDERR, JsonFlag, print_json, say

cli = typer.Typer(no_args_is_help=True, help="Audit a space's log, offline.")

MAX_KEY_BYTES = 4096
MAX_NOTE_BYTES = 1 << 20


@cli.command("verify")
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
    heads = [_read(path, MAX_NOTE_BYTES) for path in seen or []]
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        bar = progress.add_task("verifying entries")
        verified = verify_folder(
            folder,
            verifier_key=_key(key),
            seen=heads,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
        violations = check_rules(folder, size=verified.size)
    if as_json:
        print_json(
            {
                "origin": verified.origin,
                "size": verified.size,
                "root": verified.root_hex,
                "checkpoints": verified.checkpoints,
                "seen": len(heads),
                "violations": [
                    {"entry": item.index, "rule": item.rule, "text": item.text}
                    for item in violations
                ],
            }
        )
    else:
        say(
            f"verified: {verified.size} entries of {verified.origin}, root "
            f"{verified.root_hex[:16]}…, {verified.checkpoints} signed checkpoints, "
            f"{len(heads)} seen by others"
        )
        for item in violations:
            say(f"entry {item.index} breaks a rule ({item.rule}): {item.text}")
        if not violations:
            say("rules kept: every use had a permit, no permit after a withdrawal, rounds chained")
    if violations:
        raise typer.Exit(Exit.RULE_BROKEN)


def _key(text: str) -> str:
    """A verifier key as given, or from the file that is named."""
    path = Path(text)
    try:
        is_file = path.exists()
    except OSError:  # longer than a file's name may be
        is_file = False
    if "+" in text and not is_file:
        return text.strip()
    return _read(path, MAX_KEY_BYTES).strip()


def _read(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{path}: expected a readable file, got: {error.strerror}") from error
    if len(data) > limit:
        raise BadInput(f"{path}: expected at most {limit} bytes, got more")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: expected UTF-8 text, got other bytes") from error
