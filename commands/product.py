"""`tds product`: an enterprise's data products."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.owner import open_owner
from commands.node import NodeFolder, node_client
from commands.output import JsonFlag, print_columns, print_json, say
from commands.reading import documents

cli = typer.Typer(no_args_is_help=True, help="Data products: what a node offers, without its rows.")


@cli.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="The product file (JSON) beside or over the data.")],
    node: NodeFolder,
) -> None:
    """Check a product file and its data, and register what it is; no row leaves the node.

    Example: tds product add product.json --node ./clinic
    """
    with open_owner(node) as owner:
        registered = owner.add_product(file)
    say(f"registered {registered.id} (entry {registered.index} of the space's log)")
    say(f"next: write an agreement for it, then: tds contract accept agreement.json --node {node}")


@cli.command("list")
def list_products(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """List all data products of the space.

    Example: tds product list --node ./clinic
    """
    with node_client(node) as governance:
        found = documents(governance.list_documents("products"))
    if as_json:
        print_json(found)
    else:
        print_columns("data products", ["product", "participant", "rows", "classification"], found)


@cli.command("show")
def show(
    product: Annotated[str, typer.Argument(help="Its id.")],
    node: NodeFolder,
) -> None:
    """Show one data product's card as JSON.

    Example: tds product show clinic/biopsies --node ./clinic
    """
    with node_client(node) as governance:
        found = documents(governance.list_documents("products"))
    matching = [item for item in found if item.get("product") == product]
    if not matching:
        ids = ", ".join(sorted(str(item.get("product")) for item in found)) or "none"
        raise typer.BadParameter(f"no product {product}; the space has: {ids}")
    print_json(matching[0])
