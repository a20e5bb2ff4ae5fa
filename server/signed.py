"""Statements of participants: who signed, and what."""

from __future__ import annotations

from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from policies.canonical import Json
from policies.envelope import open_envelope, unverified_payload
from policies.errors import PolicyError
from policies.fields import Document
from server import queries
from server.errors import BadInput, NotAllowed
from server.pki import Identity

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
    payload = open_payload(connection, participant, envelope, payload_type=payload_type)
    return read_statement(kind, payload)


def open_payload(
    connection: Connection, participant: str, envelope: bytes, *, payload_type: str
) -> Json:
    """What `open_signed` reads the statement from, as it was signed; the same errors.

    For who needs the digest of a payload in which defaults may have been left out.
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
        if named not in (None, participant):  # one that names nobody is malformed, and said to be
            raise NotAllowed(f"statement: expected one by {participant}, got {named!r:.80}'s")
        return open_envelope(envelope, payload_type=payload_type, key=key)
    except PolicyError as error:
        raise BadInput(f"statement: {error}") from error


def read_statement(kind: type[Statement], payload: Json) -> Statement:
    """A statement from a payload whose signature was checked; BadInput else."""
    try:
        return kind.from_json(payload)
    except PolicyError as error:
        raise BadInput(f"statement: {error}") from error


def require_own(caller: Identity, owner: str) -> None:
    """Returns only for what belongs to the caller; NotAllowed else."""
    if owner != caller.participant:
        raise NotAllowed(f"expected what belongs to {caller.participant}, got {owner!r:.80}'s")
