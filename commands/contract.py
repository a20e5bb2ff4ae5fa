"""`tds contract`: negotiations and agreements, from the owner's side and the consumer's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.contracts import open_contracts
from clients.owner import open_owner
from commands.consumer_side import ConsumerFolder, open_consumer
from commands.contract_draft import draft
from commands.contract_list import (
    COLUMNS,
    Listed,
    OptionalConsumer,
    OptionalNode,
    find_listed,
    list_documents,
    one_of,
)
from commands.errors import BadInput
from commands.node import NodeFolder
from commands.offer_check import say_agreement_findings
from commands.output import JsonFlag, print_columns, print_json, print_table, say
from commands.policyfile import read_policy_bytes
from policies.odrl import parse_agreement

cli = typer.Typer(no_args_is_help=True, help="Agreements: what an owner allows, and to whom.")

NEGOTIATION = "urn:tdspace:negotiation:"
_VERBS = {"terminate": "termination", "suspend": "suspension", "start": "start"}

cli.command("draft")(draft)


@cli.command("accept")
def accept(
    what: Annotated[str, typer.Argument(help="An agreement's file, or a negotiation's id.")],
    node: OptionalNode = None,
    consumer: OptionalConsumer = None,
) -> None:
    """Say yes: as the data owner sign an agreement (a file) or what is asked for in a negotiation;
    as the consumer accept the owner's offer.

    Example: tds contract accept agreement.json --node ./clinic
    """
    if consumer is not None:
        one_of(node, consumer)
        with open_consumer(consumer) as side:
            known, offer = side.accept(what)
        say(f"accepted {offer.id}; {known.provider_pid} is {known.state}")
        return
    folder = one_of(node, consumer)
    if what.startswith(NEGOTIATION):
        with open_contracts(folder) as contracts:
            agreed = contracts.agree(what)
        say(f"agreed to {agreed.id} (entry {agreed.index} of the space's log)")
        say("it holds once the consumer has verified it")
    else:
        document = read_policy_bytes(Path(what))
        say_agreement_findings(parse_agreement(document))
        with open_owner(folder) as owner:
            agreed = owner.sign_agreement(document)
        say(f"signed {agreed.id} (entry {agreed.index} of the space's log)")
    say(f"to take it back: tds node withdraw {agreed.id} --node {folder}")


@cli.command("catalog")
def catalog(consumer: ConsumerFolder, as_json: JsonFlag = False) -> None:
    """List what data owners offer, as the Dataspace Protocol shows it.

    Example: tds contract catalog --consumer space/consumer
    """
    with open_consumer(consumer) as side:
        found = side.datasets()
    if as_json:
        print_json(found)
        return
    rows = [
        [str(dataset.get("@id")), str(offer.get("@id")), str(offer.get("assigner"))]
        for dataset in found
        for offer in dataset.get("hasPolicy", [])
    ]
    print_table("offers", ["product", "offer", "owner"], rows)


@cli.command("request")
def request(
    what: Annotated[str, typer.Argument(help="The data product; or, to answer, a negotiation.")],
    consumer: ConsumerFolder,
    offer: Annotated[str, typer.Option(help="The offer's id, where there are several.")] = "",
    terms: Annotated[
        Path | None, typer.Option(help="The offer (JSON) with the changes that are asked for.")
    ] = None,
    wait_s: Annotated[
        float, typer.Option(help="Seconds to wait for the owner's answer.", min=0)
    ] = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask for a product under one of its offers, word for word or under other terms; or answer the
    owner's offer in a negotiation with other terms. All over the Dataspace Protocol.

    Example: tds contract request clinic/biopsies --consumer space/consumer --wait-s 30
    """
    text = read_policy_bytes(terms) if terms is not None else None
    with open_consumer(consumer) as side:
        if not what.startswith(NEGOTIATION):
            known = side.request(what, offer, terms=text)
        elif text is not None:
            known = side.counter(what, text)
        else:
            raise BadInput(f"{what}: expected --terms FILE to answer with; or: tds contract accept")
        known = side.wait(known, {"AGREED", "OFFERED", "TERMINATED"}, wait_s)
    if as_json:
        print_json({"negotiation": known.provider_pid, "state": known.state})
        return
    say(f"{known.provider_pid} is {known.state}")
    say(f"once it is AGREED: tds contract verify {known.provider_pid} --consumer {consumer}")


