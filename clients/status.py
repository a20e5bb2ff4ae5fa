"""What a node's owner sees of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from clients.budgets import Budget, budget_of
from clients.evidence import ForkRecord, read_evidence
from clients.identity import NodeIdentity
from clients.records import AgreementRecord, AppRecord, PendingWithdrawal, ProductRecord, Use
from clients.running import Running, read_running
from clients.served import ServedRun
from clients.state import NodeState

SHOWN_USES: Final = 50
SHOWN_RUNS: Final = 20


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What the owner sees; none of it needs the network.

    Attributes:
        certificate_expires: after it governance no longer talks to the node.
        budgets: of the agreements, in their order.
        runs: the last ones served, the newest first, at most `SHOWN_RUNS`.
        uses: the newest first, at most `SHOWN_USES`.
        running: the node's process, and what it told of itself last.
        seen_size: entries of the space's log under the last checkpoint accepted; None before one.
        untold: withdrawals that governance has not confirmed.
        unlogged: entries that wait for whoever holds the node's own log.
        forks: heads of the space's log that do not fit together; `evidence/` has both of each.
    """

    participant: str
    space: str
    region: str
    certificate_expires: datetime
    products: list[ProductRecord]
    agreements: list[AgreementRecord]
    budgets: list[Budget]
    apps: list[AppRecord]
    runs: list[ServedRun]
    uses: list[Use]
    untold: list[PendingWithdrawal]
    unlogged: int
    forks: list[ForkRecord]
    running: Running
    seen_size: int | None


def read_status(identity: NodeIdentity, state: NodeState) -> NodeStatus:
    """Everything the node's database knows; needs no network.

    Raises:
        StateUnavailable, FileRefused
    """
    agreements, seen = state.agreements(), state.last_seen()
    certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
    return NodeStatus(
        participant=identity.participant,
        space=identity.config.space.name,
        region=identity.config.region,
        certificate_expires=certificate.not_valid_after_utc,
        products=state.products(),
        agreements=agreements,
        budgets=[budget_of(record) for record in agreements],
        apps=state.apps(),
        runs=state.runs(limit=SHOWN_RUNS),
        uses=state.uses(limit=SHOWN_USES),
        untold=state.pending_withdrawals(),
        unlogged=len(state.pending_entries()),
        forks=[one.record for one in read_evidence(identity.paths.evidence)],
        running=read_running(record=identity.paths.running, lock=identity.paths.running_lock),
        seen_size=None if seen is None else seen.size,
    )
