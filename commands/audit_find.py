"""`tds audit find`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from auditors.find import Wanted, find_entries
from commands.audit_input import verified_folder
from commands.errors import BadInput
from commands.output import JsonFlag, print_json, say
from policies.errors import DocumentError
from policies.values import parse_datetime


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
        since=moment(since, "--since"),
        until=moment(until, "--until"),
    )
    size = None if key is None else verified_folder(folder, key, []).size
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


def moment(text: str | None, option: str) -> datetime | None:
    """An option's moment; BadInput where it is none."""
    if text is None:
        return None
    try:
        return parse_datetime(text, option)
    except DocumentError as error:
        raise BadInput(str(error)) from error
