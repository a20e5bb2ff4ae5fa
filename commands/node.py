"""`tds node`: an enterprise's node, for its owner."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.accelerator import cuda_devices
from clients.files import replace_file
from clients.governance import GovernanceClient
from clients.health import parse_health_address
from clients.identity import load_identity
from clients.owner import governance_client, open_owner
from clients.room import room_of
from clients.sandbox import Sandbox
from clients.state import NodeState
from commands.children import port_answers
from commands.console_link import node_link
from commands.errors import CommandFailed
from commands.logs import LogFormat, LogFormatOption, configure_logs
from commands.node_backup import backup, restore
from commands.node_certificate import own_certificate, renew, space_certificates
from commands.node_consent import cli as consent_cli
from commands.node_disclosures import disclosures, erase
from commands.node_health import node_health
from commands.node_keys import rotate
from commands.node_new import new
from commands.node_process import run_node
from commands.node_reconcile import reconcile_node
from commands.node_status import node_status
from commands.node_subject import subject_uses
from commands.output import JsonFlag, print_json, print_table, say

LOGGER = logging.getLogger(__name__)

cli = typer.Typer(no_args_is_help=True, help="An enterprise's node: join, run, look, withdraw.")
cli.command("new")(new)
cli.command("disclosures")(disclosures)
cli.command("erase")(erase)
cli.add_typer(consent_cli, name="consent")
cli.command("renew")(renew)
cli.command("rotate")(rotate)
cli.command("backup")(backup)
cli.command("restore")(restore)
cli.command("console-link")(node_link)

NodeFolder = Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")]


@cli.command("run")
def run(
    node: NodeFolder,
    gpu: Annotated[
        bool,
        typer.Option(
            "--gpu",
            envvar="TDS_GPU",
            help="Open this host's NVIDIA devices to apps whose permit allows cuda.",
        ),
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    health: Annotated[
        str,
        typer.Option(
            envvar="TDS_HEALTH",
            help="Tell of the node's health here: 127.0.0.1:PORT or unix:/PATH; nowhere if left "
            "out.",
        ),
    ] = "",
    tasks: Annotated[
        int,
        typer.Option(
            min=0, max=16, envvar="TDS_TASKS", help="Serve so many runs at once; 0 is by memory."
        ),
    ] = 0,
    memory: Annotated[
        str,
        typer.Option(
            envvar="TDS_MEMORY",
            help="What the apps of all tasks may have together, such as 4GiB; half of this "
            "machine's or its container's if left out.",
        ),
    ] = "",
) -> None:
    """Run the node until Ctrl-C: take tasks, check each permit, run approved apps, send receipts.

    Example: tds node run --node ./clinic
    """
    configure_logs(log_format)
    told = LOGGER.info if log_format is LogFormat.JSON else say
    run_node(
        node,
        say=told,
        gpu=gpu,
        health=parse_health_address(health) if health else None,
        room=room_of(memory=memory, tasks=tasks),
    )


cli.command("status")(node_status)
cli.command("health")(node_health)


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
cli.command("subject")(subject_uses)


@cli.command("doctor")
def doctor(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """Check what this node needs: keys, certificate, connections, confinement of apps.

    Example: tds node doctor --node ./clinic
    """
    with Sandbox.start(preload=()) as sandbox:
        held = sandbox.confinement
    confinement = held.to_json() | {
        "accelerator": "cuda, if run with --gpu" if cuda_devices() else "none",
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
