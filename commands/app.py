"""`tds app`: Flower apps by their SHA-256: built, registered, looked at, approved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.appbundle import MAX_BUNDLE_BYTES, build_bundle, verify_bundle
from clients.files import read_file, replace_file
from clients.owner import open_owner
from commands import app_env
from commands.app_show import Bundle, read_bundle, show
from commands.app_state import forget, states
from commands.errors import BadInput
from commands.node import NodeFolder, node_client
from commands.output import JsonFlag, print_columns, print_json, say
from commands.reading import documents
from commands.space_people import SpaceFolder
from policies.canonical import sha256_hex
from policies.errors import DocumentError
from policies.fields import instant
from policies.operands import parse_datetime
from policies.statements import AppFiling
from server.governance_client import GovernanceClient
from server.space import load_space

cli = typer.Typer(no_args_is_help=True, help="Flower apps, each known by its bundle's SHA-256.")
cli.add_typer(app_env.cli, name="env")
cli.command("show")(show)
cli.command("states")(states)
cli.command("forget")(forget)


@cli.command("build")
def build(
    folder: Annotated[Path, typer.Argument(help="The app's folder, with its pyproject.toml.")],
    out: Annotated[Path, typer.Option(help="Where to write the bundle.")],
) -> None:
    """Build an app bundle (FAB) with Flower's own builder; the same folder gives the same SHA-256.

    Example: tds app build clients/apps/tabular --out tabular.fab
    """
    bundle = build_bundle(folder)
    replace_file(out, bundle, mode=0o644)
    say(f"{sha256_hex(bundle)}  {out}")


@cli.command("register")
def register(
    file: Annotated[Path, typer.Argument(help="The bundle.")],
    space: SpaceFolder,
    title: Annotated[str, typer.Option(help="What it does, for people.")],
    author: Annotated[str, typer.Option(help="Who wrote it.")] = "",
    purpose: Annotated[
        list[str] | None, typer.Option(help="A purpose it may run for; again for more; else any.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option(help="What it declares to return; again for more.")
    ] = None,
    filing_number: Annotated[str, typer.Option(help="Under which it was filed.")] = "",
    expires: Annotated[
        str, typer.Option(help="When its filing ends, such as 2027-01-01T00:00:00Z; else never.")
    ] = "",
) -> None:
    """Register an app and what it is filed for; owners still have to approve it on their nodes.

    Registered again with another filing, that one takes the place of the one before.
    Example: tds app register tabular.fab --space ./space --title "Tabular classification"
    """
    bundle = read_file(file, max_bytes=MAX_BUNDLE_BYTES)
    filing = _filing(author, purpose or [], output or [], filing_number, expires)
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        done = governance.register_app(bundle, title, filing)
    say(f"registered {done.app} (entry {done.index} of the space's log)")


@cli.command("unregister")
def unregister(
    app: Annotated[str, typer.Argument(help="The app's SHA-256.")],
    space: SpaceFolder,
    reason: Annotated[str, typer.Option(help="Why; stands in the log.")],
) -> None:
    """Revoke an app's filing: no run opens with it and no round goes on with it.

    Example: tds app unregister 3b2f… --space ./space --reason "returns more than it declares"
    """
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        done = governance.revoke_app_filing(app, reason)
    say(f"revoked the filing of {done.id} (entry {done.index} of the space's log)")


@cli.command("list")
def list_apps(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """List the space's apps. Example: tds app list --node ./clinic"""
    with node_client(node) as governance:
        found = documents(governance.list_documents("apps"))
    if as_json:
        print_json(found)
    else:
        print_columns("apps", ["app", "title", "size", "filing_state"], found)


@cli.command("approve")
def approve(
    bundle: Bundle,
    node: NodeFolder,
    env: Annotated[
        str, typer.Option(help="Packages that it may use, built before (tds app env build).")
    ] = "",
) -> None:
    """Allow an app to run on this node, under permits; look at it first (tds app show).

    Example: tds app approve 3b2f… --node ./clinic
    """
    data = read_bundle(bundle, node)
    verify_bundle(data, expected_sha256=sha256_hex(data))
    with open_owner(node) as owner:
        app = owner.approve_app(data, environment=env)
    say(f"approved {app}" + (f" with the environment {env}" if env else ""))


@cli.command("revoke")
def revoke(
    app: Annotated[str, typer.Argument(help="The app's SHA-256.")],
    node: NodeFolder,
) -> None:
    """Forbid an app on this node from now on, also in a task that is running.

    Example: tds app revoke 3b2f… --node ./clinic
    """
    with open_owner(node) as owner:
        changed = owner.revoke_app(app)
    say(f"revoked {app}" if changed else f"{app} was not approved")


def _filing(
    author: str, purposes: list[str], outputs: list[str], number: str, expires: str
) -> AppFiling | None:
    """The filing that the options make; None if none was given."""
    if not (author or purposes or outputs or number or expires):
        return None
    try:
        return AppFiling.from_json(
            {
                "author": author,
                "purposes": [*purposes],
                "outputs": [*outputs],
                "filing_number": number,
                "expires": instant(parse_datetime(expires, "--expires")) if expires else None,
            }
        )
    except DocumentError as error:
        raise BadInput(f"filing: {error}") from error
