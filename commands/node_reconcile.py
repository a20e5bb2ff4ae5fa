"""`tds node reconcile`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from clients.identity import NodeIdentity, load_identity
from clients.logcopy import LogCopy, verify_copy
from clients.reconcile import Reconciled, Self, reconcile
from clients.state import NodeState
from commands.errors import Exit
from commands.output import JsonFlag, print_json, print_table, say


def reconcile_node(
    node: Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")],
    log: Annotated[Path, typer.Option("--log", help="A copy of the space's log folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Compare what the space's log says that this node did with what its own log says.

    Both are verified first (exit code 3 if one does not hold). Lists each permit, receipt,
    withdrawal and agreement that only one of the two has; exit code 4 if there is any. Needs no
    network, and the node may run.

    Example: tds node reconcile --node ./clinic --log ./log
    """
    identity = load_identity(node)
    state = NodeState.open(identity.paths.state)
    try:
        space = verify_copy(log, identity.space_log, state.last_seen())
        own = verify_copy(node / "log", identity.log_signer.verifier)
        found = reconcile(
            self_of(identity),
            space=space.entries(),
            own=own.entries(),
            agreements=state.agreements(),
        )
    finally:
        state.close()
    _show(found, space, own, as_json=as_json)
    if found.differences:
        raise typer.Exit(Exit.RULE_BROKEN)


def self_of(identity: NodeIdentity) -> Self:
    """Who a node is in the space's log."""
    return Self(
        participant=identity.participant,
        receipt_key=identity.keys.receipt.public_key().public_bytes_raw().hex(),
        key_id=identity.receipt_key_id,
        former=identity.keys.former,
    )


def _show(found: Reconciled, space: LogCopy, own: LogCopy, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "space_log_size": space.size,
                "own_log_size": own.size,
                "both": dict(found.counts),
                "open": found.open,
                "differences": [asdict(one) for one in found.differences],
            }
        )
        return
    both = ", ".join(f"{count} {what}" for what, count in found.counts.items())
    say(f"the space's log ({space.size} entries) and this node's own ({own.size}) agree on {both}")
    if found.open:
        say(f"{found.open} receipts are of rounds that were not over in this copy")
    print_table(
        "differences",
        ["what", "which", "entry", "own entry", "why"],
        [
            [one.kind, one.subject, _index(one.entry), _index(one.own_entry), one.text]
            for one in found.differences
        ],
    )


def _index(index: int | None) -> str:
    return "" if index is None else str(index)
