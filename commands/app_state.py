"""`tds app states|forget`: what apps keep on this node between the rounds of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from clients.identity import load_identity
from clients.state import NodeState
from commands.errors import CommandFailed
from commands.node import NodeFolder
from commands.output import JsonFlag, print_json, print_table, say


def states(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """List what apps keep on this node between rounds: whose, of which round, how much.

    What it holds is the app's own and encrypted; it never leaves the node, and goes when the run
    ends, the app is revoked or the agreement withdrawn. Example: tds app states --node ./clinic
    """
    with _opened(node) as state:
        kept = state.app_states()
    if as_json:
        print_json([{k: v for k, v in asdict(one).items() if k != "sealed"} for one in kept])
        return
    print_table(
        "kept between rounds",
        ["run", "product", "agreement", "app", "round", "bytes", "kept"],
        [
            [one.run, one.product, one.agreement, one.app, str(one.round), str(one.size), one.kept]
            for one in kept
        ],
    )


def forget(
    run: Annotated[str, typer.Argument(help="The run's id.")],
    node: NodeFolder,
) -> None:
    """Drop what apps keep in a run; the next round begins without, as the first did.

    Example: tds app forget run-1 --node ./clinic
    """
    with _opened(node) as state:
        dropped = state.forget_app_states(run)
    if not dropped:
        raise CommandFailed(
            f"run {run}: expected something that an app keeps in it, got nothing; see what is "
            "kept: tds app states"
        )
    say(f"dropped {dropped} of run {run}")


@contextmanager
def _opened(node: Path) -> Iterator[NodeState]:
    state = NodeState.open(load_identity(node).paths.state)
    try:
        yield state
    finally:
        state.close()
