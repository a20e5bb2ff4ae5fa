"""`tds policy`: check policies, try decisions, and understand those that were made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands import decide, explain
from commands.output import JsonFlag, print_json, say
from commands.policyfile import read_policy
from policies.odrl import Offer

cli = typer.Typer(no_args_is_help=True, help="Check policies and try decisions.")
cli.command("decide")(decide.decide)
cli.command("explain")(explain.explain)

PolicyFile = Annotated[Path, typer.Argument(help="An ODRL Agreement or Offer as JSON.")]


@cli.command("check")
def check(file: PolicyFile, as_json: JsonFlag = False) -> None:
    """Check a policy as strictly as governance will; names the JSON path of what is wrong.

    Example: tds policy check agreement.json
    """
    parsed = read_policy(file)
    if as_json:
        print_json({"ok": True, "policy": parsed.to_json()})
    else:
        kind = "Offer" if isinstance(parsed, Offer) else "Agreement"
        say(
            f"{file}: a valid {kind}, {len(parsed.permissions)} permissions, "
            f"{len(parsed.prohibitions)} prohibitions"
        )
