"""Withdrawals that a node signs before anybody withdraws: one click in the console files one.

A withdrawal must bear the signature of its owner's key, and that key never leaves the node. So the
node signs one for each agreement that stands, without a reason, at the moment its owner asks for a
way into the console. What they are worth in other hands: each ends one consent, which governance
could refuse to act on anyway; none can begin, widen or restore anything (docs/adr/0024).
"""

from __future__ import annotations

import secrets
from datetime import datetime

from clients.identity import NodeIdentity
from clients.state import NodeState
from policies.envelope import sign_envelope
from policies.fields import instant
from policies.statements import WITHDRAWAL_TYPE, Withdrawal


def new_withdrawal(
    participant: str, agreement: str, *, reason: str = "", now: datetime
) -> Withdrawal:
    """The statement, with a fresh id.

    Args:
        reason: commitment to the owner's words; "" is none.

    Raises:
        DocumentError: an id that no agreement can have.
    """
    return Withdrawal.from_json(
        {
            "version": 1,
            "id": f"withdrawal-{secrets.token_hex(16)}",
            "participant": participant,
            "agreement": agreement,
            "reason": reason,
            "time": instant(now),
        }
    )


def sign_in_advance(
    identity: NodeIdentity, state: NodeState, *, now: datetime, most: int
) -> tuple[list[bytes], int]:
    """A signed withdrawal for each agreement whose consent stands; nothing of it is kept here.

    Args:
        most: for so many at most, those that were concluded last.

    Returns:
        The envelopes, and how many standing agreements are without one.

    Raises:
        StateUnavailable: the node's database cannot be read.
    """
    standing = [record for record in state.agreements() if record.withdrawn is None]
    standing.sort(key=lambda record: record.concluded, reverse=True)
    envelopes = [
        sign_envelope(
            new_withdrawal(identity.participant, record.id, now=now).to_json(),
            payload_type=WITHDRAWAL_TYPE,
            key=identity.keys.receipt,
        )
        for record in standing[:most]
    ]
    return envelopes, len(standing) - len(envelopes)
