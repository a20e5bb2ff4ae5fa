"""Statements of participants: who signed, and what."""

from __future__ import annotations

from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from policies.envelope import open_envelope, unverified_payload
from policies.errors import PolicyError
from policies.fields import Document
from server import queries
from server.errors import BadInput, NotAllowed

MAX_SIGNED_BYTES: Final = 640 * 1024  # its base64 must fit into an entry of 1 MiB

Statement = TypeVar("Statement", bound=Document)


def open_signed(
    connection: Connection,
    participant: str,
    envelope: bytes,
    *,
    payload_type: str,
    kind: type[Statement],
) -> Statement:
    """The statement in an envelope, once it is seen that this participant signed it.

    Raises:
        BadInput: too large, malformed, or not signed with the participant's registered key.
        NotAllowed: the participant has no key, or the statement is in another's name.
    """
    if len(envelope) > MAX_SIGNED_BYTES:
        raise BadInput(f"statement: expected at most {MAX_SIGNED_BYTES} bytes, got {len(envelope)}")
    person = queries.participant(connection, participant)
    if person is None or person.receipt_key is None:
        raise NotAllowed(f"{participant}: expected a participant with a key for statements")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(person.receipt_key))
    try:
        payload = unverified_payload(envelope, payload_type=payload_type)
        named = payload.get("participant") if isinstance(payload, dict) else None
        if named != participant:
            raise NotAllowed(f"statement: expected one by {participant}, got {named!r:.80}'s")
        return kind.from_json(open_envelope(envelope, payload_type=payload_type, key=key))
    except PolicyError as error:
        raise BadInput(f"statement: {error}") from error
