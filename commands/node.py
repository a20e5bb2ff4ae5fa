"""`tds node`: an enterprise's node, for its owner."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.enrol import enrol
from clients.files import replace_file
from clients.governance import GovernanceClient
from clients.identity import load_identity
from clients.owner import governance_client, open_owner
from clients.sandbox import Sandbox
from clients.state import NodeState
from commands.children import port_answers
from commands.errors import CommandFailed
from commands.node_certificate import own_certificate, renew, space_certificates
from commands.node_disclosures import disclosures, erase
from commands.node_keys import rotate
from commands.node_process import run_node
from commands.node_reconcile import reconcile_node
from commands.output import JsonFlag, print_json, print_table, say

cli = typer.Typer(no_args_is_help=True, help="An enterprise's node: join, run, look, withdraw.")
cli.command("disclosures")(disclosures)
cli.command("erase")(erase)
cli.command("renew")(renew)
cli.command("rotate")(rotate)

NodeFolder = Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")]


@cli.command("new")
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    join: Annotated[Path, typer.Option(help="The join file from the space's operator.")],
    region: Annotated[str, typer.Option(help="Where this node processes data, such as CN-GD.")],
) -> None:
    """Make a node: its keys on this side, a signing request, a certificate for the join token.

    No private key leaves this machine. Example: tds node new ./clinic --join clinic.join
    --region CN-GD
    """
    identity = enrol(folder, join, region=region, now=datetime.now(UTC))
    say(f"enrolled {identity.participant} in space {identity.config.space.name}: {folder}")
    say(f"next: tds product add product.json --node {folder}; tds node run --node {folder}")


@cli.command("run")
def run(node: NodeFolder) -> None:
    """Run the node until Ctrl-C: take tasks, check each permit, run approved apps, send receipts.

    Example: tds node run --node ./clinic
    """
    run_node(node, say=say)


@cli.command("status")
def status(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """Show what this node offers, has agreed to, has approved, and who used what; needs no network.

    Example: tds node status --node ./clinic
    """
    with open_owner(node) as owner:
        found = owner.status()
    identity = load_identity(node)
    log_key, witness_key = identity.log_signer.verifier_key, identity.cosigner.verifier.text
    if as_json:
        forks = [fork.to_json() for fork in found.forks]
        keys = {"log_key": log_key, "witness_key": witness_key}
        print_json({**keys, **_plain(asdict(found)), "forks": forks})
        return
    say(f"{found.participant} in {found.space}, processing in {found.region}")
    say(f"own log {node / 'log'}, its key for `tds audit verify`: {log_key}")
    say(f"as a witness of the space's log: {witness_key}")
    say(f"certificate valid until {found.certificate_expires:%Y-%m-%d %H:%M} UTC")
    print_table(
        "data products",
        ["product", "rows", "registered"],
        [
            [p.id, str(p.rows), "no" if p.registered is None else f"entry {p.registered}"]
            for p in found.products
        ],
    )
    print_table(
        "agreements",
        ["agreement", "product", "uses", "consent"],
        [
            [
                a.id,
                a.product,
                str(a.uses),
                f"withdrawn {a.withdrawn}" if a.withdrawn else "stands",
            ]
            for a in found.agreements
        ],
    )
    print_table(
        "approved apps",
        ["SHA-256", "approved", "revoked"],
        [[a.sha256, a.approved, a.revoked or ""] for a in found.apps],
    )
    print_table(
        "last uses",
        ["run", "round", "product", "began", "outcome"],
        [
            [u.run, str(u.round), u.product, u.started, u.outcome or "in progress"]
            for u in found.uses
        ],
    )
    for fork in found.forks:
        say(
            f"THE SPACE'S LOG IS NOT TO BE TRUSTED ({fork.kind}, {fork.time}): {fork.text}; both "
            f"signed heads: {node / 'evidence'}/{fork.id}-seen.note and -came.note"
        )
    if found.untold:
        say(
            f"{len(found.untold)} withdrawals are not yet confirmed by governance; "
            "the running node goes on telling it"
        )


@cli.command("withdraw")
def withdraw(
    agreement: Annotated[str, typer.Argument(help="The agreement's id.")],
    node: NodeFolder,
    reason: Annotated[
        str, typer.Option(help="For operator and auditors; the log only commits to it.")
    ] = "the owner withdrew",
) -> None:
    """Take consent back, at once and for good: a running task ends and its result stays here.

    Example: tds node withdraw urn:tdspace:agreement:1 --node ./clinic
    """
    with open_owner(node) as owner:
        done = owner.withdraw(agreement, reason)
    say(f"withdrawn: {done.agreement}" + (" (it was already)" if done.before else ""))
    if done.told:
        say("governance has it in its log")
    else:
        say(
            f"governance could not be told yet ({done.problem}); the node refuses all the same, "
            "and tells it as soon as it can"
        )


@cli.command("seen")
def seen(
    node: NodeFolder,
    out: Annotated[Path | None, typer.Option(help="Write it here instead of printing it.")] = None,
) -> None:
    """Give the last signed checkpoint of the space's log that this node accepted, for an auditor.

    Example: tds node seen --node ./clinic --out clinic-seen.txt
    """
    state = NodeState.open(load_identity(node).paths.state)
    try:
        last = state.last_seen()
    finally:
        state.close()
    if last is None:
        raise CommandFailed(
            f"{node}: expected a checkpoint, got none; the node has seen no head of that log"
        )
    if out is None:
        typer.echo(last.note, nl=False)
    else:
        replace_file(out, last.note.encode(), mode=0o644)
        say(f"wrote {out}: the space's log at {last.size} entries")


cli.command("reconcile")(reconcile_node)


@cli.command("doctor")
def doctor(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """Check what this node needs: keys, certificate, connections, confinement of apps.

    Example: tds node doctor --node ./clinic
    """
    with Sandbox.start(preload=()) as sandbox:
        held, files = sandbox.confinement, sandbox.files_confined
    confinement = held.to_json() | {
        "files": "own" if files else "host",
        "environment": held.environment(files=files),
    }
    identity = load_identity(node)
    checks: dict[str, str] = {"keys and folder": "ok"}
    identity.check_certificate(datetime.now(UTC))
    checks |= own_certificate(identity.certificate_pem, datetime.now(UTC))
    space = identity.config.space
    with governance_client(identity) as governance:
        governance.get_space()
    checks["governance"] = f"ok, {space.governance} answers over mutual TLS"
    reachable = port_answers(space.superlink)
    checks["SuperLink"] = "ok" if reachable else f"nothing answers at {space.superlink}"
    checks |= space_certificates(space, datetime.now(UTC))
    if as_json:
        print_json({"checks": checks, "confinement": confinement})
    else:
        print_table("node", ["check", "result"], [[name, text] for name, text in checks.items()])
        print_table(
            "confinement of apps on this host",
            ["measure", "value"],
            [[name, str(value)] for name, value in sorted(confinement.items())],
        )
    if not reachable:
        raise CommandFailed(
            f"SuperLink: expected an answer at {space.superlink}, got none; is `tds serve` "
            "running, or does a firewall stand between?"
        )


def node_client(node: Path) -> GovernanceClient:
    """A node's connection to governance, for reading."""
    return governance_client(load_identity(node))


def _plain(value: Any) -> Any:
    """JSON values of a status; envelopes and other bytes are left out."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if not isinstance(item, bytes)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
