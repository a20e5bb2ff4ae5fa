"""What a node does beside its tasks, each in a thread of its own until the node ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from clients.backoff import Presence
from clients.contracts import OwnerContracts
from clients.endedconsents import EndedConsents
from clients.endedruns import keep_forgetting
from clients.errors import ClientError, GovernanceError
from clients.governance import GovernanceClient
from clients.renewal import Renewal
from clients.witness import NodeWitness
from commands.node_wiring import OpenNode
from ledger.errors import LedgerError
from policies.errors import PolicyError

LOGGER = logging.getLogger(__name__)

_TELL_EVERY_S = 5.0
_ASK_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Chores:
    """What all of them need.

    Attributes:
        say: tells the owner.
        stop: set when the node ends.
    """

    node: OpenNode
    governance: GovernanceClient
    clock: Callable[[], datetime]
    say: Callable[[str], None]
    stop: threading.Event


def start_chores(chores: Chores, *, asking: bool) -> None:
    """Tell governance what it missed and hear of consents that ended elsewhere, renew the
    certificate, witness the log, forget what apps kept of runs that ended.

    Args:
        asking: also ask governance now and then whether it is there, for whoever looks at the
            node's health.
    """
    node, governance = chores.node, chores.governance
    renewal = Renewal(node.identity, governance, say=chores.say, clock=chores.clock)
    witness = NodeWitness(
        cosigner=node.identity.cosigner,
        space_log=node.identity.space_log,
        state=node.state,
        governance=governance,
        on_fork=node.alarm.raised,
        log_turn=node.log_turn,
        clock=chores.clock,
        tell=chores.say,
    )
    ended = EndedConsents(
        identity=node.identity,
        state=node.state,
        governance=governance,
        clock=chores.clock,
        tell=chores.say,
    )
    work: dict[str, Callable[[], object]] = {
        "teller": lambda: _keep_telling(chores),
        "ended-consents": lambda: ended.run(chores.stop),
        "renewal": lambda: renewal.run(chores.stop),
        "witness": lambda: witness.run(chores.stop),
        "forgetting": lambda: keep_forgetting(
            node.state, governance, clock=chores.clock, stop=chores.stop
        ),
    }
    if asking:
        work["asker"] = lambda: _keep_asking(governance, chores.stop)
    for name, run in work.items():
        threading.Thread(target=run, name=name, daemon=True).start()


def _keep_asking(governance: GovernanceClient, stop: threading.Event) -> None:
    """Ask governance for its head now and then, to know whether it answers."""
    while True:
        try:
            governance.get_space()
        except GovernanceError as problem:
            LOGGER.debug("governance cannot be asked at present: %s", problem)
        if stop.wait(_ASK_EVERY_S):
            return


def _keep_telling(chores: Chores) -> None:
    """Tell governance of withdrawals made and forks seen while it was away, and agree to what the
    owner said that the node shall agree to by itself."""
    node, stop = chores.node, chores.stop
    contracts = OwnerContracts(
        identity=node.identity, state=node.state, governance=chores.governance, clock=chores.clock
    )
    kept, presence = False, Presence("governance's answer", LOGGER.info)
    while not stop.wait(_TELL_EVERY_S):
        try:
            node.alarm.tell()
            node.owner.tell_governance()
            if not kept:
                contracts.keep_signed()
                kept = True
            contracts.agree_waiting()
            presence.back()
        except GovernanceError as problem:
            presence.lost(str(problem))
        except (ClientError, LedgerError, PolicyError) as problem:
            LOGGER.warning("governance was not told: %s", problem)
