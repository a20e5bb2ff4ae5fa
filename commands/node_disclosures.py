"""`tds node disclosures`, `tds node erase`: what the log commits to about this participant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.identity import load_identity
from clients.owner import governance_client
from commands.errors import BadInput
from commands.output import say
from commands.private_file import write_private
from commands.space_people import ReasonCode
from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.sealing import MAX_SEALED_BYTES, parse_sealed

NodeFolder = Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")]


def disclosures(
    node: NodeFolder, out: Annotated[Path, typer.Option(help="Folder to make.")]
) -> None:
    """Fetch the disclosures that are sealed to this node's key, as the operator keeps them.

    Open them with: tds audit disclose LOG --disclosures DIR --key NODE/keys/disclosure.key.
    Example: tds node disclosures --node ./clinic --out ./clinic-disclosures
    """
    with governance_client(load_identity(node)) as governance:
        documents = governance.list_documents("disclosures")
    if out.exists():
        raise BadInput(f"{out}: expected no such folder, got one; choose another --out")
    out.mkdir(mode=0o700)
    for document in documents:
        data = canonical_bytes(parse_json(document, max_bytes=MAX_SEALED_BYTES))
        try:
            sealed = parse_sealed(data)
        except DocumentError as error:
            raise BadInput(f"governance: a disclosure: {error}; ask the operator") from error
        write_private(out / f"{sealed.commitment}.json", data)
    say(f"wrote {len(documents)} disclosures to {out}")
    say(f"there: tds audit disclose LOG --disclosures {out} --key {node}/keys/disclosure.key")


def erase(
    node: NodeFolder,
    reason_code: ReasonCode,
    commitment: Annotated[
        str, typer.Argument(help="One commitment; all about this participant if left out.")
    ] = "",
) -> None:
    """Have the operator destroy salts and texts about this participant; the erasure is logged.

    What this node keeps itself stays: its product files, and the reasons in its database.
    Example: tds node erase --node ./clinic --reason-code consent-withdrawn
    """
    identity = load_identity(node)
    with governance_client(identity) as governance:
        index, count = governance.erase(commitment or identity.participant, reason_code.value)
    say(f"erased {count} disclosures, log entry {index}")
