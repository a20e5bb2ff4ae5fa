"""`tds node consent`: the consents of a product's subjects, edited in the product's own table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from clients.consent_edit import Edit, give, list_consents, withdraw
from clients.identity import load_identity
from clients.product import load_product
from clients.state import NodeState
from commands.errors import BadInput
from commands.node_wiring import now
from commands.output import JsonFlag, print_json, print_table, say
from policies.relations import PURPOSES

cli = typer.Typer(no_args_is_help=True, help="The consents of a product's subjects.")

WHEN: Final = (
    "in force for the next use that begins; a use that has begun ends with the rows that it had "
    "(to end it now: tds node withdraw AGREEMENT)"
)

NodeFolder = Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")]
ProductId = Annotated[str, typer.Argument(help="The product's id.")]
SubjectId = Annotated[
    str, typer.Argument(help="The subject's id as the data has it; - reads it from stdin.")
]


@cli.command("list")
def consent_list(
    product: ProductId,
    node: NodeFolder,
    subject: Annotated[str, typer.Argument(help="Of this subject only.")] = "",
    limit: Annotated[int, typer.Option(help="Show at most so many lines.", min=1)] = 1000,
    as_json: JsonFlag = False,
) -> None:
    """Show the lines of a product's consent table, and which stand now; withdrawn ones stay in it.

    Example: tds node consent list clinic/biopsies p-0001 --node ./clinic
    """
    path = table_of(node, product)
    found, count = list_consents(path, subject=_id(subject) or None, now=now(), limit=limit)
    names = ("subject", "purpose", "given", "withdrawn", "evidence")
    if as_json:
        lines = [
            {name: getattr(one.line, name) for name in names} | {"stands": one.stands}
            for one in found
        ]
        print_json({"table": str(path), "count": count, "consents": lines})
        return
    print_table(
        f"consents in {path}",
        [*names, "stands now"],
        [
            [*(getattr(one.line, name) for name in names), "yes" if one.stands else "no"]
            for one in found
        ],
    )
    if count > len(found):
        say(f"{count - len(found)} more lines are not shown; give a subject, or --limit {count}")


@cli.command("give")
def consent_give(
    product: ProductId,
    subject: SubjectId,
    node: NodeFolder,
    purpose: Annotated[str, typer.Option(help="Such as medical-research; covers narrower ones.")],
    evidence: Annotated[str, typer.Option(help="What shows it, such as a form's number.")],
) -> None:
    """Add a line to a product's consent table: this subject consents to this purpose from now on.

    Example: tds node consent give clinic/biopsies p-0001 --purpose medical-research
    --evidence "form 17/2026" --node ./clinic
    """
    path = table_of(node, product)
    done = give(path, subject=_id(subject), purpose=purpose, evidence=evidence, now=now())
    if purpose not in PURPOSES:
        say(f"{purpose} is in no table of purposes: it covers no other, and no other covers it")
    _say_done(done, path)


@cli.command("withdraw")
def consent_withdraw(
    product: ProductId,
    subject: SubjectId,
    node: NodeFolder,
    purpose: Annotated[
        str, typer.Option(help="For this purpose, wider and narrower ones; all if left out.")
    ] = "",
    evidence: Annotated[str, typer.Option(help="What shows the withdrawal.")] = "",
) -> None:
    """Withdraw a subject's consents in a product's table; the lines stay, with the moment.

    Example: tds node consent withdraw clinic/biopsies p-0001 --node ./clinic
    """
    path = table_of(node, product)
    done = withdraw(
        path, subject=_id(subject), purpose=purpose or None, evidence=evidence, now=now()
    )
    _say_done(done, path)


def table_of(node: Path, product: str) -> Path:
    """The consent table of a product of this node.

    Raises:
        BadInput: no such product, or it has no table.
        ClientError: the node's folder or the product file cannot be read.
    """
    state = NodeState.open(load_identity(node).paths.state)
    try:
        record = state.product(product)
        known = [one.id for one in state.products()]
    finally:
        state.close()
    if record is None:
        raise BadInput(f"product: expected one of {', '.join(known) or 'none'}, got {product}")
    table = load_product(Path(record.file)).consent
    if table is None:
        raise BadInput(
            f'product {product}: expected "subject_consent": "table" in {record.file}, got none; '
            "register a version that has one: tds product add, with a higher data_version"
        )
    return table


def _id(subject: str) -> str:
    return sys.stdin.readline().rstrip("\r\n") if subject == "-" else subject


def _say_done(done: Edit, path: Path) -> None:
    if not done.changed and not done.added:
        say("this consent stands already; nothing was changed")
        return
    say(f"{path}: {len(done.changed)} lines withdrawn, {len(done.added)} added; {WHEN}")
