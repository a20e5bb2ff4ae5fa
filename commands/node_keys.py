"""`tds node rotate`, and the end of a rotation that was cut off, at the node's start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.backoff import Backoff, Presence
from clients.errors import GovernanceRefused, GovernanceUnavailable
from clients.governance import GovernanceClient
from clients.identity import NodeIdentity, load_identity, open_own_log
from clients.owner import governance_client
from clients.rotation import begin, finish, under_way
from clients.state import Journal, NodeState
from commands.errors import CommandFailed
from commands.output import say as say_line
from ledger.errors import LogUnavailable


def rotate(
    node: Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")],
) -> None:
    """Replace the key that signs this node's receipts and statements. Stop the node first.

    The old key signs for the new one, and the space's log has it; what was signed before stands.
    A call that was cut off is finished by the next one, or by the node's next start.

    Example: tds node rotate --node ./clinic
    """
    identity = load_identity(node)
    with _held(identity) as (state, journal, governance):
        begin(identity, state, now=datetime.now(UTC))
        done = finish(node, governance, journal)
    say_line(
        f"new key for receipts and statements: {done.receipt_key[:16]}… in place of "
        f"{done.previous[:16]}…, log entry {done.index}"
    )


def finish_rotation(folder: Path, say: Callable[[str], None]) -> None:
    """Finish what `tds node rotate` began; waits for governance, without which nobody knows which
    key counts.

    Raises:
        GovernanceRefused: it stays under way; the text says why.
        LedgerError, ClientError
    """
    identity = load_identity(folder)
    presence, backoff, never = Presence("governance", say), Backoff(), threading.Event()
    with _held(identity) as (_, journal, governance):
        while True:
            try:
                done = finish(folder, governance, journal)
                presence.back()
                say(f"the new key for receipts {done.receipt_key[:16]}… counts now")
                return
            except GovernanceUnavailable as problem:
                presence.lost(f"a change of this node's key has to be finished first: {problem}")
                never.wait(backoff.next())
            except GovernanceRefused as problem:
                if under_way(identity.paths):
                    raise
                say(f"the change of this node's key was refused, the old one stands: {problem}")
                return


@contextmanager
def _held(identity: NodeIdentity) -> Iterator[tuple[NodeState, Journal, GovernanceClient]]:
    """The node's database, its own log, and governance, while no node runs.

    Raises:
        CommandFailed: another process holds the own log.
    """
    with ExitStack() as stack:
        state = NodeState.open(identity.paths.state)
        stack.callback(state.close)
        try:
            log = open_own_log(identity)
        except LogUnavailable as error:
            raise CommandFailed(
                f"{identity.paths.root}: expected that this node does not run, it does, or its own "
                f"log cannot be opened ({error}); stop it, change the key, start it again"
            ) from error
        stack.callback(log.close)
        journal = Journal(log=log, state=state, verifier=identity.log_signer.verifier)
        yield state, journal, stack.enter_context(governance_client(identity))
