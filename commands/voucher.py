"""`tds voucher`: prepaid units of a consumer, which runs pay for uses with."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from commands.output import JsonFlag, print_columns, print_json, say
from commands.reading import objects
from commands.space_people import SpaceFolder
from server.governance_client import GovernanceClient
from server.space import load_space

cli = typer.Typer(no_args_is_help=True, help="Vouchers: prepaid units that runs pay with.")


@cli.command("issue")
def issue(
    consumer: Annotated[str, typer.Argument(help="The consumer's id.")],
    amount: Annotated[str, typer.Option(help="Units, such as 100 or 2.5.")],
    space: SpaceFolder,
    request_id: Annotated[
        str, typer.Option(help="The same id again issues nothing new; random if left out.")
    ] = "",
) -> None:
    """Issue a voucher to a consumer; it is logged. `tds serve` must run.

    Example: tds voucher issue consortium --amount 100 --space ./space
    """
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        index, voucher = governance.issue_voucher(
            consumer=consumer, amount=amount, request_id=request_id or secrets.token_hex(16)
        )
    say(f"issued {voucher} over {amount} units to {consumer}, log entry {index}")
    say(f"there: tds run start … --pays 1 --voucher {voucher}")


@cli.command("list")
def list_vouchers(space: SpaceFolder, as_json: JsonFlag = False) -> None:
    """List vouchers with what is left of them. Example: tds voucher list --space ./space"""
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        found = objects(governance.list("vouchers"))
    if as_json:
        print_json(found)
    else:
        print_columns("vouchers", ["voucher", "consumer", "amount", "spent", "balance"], found)