@cli.command("verify")
def verify(
    negotiation: Annotated[str, typer.Argument(help="The negotiation's id.")],
    consumer: ConsumerFolder,
    offer: Annotated[
        str, typer.Option(help="The published offer that was asked for in the console.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Check that the agreement is what was asked for and bears its owner's signature; sign it too.

    What was asked for stands in the consumer's folder. Where it was asked for in the console, whose
    word is not taken for it, --offer names the published offer that the agreement has to be, word
    for word.

    Example: tds contract verify urn:tdspace:negotiation:1 --consumer space/consumer
    """
    with open_consumer(consumer) as side:
        known, agreement = side.verify(negotiation, offer)
    if as_json:
        print_json({"agreement": agreement.id, "state": known.state})
    else:
        say(f"{negotiation} is {known.state}; the agreement is {agreement.id}")


@cli.command("offer")
def offer(
    file: Annotated[Path, typer.Argument(help="The offer (JSON), with an id of its own.")],
    node: NodeFolder,
    to: Annotated[str, typer.Option(help="Open a negotiation with this consumer.")] = "",
    product: Annotated[str, typer.Option(help="With --to: the product, if several.")] = "",
    negotiation: Annotated[str, typer.Option(help="Answer the request in this one.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Offer something to one consumer, as the data owner: first (--to), or in answer to what it
    asked for (--negotiation). For everybody: tds product offer.

    Example: tds contract offer offer.json --to consortium --node ./clinic
    """
    if bool(to) == bool(negotiation):
        raise BadInput("expected either --to CONSUMER or --negotiation ID")
    document = read_policy_bytes(file)
    with open_contracts(node) as contracts:
        if to:
            target = product or contracts.only_product()
            done = contracts.open(document, product=target, consumer=to)
        else:
            done = contracts.offer(negotiation, document)
    if as_json:
        print_json({"negotiation": done.id, "index": done.index})
        return
    say(f"offered in {done.id} (entry {done.index} of the space's log)")
    if to:
        say(f"{to} answers with: tds contract accept {done.id} --consumer FOLDER")


@cli.command("terminate")
def terminate(
    what: Annotated[str, typer.Argument(help="Id of a negotiation or of a transfer.")],
    node: OptionalNode = None,
    consumer: OptionalConsumer = None,
    reason: Annotated[str, typer.Option(help="For the log and the other party.")] = "",
) -> None:
    """End a negotiation, or a run's transfer under one agreement; the next round goes without it.

    Example: tds contract terminate urn:tdspace:transfer:1 --consumer space/consumer
    """
    if what.startswith(NEGOTIATION):
        if consumer is not None:
            one_of(node, consumer)
            with open_consumer(consumer) as side:
                state = side.terminate(what, reason).state
        else:
            with open_contracts(one_of(node, consumer)) as contracts:
                contracts.terminate(what, reason)
            state = "TERMINATED"
        say(f"{what} is {state}")
    else:
        _move(what, "terminate", reason, node=node, consumer=consumer)


@cli.command("suspend")
def suspend(
    transfer: Annotated[str, typer.Argument(help="The transfer's id.")],
    node: OptionalNode = None,
    consumer: OptionalConsumer = None,
    reason: Annotated[str, typer.Option(help="For the log and the other party.")] = "",
) -> None:
    """Let a run's transfer under one agreement rest from the next round on.

    Example: tds contract suspend urn:tdspace:transfer:1 --node ./clinic
    """
    _move(transfer, "suspend", reason, node=node, consumer=consumer)


@cli.command("resume")
def resume(
    transfer: Annotated[str, typer.Argument(help="The transfer's id.")],
    node: OptionalNode = None,
    consumer: OptionalConsumer = None,
) -> None:
    """Take back a suspension of one's own.

    Example: tds contract resume urn:tdspace:transfer:1 --node ./clinic
    """
    _move(transfer, "start", "", node=node, consumer=consumer)


@cli.command("list")
def list_contracts(
    what: Annotated[
        Listed, typer.Argument(help="agreements, offers, negotiations or transfers.")
    ] = Listed.AGREEMENTS,
    node: OptionalNode = None,
    consumer: OptionalConsumer = None,
    as_json: JsonFlag = False,
) -> None:
    """List agreements and whether consent stands, or offers, negotiations, transfers.

    Example: tds contract list negotiations --node ./clinic
    """
    found = list_documents(what.value, node=node, consumer=consumer)
    if as_json:
        print_json(found)
    else:
        print_columns(what.value, COLUMNS[what], found)


@cli.command("show")
def show(
    id: Annotated[str, typer.Argument(help="Of an agreement, offer, negotiation or transfer.")],
    node: OptionalNode = None,
    consumer: OptionalConsumer = None,
) -> None:
    """Show one of them as JSON, its document spelled out.

    Example: tds contract show urn:tdspace:negotiation:1 --consumer space/consumer
    """
    print_json(find_listed(id, node=node, consumer=consumer))


def _move(
    transfer: str, act: str, reason: str, *, node: Path | None, consumer: Path | None
) -> None:
    if consumer is not None:
        one_of(node, consumer)
        with open_consumer(consumer) as side:
            state = side.move(transfer, _VERBS[act], reason)
    else:
        with open_contracts(one_of(node, consumer)) as contracts:
            contracts.move_transfer(transfer, act, reason)
        state = {"terminate": "TERMINATED", "suspend": "SUSPENDED", "start": "STARTED"}[act]
    say(f"{transfer} is {state}")
