"""Who may call what: one row for each RPC, and no row means no."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection

from server import queries
from server.errors import NotAllowed
from server.pki import Identity

_EVERYBODY: Final = frozenset({"operator", "consumer", "node", "auditor"})
_OPERATOR: Final = frozenset({"operator"})
_CONSUMER: Final = frozenset({"consumer"})
_NODE: Final = frozenset({"node"})

ROLES_BY_RPC: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "Invite": _OPERATOR,
        "RegisterApp": _OPERATOR,
        "RevokeAppFiling": _OPERATOR,
        "CertifyProduct": _OPERATOR,
        "RevokeCertificate": _OPERATOR,
        "IssueVoucher": _OPERATOR,
        "NameAuditor": _OPERATOR,
        "EraseDisclosures": _EVERYBODY,
        "RegisterProduct": _NODE,
        "ConcludeAgreement": _NODE,
        "Withdraw": _NODE,
        "GetConsistency": _EVERYBODY,
        "WatchWithdrawals": _EVERYBODY,
        "WatchCheckpoints": _NODE,
        "Cosign": _NODE,
        "ReportFork": _NODE,
        "OpenRun": _CONSUMER,
        "ResumeRun": _CONSUMER,
        "StopRun": _CONSUMER | _OPERATOR,
        "FindRun": _CONSUMER,
        "AuthorizeRound": _CONSUMER,
        "SubmitReceipts": _CONSUMER,
        "ReleaseMasks": _CONSUMER,
        "CloseRound": _CONSUMER,
        "GetSpace": _EVERYBODY,
        "GetRun": _EVERYBODY,
        "GetApp": _EVERYBODY,
        "GetProduct": _EVERYBODY,
        "List": _EVERYBODY,
        "PublishOffer": _NODE,
        "Negotiate": _NODE,
        "MoveTransfer": _NODE | _CONSUMER,
        "IssueToken": _EVERYBODY,
        "RenewCertificate": _EVERYBODY,
        "RotateKey": _NODE | _CONSUMER,
    }
)


def check_role(caller: Identity, rpc: str) -> None:
    """Returns only if the caller's role covers the RPC.

    Raises:
        NotAllowed: it does not, or the RPC has no row.
    """
    allowed = ROLES_BY_RPC.get(rpc, frozenset())
    if caller.role not in allowed:
        raise NotAllowed(
            f"{rpc}: expected a caller with role {' or '.join(sorted(allowed)) or 'none at all'}, "
            f"got {caller.participant} with role {caller.role}"
        )


def check_enrolled(connection: Connection, caller: Identity, space: str) -> None:
    """Returns only if the certificate's name is that of an active participant of this space.

    Raises:
        NotAllowed: another space, unknown, enrolled in another role, or no longer active.
    """
    if caller.space != space:
        raise NotAllowed(f"expected a certificate of space {space}, got one of {caller.space}")
    found = queries.participant(connection, caller.participant)
    if found is None or found.role != caller.role:
        raise NotAllowed(
            f"expected an enrolled participant, got {caller.participant} as {caller.role}; "
            "enrol with a join file from the operator"
        )
    if not found.active:
        raise NotAllowed(f"participant {caller.participant} is not active; ask the operator")
