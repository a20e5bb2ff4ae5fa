"""`tds contract`: agreements, from the data owner's side."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.files import replace_file
from clients.owner import open_owner
from commands.errors import BadInput
from commands.node import NodeFolder, node_client
from commands.output import JsonFlag, print_columns, print_json, say
from commands.policyfile import read_policy_bytes
from commands.reading import documents
from policies.odrl import CONTEXT, PROFILE, agreement_from_offer, parse_offer

cli = typer.Typer(no_args_is_help=True, help="Agreements: what an owner allows, and to whom.")


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


def draft_offer(*, owner: str, purpose: str, uses: int, participants: int) -> dict[str, object]:
    """An ODRL Offer: train and evaluate for one purpose, a bounded number of times, in company."""
    constraint = [
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": purpose},
        {"leftOperand": "count", "operator": "lteq", "rightOperand": _integer(uses)},
        {
            "leftOperand": "minParticipants",
            "operator": "gteq",
            "rightOperand": _integer(participants),
        },
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
    file: Annotated[Path, typer.Argument(help="The agreement (JSON).")],
    node: NodeFolder,
) -> None:
    """Sign an agreement as the data owner; from then on the node permits what it permits.

    Example: tds contract accept agreement.json --node ./clinic
    """
    with open_owner(node) as owner:
        concluded = owner.sign_agreement(read_policy_bytes(file))
    say(f"signed {concluded.id} (entry {concluded.index} of the space's log)")
    say(f"to take it back: tds node withdraw {concluded.id} --node {node}")


@cli.command("list")
def list_agreements(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """List the space's agreements and whether consent stands.

    Example: tds contract list --node ./clinic
    """
    with node_client(node) as governance:
        found = documents(governance.list_documents("agreements"))
    if as_json:
        print_json(found)
    else:
        print_columns(
            "agreements", ["agreement", "product", "assignee", "uses", "withdrawn"], found
        )


def _integer(value: int) -> dict[str, str]:
    return {"@value": str(value), "@type": "xsd:integer"}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
