"""`tds node health`: asks a running node how it is; for a container's health check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from clients.errors import ClientError
from clients.folder import NodePaths
from clients.health import ask_health
from clients.running import read_running
from commands.errors import CommandFailed
from commands.output import JsonFlag, print_json, say


def node_health(
    node: Annotated[
        Path | None, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            envvar="TDS_HEALTH",
            help="Where it tells: 127.0.0.1:PORT or unix:/PATH; else as the "
            "running node noted in its folder.",
        ),
    ] = "",
    live: Annotated[bool, typer.Option("--live", help="Only whether its process answers.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a node that runs with --health how it is: exit code 0 if it could serve a task now.

    Example: tds node health --node ./clinic
    """
    well, told = ask_health(at or _noted(node), path="/healthz" if live else "/readyz")
    if as_json:
        print_json(told)
    if not well:
        raise CommandFailed(f"not ready: {_why(told)}")
    if not as_json:
        say("live" if live else "ready")


def _noted(node: Path | None) -> str:
    if node is None:
        raise ClientError("health: expected --node FOLDER or --at ADDRESS, got neither")
    paths = NodePaths(node.absolute())
    running = read_running(record=paths.running, lock=paths.running_lock)
    if not running.up or running.record is None:
        raise CommandFailed(f"{node}: expected a running node, got none; run: tds node run")
    if not running.record.health:
        raise CommandFailed(
            f"{node}: expected a node that tells of its health, got one that does not; run it "
            "with: tds node run --health 127.0.0.1:PORT"
        )
    return running.record.health


def _why(told: Mapping[str, object]) -> str:
    """The parts that are not well, in words."""
    parts = []
    for name, words in (("superlink", "the SuperLink"), ("governance", "governance")):
        side = told.get(name)
        if isinstance(side, dict) and side.get("connected") is not True:
            last = side.get("last_contact") or "never"
            parts.append(f"{words} does not answer (last: {last})")
    sandbox = told.get("sandbox")
    if isinstance(sandbox, dict) and sandbox.get("alive") is not True:
        parts.append("the sandbox's process is gone")
    return "; ".join(parts) or "it does not say why"
