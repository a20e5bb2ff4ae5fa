"""Withdrawals that a node signed in advance and sent with its request for a link.

They are checked as if they were filed now, kept in memory with the link and then with its session,
and filed at a click, as the node would have filed them. What an operator could do with one that no
owner clicked on: end that consent, which it could refuse to act on anyway (docs/adr/0024).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from policies.canonical import parse_json
from policies.errors import DocumentError
from policies.fields import Document
from policies.statements import WITHDRAWAL_TYPE, Withdrawal
from server import queries
from server.errors import BadInput
from server.pki import Identity
from server.signed import open_signed, require_own

MAX_IN_ADVANCE: Final = 512
MAX_BODY_BYTES: Final = 1 << 20
_MAX_CHARS: Final = 2048

InAdvance = Mapping[str, bytes]
"""By agreement, the withdrawal that ends it."""

NONE: Final[InAdvance] = MappingProxyType({})


class LinkRequest(Document):
    """The body of `POST /console/link`; an empty body asks for a link without withdrawals.

    Attributes:
        withdrawals: base64 of signed `policies.statements.Withdrawal`s, one for an agreement at
            most.
    """

    version: Literal[1]
    withdrawals: Annotated[
        list[Annotated[str, Field(max_length=_MAX_CHARS)]], Field(max_length=MAX_IN_ADVANCE)
    ]


def envelopes_of(body: bytes) -> list[bytes]:
    """What a request brings; BadInput if it is malformed."""
    if not body:
        return []
    try:
        asked = LinkRequest.from_json(parse_json(body, max_bytes=MAX_BODY_BYTES))
        return [base64.b64decode(one, validate=True) for one in asked.withdrawals]
    except (DocumentError, binascii.Error, ValueError) as error:
        raise BadInput(f"link: {error}") from error


def checked(connection: Connection, caller: Identity, envelopes: Sequence[bytes]) -> InAdvance:
    """The withdrawals of agreements that stand; others are dropped, which a node may not know of.

    Raises:
        BadInput: malformed, not signed with the caller's key, with a reason, or two of one
            agreement.
        NotAllowed: another participant's.
    """
    found: dict[str, bytes] = {}
    for envelope in envelopes:
        wish = open_signed(
            connection,
            caller.participant,
            envelope,
            payload_type=WITHDRAWAL_TYPE,
            kind=Withdrawal,
        )
        if wish.reason:
            raise BadInput("withdrawal: expected one without a reason, got one with it")
        agreement = queries.agreement(connection, wish.agreement)
        if agreement is None:
            continue
        require_own(caller, agreement.assigner)
        if wish.agreement in found:
            raise BadInput(f"withdrawal: expected one for {wish.agreement}, got two")
        if agreement.withdrawal_entry is None:
            found[wish.agreement] = envelope
    return MappingProxyType(found)
