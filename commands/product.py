"""`tds product`: an enterprise's data products."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clients.contracts import open_contracts
from clients.identity import load_identity
from clients.owner import governance_client, open_owner
from commands.contract_draft import MasksOption
from commands.errors import BadInput, CommandFailed, Exit
from commands.node import NodeFolder, node_client
from commands.output import JsonFlag, print_columns, print_json, say
from commands.product_accept import accept_drafts, publish_offer
from commands.product_data import Data, file_data, folder_data, is_data, source_data
from commands.product_draft import draft_product
from commands.readiness import print_readiness
from commands.reading import documents
from commands.space_people import SpaceFolder
from policies.canonical import Json, digest_of, parse_json
from policies.certificate import open_certificate
from policies.errors import PolicyError
from policies.pseudonym import is_pseudonym
from policies.space import SpaceCard
from server.governance_client import GovernanceClient
from server.space import load_space

MAX_PRODUCT_BYTES = 2 << 20
COLUMNS = ["product", "participant", "rows", "data_version", "classification", "certificate"]

cli = typer.Typer(no_args_is_help=True, help="Data products: what a node offers, without its rows.")


@cli.command("add")
def add(
    node: NodeFolder,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The product file (JSON); or data (.csv, .jsonl, .parquet) to draft one from."
        ),
    ] = None,
    purpose: Annotated[
        str, typer.Option(help="With data: draft an offer for this purpose, too.")
    ] = "",
    participants: Annotated[
        int, typer.Option(help="With data: the offer allows no smaller cohort.", min=1)
    ] = 2,
    masks: MasksOption = None,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept",
            help="With data and --purpose: register and offer what the drafts say, as they are or "
            "as you edited them; the running node agrees to who accepts the offer word for word.",
        ),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Data: where the images or recordings lie that the data file lists."),
    ] = None,
    database: Annotated[
        str, typer.Option(help="Data: a database (a URL without a password), with --key.")
    ] = "",
    source_file: Annotated[
        list[str] | None,
        typer.Option("--file", help="Data: NAME=FILE, which --query knows by NAME; repeat it."),
    ] = None,
    table: Annotated[str, typer.Option(help="Its table.")] = "",
    query: Annotated[str, typer.Option(help="One SELECT, instead of a table.")] = "",
    key: Annotated[
        list[str] | None, typer.Option(help="A column that puts the rows in order; repeat it.")
    ] = None,
    password_file: Annotated[
        str, typer.Option(help="Where the database's password is (mode 0600).")
    ] = "",
) -> None:
    """Check a product file and its data, and register what it is; no row leaves the node.

    Given data instead, it guesses what the columns are and writes a product file beside it (of a
    database or query: into this folder), for you to read and correct; nothing is registered then,
    but with --accept.

    Example: tds product add product.json --node ./clinic
    """
    data: Data | None = None
    if database or source_file:
        if file is not None or folder is not None:
            raise BadInput("expected a data file, --database or --file, and only one of them")
        data = source_data(
            database=database,
            files=source_file or [],
            table=table,
            query=query,
            key=key or [],
            password_file=password_file,
        )
    elif table or query or key or password_file:
        raise BadInput("expected --database or --file with --table, --query, --key, got neither")
    elif file is None:
        raise BadInput("expected a product file, or data: a file, --database or --file; got none")
    elif is_data(file):
        data = file_data(file) if folder is None else folder_data(file, folder)
    elif folder is not None:
        raise BadInput(f"--folder: expected a manifest (.csv, .jsonl) with it, got {file}")
    if accept:
        accept_drafts(data, node, purpose, participants, masks)
    elif data is not None:
        draft_product(data, node, purpose, participants, masks=masks)
    else:
        assert file is not None
        _register(file, node, purpose)


def _register(file: Path, node: Path, purpose: str) -> None:
    if purpose:
        raise BadInput(f"--purpose: expected a data file with it, got {file}")
    with open_owner(node) as owner:
        registered = owner.add_product(file)
    say(f"registered {registered.id} (entry {registered.index} of the space's log)")
    own = load_identity(node).participant
    if is_pseudonym(own) and not registered.id.startswith(own):
        say(f"this id stands in the log as it is; to hide whose it is, begin ids with {own}")
    say(f"next: tds product offer offer.json --node {node}")
    say(f"or, with an agreement that you wrote: tds contract accept agreement.json --node {node}")


@cli.command("readiness")
def readiness(
    file: Annotated[Path, typer.Argument(help="The product file (JSON).")],
    node: NodeFolder,
    as_json: JsonFlag = False,
) -> None:
    """Report how fit a product's data is for training; ends with 1 if it is not.

    Rows, gaps, duplicates, balance of the label, ranges, drift since the last registered version;
    the report stays on this machine.
    Example: tds product readiness product.json --node ./clinic
    """
    with open_owner(node) as owner:
        report = owner.readiness(file)
    if as_json:
        print_json(report.to_json())
    else:
        print_readiness(report)
    if report.verdict == "not-ready":
        raise typer.Exit(Exit.FAILED)


@cli.command("offer")
def offer(
    node: NodeFolder,
    file: Annotated[Path | None, typer.Argument(help="The ODRL Offer (JSON).")] = None,
    product: Annotated[
        str, typer.Option(help="The product; may be left out where the node has one only.")
    ] = "",
    auto_agree: Annotated[
        bool,
        typer.Option(
            "--auto-agree",
            help="The running node agrees by itself to who accepts it word for word.",
        ),
    ] = False,
    withdraw: Annotated[str, typer.Option(help="Take back the offer with this id.")] = "",
) -> None:
    """List an offer for a product in the space's catalogue, or take one back.

    Tells before whether it can ever be met, for this product and under the space's laws, whether
    another offer of the product makes it needless, and whether it ends too early for a run.

    Example: tds product offer offer.json --node ./clinic --auto-agree
    """
    if (file is None) == (not withdraw):
        raise BadInput("expected an offer's file or --withdraw ID, and not both")
    if file is not None:
        publish_offer(file, node, product, auto_agree=auto_agree)
        return
    with open_contracts(node) as contracts:
        done = contracts.withdraw_offer(withdraw)
    say(f"took back {done.id} (entry {done.index} of the space's log)")


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
        print_columns("data products", COLUMNS, found)


@cli.command("show")
def show(
    product: Annotated[str, typer.Argument(help="Its id.")],
    node: NodeFolder,
) -> None:
    """Show one data product as JSON: its card, its certificate, the figures its owner shares.

    The certificate is checked against the space's registrar key, as this node knows it.
    Example: tds product show clinic/biopsies --node ./clinic
    """
    identity = load_identity(node)
    with governance_client(identity) as governance:
        document = parse_json(governance.get_product(product), max_bytes=MAX_PRODUCT_BYTES)
    print_json(_checked(document, identity.config.space))


@cli.command("certify")
def certify(
    product: Annotated[str, typer.Argument(help="Its id.")],
    space: SpaceFolder,
    days: Annotated[
        int, typer.Option(help="How long it is valid; 0: as the space is set up.", min=0)
    ] = 0,
) -> None:
    """Issue a product's certificate, the first or a new one (operator).

    Example: tds product certify clinic/biopsies --space ./space
    """
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        done = governance.certify_product(product, days)
    say(f"issued {done.id} (entry {done.index} of the space's log)")


@cli.command("revoke")
def revoke(
    product: Annotated[str, typer.Argument(help="Its id.")],
    space: SpaceFolder,
    reason: Annotated[str, typer.Option(help="Why; stands in the log.")],
) -> None:
    """Revoke a product's certificate: it is refused from the next round on (operator).

    Example: tds product revoke clinic/biopsies --space ./space --reason "the card was wrong"
    """
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        found = governance.get_product(product)
        serial = found.get("certificate_serial") if isinstance(found, dict) else None
        if not isinstance(serial, str):
            raise CommandFailed(f"{product}: expected a certificate to revoke, it has none")
        done = governance.revoke_certificate(serial, reason)
    say(f"revoked {done.id} (entry {done.index} of the space's log)")


def _checked(document: Json, space: SpaceCard) -> dict[str, Json]:
    """The document, with its certificate as it was read from the envelope.

    Raises:
        CommandFailed: the certificate is not the registrar's, or not about this card.
    """
    assert isinstance(document, dict)
    envelope = document.pop("certificate_envelope", None)
    if not isinstance(envelope, str):
        return document
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(space.registrar_key))
    try:
        made = open_certificate(base64.b64decode(envelope), key, issuer=space.name)
    except (PolicyError, ValueError) as error:
        raise CommandFailed(
            f"certificate: {error}; do not rely on it, and tell the operator"
        ) from error
    about = (made.product, made.digest, made.serial)
    card = digest_of(document.get("card"))
    if about != (document.get("product"), card, document.get("certificate_serial")):
        raise CommandFailed(
            f"certificate {made.serial}: expected one about this card (SHA-256 {card}), got one "
            f"about {made.product} ({made.digest}); do not rely on it, and tell the operator"
        )
    return {**document, "certificate_document": made.to_json()}
