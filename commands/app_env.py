"""`tds app env`: packages that apps need, locked and built by the owner before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.environments import (
    build_environment,
    list_environments,
    open_environment,
    read_environment,
    remove_environment,
)
from clients.identity import load_identity
from clients.lockfile import own_pins
from clients.owner import open_owner
from clients.records import AppRecord
from clients.state import NodeState
from commands.errors import CommandFailed
from commands.node import NodeFolder
from commands.output import JsonFlag, print_json, print_table, say

cli = typer.Typer(
    no_args_is_help=True, help="Packages for apps: locked by hash, built by the owner."
)

Name = Annotated[str, typer.Argument(help="The environment's name.")]


@cli.command("build")
def build(
    node: NodeFolder,
    requirements: Annotated[
        Path, typer.Option(help="The lock: name==version and --hash=sha256:… of each package.")
    ],
    name: Annotated[str, typer.Option(help="What to call it.")] = "default",
) -> None:
    """Build packages for apps from a lock with hashes; wheels only, so nothing of them runs.

    Where packages come from says pip's configuration on this machine. Lock against the packages
    that the node runs with (tds app env pins). An environment never changes: a new lock is a new
    name. Example: tds app env build --requirements lock.txt --name vision --node ./clinic
    """
    folder = load_identity(node).paths.environments
    built = build_environment(folder, name, requirements, now=datetime.now(UTC))
    say(f"built {built.name}: {len(built.packages)} packages, {built.size} bytes")
    say(f"digest {built.digest}")
    say(f"next: tds app approve APP --env {built.name} --node {node}")


@cli.command("list")
def list_all(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """List the environments of this node. Example: tds app env list --node ./clinic"""
    found = list_environments(load_identity(node).paths.environments)
    if as_json:
        print_json([one.to_json() for one in found])
        return
    print_table(
        "environments",
        ["name", "packages", "bytes", "built", "digest"],
        [[e.name, str(len(e.packages)), str(e.size), e.built, e.digest] for e in found],
    )


@cli.command("show")
def show(name: Name, node: NodeFolder, as_json: JsonFlag = False) -> None:
    """Show an environment's packages, whether its files are as built, and which apps use it.

    Example: tds app env show vision --node ./clinic
    """
    folder = load_identity(node).paths.environments
    built = read_environment(folder, name)
    open_environment(folder, name, built.digest)
    apps = [app.sha256 for app in _approved_with(node, name)]
    if as_json:
        print_json({**built.to_json(), "apps": apps})
        return
    print_table("packages", ["package", "version"], [[*one] for one in built.packages.items()])
    say(f"for {built.python}, built {built.built}, {built.size} bytes, every file as built")
    say(f"digest {built.digest}")
    say(f"approved with it: {', '.join(apps) or 'no app'}")


@cli.command("use")
def use(
    app: Annotated[str, typer.Argument(help="The approved app's SHA-256.")],
    name: Annotated[str, typer.Argument(help='The environment\'s name; "" for none.')],
    node: NodeFolder,
) -> None:
    """Approve an app again, now with these packages; it stands in the node's own log.

    Example: tds app env use 3b2f… vision --node ./clinic
    """
    with open_owner(node) as owner:
        owner.use_environment(app, name)
    say(f"app {app}: approved with {name or 'no environment'}")


@cli.command("remove")
def remove(name: Name, node: NodeFolder) -> None:
    """Remove an environment that no approved app uses.

    Example: tds app env remove vision --node ./clinic
    """
    apps = _approved_with(node, name)
    if apps:
        raise CommandFailed(
            f"environment {name}: expected one that no approved app uses, got one of app "
            f"{apps[0].sha256}; revoke it, or give it another: tds app env use"
        )
    remove_environment(load_identity(node).paths.environments, name)
    say(f"removed {name}")


@cli.command("pins")
def pins() -> None:
    """Print the packages that this node runs with, as constraints to lock against.

    A package of an environment that the node has, too, must be of the same version.
    Example: tds app env pins
    """
    for line in own_pins():
        typer.echo(line)


def _approved_with(node: Path, name: str) -> list[AppRecord]:
    with _state(node) as state:
        apps = state.apps()
    return [app for app in apps if app.environment == name and app.revoked is None]


@contextmanager
def _state(node: Path) -> Iterator[NodeState]:
    state = NodeState.open(load_identity(node).paths.state)
    try:
        yield state
    finally:
        state.close()
