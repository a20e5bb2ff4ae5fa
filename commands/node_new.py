"""`tds node new`: enrol a node, and write what keeps it running."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clients.enrol import enrol, load_join
from clients.files import replace_file
from commands.errors import BadInput
from commands.node_compose import compose_file
from commands.node_unit import SYSTEM_USER, systemd_unit
from commands.output import say


class Emit(StrEnum):
    """What keeps a node running."""

    COMPOSE = "compose"
    SYSTEMD = "systemd"


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    join: Annotated[Path, typer.Option(help="The join file from the space's operator.")],
    region: Annotated[str, typer.Option(help="Where this node processes data, such as CN-GD.")],
    emit: Annotated[
        Emit | None,
        typer.Option(
            help="systemd: write FOLDER.service as well. compose: write FOLDER.yml only; its "
            "container makes the keys, in a volume of its own."
        ),
    ] = None,
) -> None:
    """Make a node: its keys on this side, a signing request, a certificate for the join token.

    No private key leaves this machine. Example: tds node new ./clinic --join clinic.join
    --region CN-GD
    """
    now = datetime.now(UTC)
    if emit is Emit.COMPOSE:
        service = _free(folder.with_name(f"{folder.name}.yml"))
        text = compose_file(folder, join=join, found=load_join(join, now=now), region=region)
        replace_file(service, text.encode(), mode=0o644)
        say(f"wrote {service}; nothing was enrolled yet, read it for what comes next")
        return
    out = _free(folder.with_name(f"{folder.name}.service")) if emit is not None else None
    identity = enrol(folder, join, region=region, now=now)
    space = identity.config.space.name
    say(f"enrolled {identity.participant} in space {space}: {folder}")
    if out is not None:
        me = getpass.getuser()
        user = me if me != "root" else SYSTEM_USER
        unit = systemd_unit(
            folder,
            participant=identity.participant,
            space=space,
            user=user,
            python=Path(sys.executable),
        )
        replace_file(out, unit.encode(), mode=0o644)
        say(f"wrote {out}; it runs as {user}, who must own {folder}; read it for what comes next")
    say(f"next: tds product add DATA.csv --node {folder} --purpose PURPOSE")
    say(f"and: tds node run --node {folder}")


def _free(path: Path) -> Path:
    if path.exists():
        raise BadInput(f"{path}: expected no such file, got one; move it away")
    return path
