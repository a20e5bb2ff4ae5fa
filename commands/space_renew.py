"""`tds space renew`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from commands.output import JsonFlag, print_json, print_table, say
from commands.space_people import SpaceFolder
from server.space import load_space
from server.space_certificates import renew_certificates


def renew(
    space: SpaceFolder,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what has more than a third of its life left.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Renew the space's own certificates: governance's, the SuperLink's, the operator's and its
    consumer's, for the same keys. Start `tds serve` again afterwards.

    Example: tds space renew --space ./space
    """
    loaded = load_space(space)
    found = renew_certificates(loaded, now=datetime.now(UTC), everything=everything)
    if as_json:
        print_json([asdict(one) | {"end": one.end.isoformat()} for one in found])
        return
    print_table(
        "certificates",
        ["whose", "until", "renewed"],
        [[one.name, f"{one.end:%Y-%m-%d}", "yes" if one.renewed else ""] for one in found],
    )
    if any(one.renewed for one in found):
        say("start `tds serve` again: what runs goes on with the certificates that it has read")
