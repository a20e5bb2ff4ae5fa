"""`tds audit`: offline, from a folder; needs no governance, no database, no network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from auditors.find import Wanted, find_entries
from auditors.rules import Violation, check_rules
from auditors.shares import replay_log
from auditors.verify import Verified, verify_folder
from commands.errors import BadInput, Exit
from commands.output import STDERR, JsonFlag, print_json, say
from commands.reading import read_bounded
from policies.errors import DocumentError
from policies.values import parse_datetime

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
    verified = _verified(folder, key, heads)
    violations = check_rules(folder, size=verified.size)
    if as_json:
        print_json(
            {
                "origin": verified.origin,
                "size": verified.size,
                "root": verified.root_hex,
                "checkpoints": verified.checkpoints,
                "seen": len(heads),
                "violations": _violations(violations),
            }
        )
    else:
        say(
            f"verified: {verified.size} entries of {verified.origin}, root "
            f"{verified.root_hex[:16]}…, {verified.checkpoints} signed checkpoints, "
            f"{len(heads)} seen by others"
        )
        _tell(violations)
        if not violations:
            say("rules kept: every use had a permit, no permit after a withdrawal, rounds chained")
    if violations:
        raise typer.Exit(Exit.RULE_BROKEN)


@cli.command("replay")
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
                "violations": _violations(found.violations),
            }
        )
    else:
        say(
            f"replayed: {found.entries} entries, {found.decisions} decisions, "
            f"{found.permits} permits, {found.receipts} receipts"
        )
        _tell(found.violations)
        if not found.violations:
            say("every decision follows from the entries before it, and so does what came of it")
    if found.violations:
        raise typer.Exit(Exit.RULE_BROKEN)


@cli.command("find")
def find(
    folder: Annotated[Path, typer.Argument(help="A copy of the log's folder.")],
    participant: Annotated[str | None, typer.Option(help="About this participant.")] = None,
    product: Annotated[str | None, typer.Option(help="About this product.")] = None,
    agreement: Annotated[str | None, typer.Option(help="Under this agreement.")] = None,
    run: Annotated[str | None, typer.Option(help="Of this run, or the beginning of it.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Of runs for this purpose.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From this moment on: 2026-01-31T08:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before this moment.")] = None,
    key: Annotated[
        str | None,
        typer.Option(help="The log's public key, or a file that holds it: verifies first."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find entries by participant, product, agreement, run, purpose and time.

    With --key the whole log is verified first (exit code 3 if it does not hold): then what is found
    is all there is. Without, the entries are taken as they stand.

    Example: tds audit find ./log --participant riverside --since 2026-01-01T00:00:00Z
    """
    wanted = Wanted(
        participant=participant,
        product=product,
        agreement=agreement,
        run=run,
        purpose=purpose,
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
    )
    size = None if key is None else _verified(folder, key, []).size
    found = find_entries(folder, wanted, size=size)
    if as_json:
        entries = [
            {"entry": one.index, "time": one.time, "type": one.type, "summary": one.summary}
            for one in found
        ]
        print_json({"verified": key is not None, "entries": entries})
        return
    count = 0
    for one in found:
        count += 1
        say(f"{one.index}  {one.time}  {one.type}: {one.summary}")
    if size is not None:
        say(f"{count} found; the log of {size} entries was verified, so these are all there are")
    else:
        say(f"{count} found; not verified: give --key to know that nothing was changed or dropped")


def _verified(folder: Path, key: str, heads: Sequence[str]) -> Verified:
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        bar = progress.add_task("verifying entries")
        return verify_folder(
            folder,
            verifier_key=_key(key),
            seen=heads,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def _violations(found: Sequence[Violation]) -> list[dict[str, object]]:
    return [{"entry": one.index, "rule": one.rule, "text": one.text} for one in found]


def _tell(found: Sequence[Violation]) -> None:
    for one in found:
        say(f"entry {one.index} breaks a rule ({one.rule}): {one.text}")


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_datetime(text, option)
    except DocumentError as error:
        raise BadInput(str(error)) from error


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
    """A text file, bounded."""
    data = read_bounded(path, limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: expected UTF-8 text, got other bytes") from error
