"""What `tds contract list` and `show` read, as a data owner or as a consumer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from commands.errors import BadInput
from commands.node import node_client
from commands.reading import documents, objects
from server.governance_client import GovernanceClient

OptionalNode = Annotated[
    Path | None,
    typer.Option("--node", envvar="TDS_NODE", help="The node's folder: act as its data owner."),
]
OptionalConsumer = Annotated[
    Path | None,
    typer.Option(
        "--consumer",
        envvar="TDS_CONSUMER",
        help="The consumer's folder (SPACE/consumer): act as the consumer.",
    ),
]


class Listed(StrEnum):
    """What can be listed; each document names itself by the singular."""

    AGREEMENTS = "agreements"
    OFFERS = "offers"
    NEGOTIATIONS = "negotiations"
    TRANSFERS = "transfers"


COLUMNS: Final[Mapping[Listed, list[str]]] = {
    Listed.AGREEMENTS: ["agreement", "product", "assignee", "uses", "withdrawn"],
    Listed.OFFERS: ["offer", "product", "participant", "auto_agree", "withdrawn"],
    Listed.NEGOTIATIONS: ["negotiation", "product", "consumer", "state", "agreement"],
    Listed.TRANSFERS: ["transfer", "agreement", "run", "state", "reason"],
}
_TEXTS: Final = ("document", "agreement_document")


def list_documents(what: str, *, node: Path | None, consumer: Path | None) -> list[dict[str, Any]]:
    """Documents of one sort that concern the caller."""
    folder = one_of(node, consumer)
    if consumer is not None:
        with GovernanceClient.open(folder) as theirs:
            return objects(theirs.list(what))
    with node_client(folder) as ours:
        return documents(ours.list_documents(what))


def find_listed(id: str, *, node: Path | None, consumer: Path | None) -> dict[str, Any]:
    """The one document with this id, its policies spelled out; BadInput if there is none."""
    for what in Listed:
        name = what.value.removesuffix("s")
        for one in list_documents(what.value, node=node, consumer=consumer):
            if one.get(name) == id:
                return one | {key: json.loads(one[key]) for key in _TEXTS if one.get(key)}
    raise BadInput(f"{id}: expected something that `tds contract list` shows, got none")


def one_of(node: Path | None, consumer: Path | None) -> Path:
    """The folder of whoever acts; BadInput unless it is one."""
    found = [folder for folder in (node, consumer) if folder is not None]
    if len(found) != 1:
        raise BadInput(
            "expected --node (as a data owner) or --consumer (as a consumer), got "
            f"{'both' if found else 'neither'}; TDS_NODE and TDS_CONSUMER count as well"
        )
    return found[0]
