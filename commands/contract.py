"""`tds contract`: negotiations and agreements, from the owner's side and the consumer's."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.contracts import open_contracts
from clients.files import replace_file
from clients.owner import open_owner
from commands.consumer_side import ConsumerFolder, open_consumer
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
from policies.odrl import (
    CONTEXT,
    PROFILE,
    agreement_from_offer,
    parse_agreement,
    parse_offer,
)

cli = typer.Typer(no_args_is_help=True, help="Agreements: what an owner allows, and to whom.")

NEGOTIATION = "urn:tdspace:negotiation:"
_VERBS = {"terminate": "termination", "suspend": "suspension", "start": "start"}


@cli.command("draft")
def draft(
    product: Annotated[str, typer.Argument(help="The product it shall allow the use of.")],
    owner: Annotated[str, typer.Option(help="The data owner's participant id.")],
    consumer: Annotated[str, typer.Option(help="The participant that may use it.")],
    purpose: Annotated[str, typer.Option(help="The only purpose allowed.")],
    out: Annotated[Path, typer.Option(help="Where to write it.")],
    uses: Annotated[int, typer.Option(help="At most so many rounds.", min=1)] = 1000,
    participants: Annotated[int, typer.Option(help="Never in a smaller cohort.", min=1)] = 2,
) -> None:
    """Write an agreement to start from; edit it, then `tds contract accept`.

    Example: tds contract draft clinic/biopsies --owner clinic --consumer consortium
    --purpose medical-research --out agreement.json
    """
    if out.exists():
        raise BadInput(f"{out}: expected no such file, got one; choose another --out")
    offer = draft_offer(owner=owner, purpose=purpose, uses=uses, participants=participants)
    agreement = agreement_from_offer(
        parse_offer(_json(offer)),
        id=f"urn:tdspace:agreement:{secrets.token_hex(8)}",
        target=product,
        assigner=owner,
        assignee=consumer,
        timestamp=datetime.now(UTC),
    )
    replace_file(out, _json(agreement.to_json()) + b"\n", mode=0o644)
    say(f"wrote {out}; read it, edit it, then: tds contract accept {out} --node FOLDER")


def draft_offer(
    *,
    owner: str,
    purpose: str,
    uses: int,
    participants: int,
    more: Iterable[Mapping[str, object]] = (),
) -> dict[str, object]:
    """An ODRL Offer: train and evaluate for one purpose, a bounded number of times, in company.

    Args:
        more: further constraints of the permission.
    """
    constraint = [
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": purpose},
        {"leftOperand": "count", "operator": "lteq", "rightOperand": _integer(uses)},
        {
            "leftOperand": "minParticipants",
            "operator": "gteq",
            "rightOperand": _integer(participants),
        },
        *more,
    ]
    return {
        "@context": [CONTEXT],
        "@id": f"urn:tdspace:offer:{secrets.token_hex(8)}",
        "@type": "Offer",
        "profile": PROFILE,
        "conflict": "prohibit",
        "assigner": owner,
        "permission": [{"action": "use", "constraint": constraint}],
        "prohibition": [],
        "obligation": [],
    }


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
    product: Annotated[str, typer.Argument(help="The data product.")],
    consumer: ConsumerFolder,
    offer: Annotated[str, typer.Option(help="The offer's id, where there are several.")] = "",
    wait_s: Annotated[
        float, typer.Option(help="Seconds to wait for the owner's answer.", min=0)
    ] = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask for a product under one of its offers, word for word, over the Dataspace Protocol.

    Example: tds contract request clinic/biopsies --consumer space/consumer --wait-s 30
    """
    with open_consumer(consumer) as side:
        known = side.request(product, offer)
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
    as_json: JsonFlag = False,
) -> None:
    """Check that the agreement is what was asked for and bears its owner's signature; sign it too.

    Example: tds contract verify urn:tdspace:negotiation:1 --consumer space/consumer
    """
    with open_consumer(consumer) as side:
        known, agreement = side.verify(negotiation)
    if as_json:
        print_json({"agreement": agreement.id, "state": known.state})
    else:
        say(f"{negotiation} is {known.state}; the agreement is {agreement.id}")


@cli.command("offer")
def offer(
    negotiation: Annotated[str, typer.Argument(help="The negotiation's id.")],
    file: Annotated[Path, typer.Argument(help="The offer (JSON), with an id of its own.")],
    node: NodeFolder,
) -> None:
    """Answer a request with another offer, as the data owner, for this negotiation only.

    Example: tds contract offer urn:tdspace:negotiation:1 offer.json --node ./clinic
    """
    with open_contracts(node) as contracts:
        done = contracts.offer(negotiation, read_policy_bytes(file))
    say(f"offered (entry {done.index} of the space's log)")


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


def _integer(value: int) -> dict[str, str]:
    return {"@value": str(value), "@type": "xsd:integer"}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
