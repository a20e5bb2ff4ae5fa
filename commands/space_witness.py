"""`tds space witness-policy`: a policy file over a space's nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.errors import BadInput
from commands.output import say
from ledger.checkpoint import open_checkpoint
from ledger.cosignature import cosigner_of
from ledger.errors import KeyRefused, ProofError
from ledger.folder import CHECKPOINT, read_entries, read_note
from ledger.note import NoteVerifier
from ledger.tlogpolicy import (
    MAX_LINES_OF_A_KIND,
    NONE,
    Policy,
    PolicyGroup,
    PolicyLog,
    PolicyWitness,
    format_policy,
)
from policies.entries import parse_entry
from policies.errors import DocumentError
from policies.parts import whole_entries
from server.files import write_public
from server.space import Space, load_space

GROUP = "nodes"


def witness_policy(
    space: Annotated[Path, typer.Option("--space", envvar="TDS_SPACE", help="The space's folder.")],
    quorum: Annotated[
        int, typer.Option(help="How many of the nodes must have cosigned; 0 asks for none.", min=0)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write it here instead of printing it; a new file.")
    ] = None,
    node: Annotated[
        list[str] | None, typer.Option(help="Only this node; give it again for more.")
    ] = None,
) -> None:
    """Write a witness policy (C2SP tlog-policy) over the nodes that the space's log enrolled.

    As SPACE/witness-policy it makes each permit wait for these cosignatures; as
    NODE/witness-policy it makes that node, once started again, refuse permits without them; with
    `tds audit verify` it says what an auditor demands. Lines for other witnesses may be added.

    Example: tds space witness-policy --space ./space --quorum 2 --out ./space/witness-policy
    """
    loaded = load_space(space)
    data = format_policy(nodes_policy(loaded, quorum=quorum, only=node or []))
    if out is None:
        typer.echo(data, nl=False)
        return
    if out.exists():
        raise BadInput(f"{out}: expected no such file, got one; choose another --out")
    write_public(out, data)
    say(f"wrote {out}; governance reads it for each permit, a node as it starts")


def nodes_policy(space: Space, *, quorum: int, only: list[str]) -> Policy:
    """A policy over the nodes that a space's published log enrolled.

    Args:
        quorum: how many; 0 for none.
        only: ids of the nodes; all if empty.

    Raises:
        BadInput: no such node, fewer than the quorum, or a log that cannot be read.
    """
    log = NoteVerifier.parse(space.card.log_key)
    keys = _node_keys(space, log)
    unknown = sorted(set(only) - set(keys))
    if unknown:
        raise BadInput(f"--node: expected an enrolled node, got {', '.join(unknown)[:200]}")
    chosen = {name: key for name, key in keys.items() if not only or name in only}
    if quorum > len(chosen) or len(chosen) > MAX_LINES_OF_A_KIND:
        raise BadInput(
            f"--quorum: expected up to the {len(chosen)} nodes that are enrolled (at most "
            f"{MAX_LINES_OF_A_KIND}), got {quorum}"
        )
    # A colon stands in no participant's id: no name here can be taken for another.
    witnesses = tuple(PolicyWitness(f"node:{name}", key) for name, key in chosen.items())
    groups = (PolicyGroup(GROUP, quorum, tuple(one.name for one in witnesses)),) if quorum else ()
    return Policy((PolicyLog(log),), witnesses, groups, GROUP if quorum else NONE)


def _node_keys(space: Space, log: NoteVerifier) -> dict[str, NoteVerifier]:
    """The nodes' witness keys by id, in the order in which they enrolled."""
    folder = space.log_folder
    found: dict[str, NoteVerifier] = {}
    try:
        note = read_note(folder / CHECKPOINT)
        if note is None:
            raise BadInput(f"{folder}: expected a published log, got none; run: tds serve")
        size = open_checkpoint(note, log).size
        for _, data in whole_entries(read_entries(folder, size)):
            entry = parse_entry(data)
            key = entry.body.get("log_key")
            if entry.type == "ParticipantEnrolled" and isinstance(key, str):
                found[str(entry.body["participant"])] = cosigner_of(NoteVerifier.parse(key))
    except (OSError, ProofError, KeyRefused, DocumentError) as error:
        raise BadInput(f"{folder}: expected the space's log, got: {error}") from error
    return found
