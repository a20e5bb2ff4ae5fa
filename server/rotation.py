"""A participant's key changes: checked, logged, and from then on the new one counts."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from ledger.ed25519 import load_public_key
from ledger.errors import KeyRefused
from policies.entries import entry_bytes
from policies.envelope import open_envelope, unverified_payload
from policies.errors import PolicyError
from policies.fields import instant
from policies.keychange import KEY_CHANGE_TYPE, KeyChange
from server import queries
from server.edge import Edge
from server.errors import BadInput, NotAllowed, RuleBroken
from server.journal import Journal
from server.pki import Identity
from server.rows import Participant
from server.signed import MAX_SIGNED_BYTES


class Rotation:
    """Changes of keys.

    Args:
        space: the space's name.
    """

    def __init__(self, *, journal: Journal, space: str, edge: Edge) -> None:
        self._journal = journal
        self._space = space
        self._edge = edge

    def rotate(self, caller: Identity, envelope: bytes) -> tuple[int, str]:
        """Log a participant's new key; the log index and the participant. The same change again
        gets the same answer, though the key that signed it no longer counts.

        Raises:
            BadInput: malformed, for another space, not signed with the key that counts, a proof
                that does not hold, or a key to refuse.
            NotAllowed: in another's name, or of a participant without a key.
            RuleBroken: the key is, or was, a participant's.
            Unavailable: nothing changed; send it again.
        """
        change = _read(envelope)
        if change.participant != caller.participant:
            raise NotAllowed(f"key change: expected one by {caller.participant}, got another's")
        if change.space != self._space:
            raise BadInput(f"key change: expected one for {self._space}, got {change.space!r:.80}")
        with self._journal.writing():
            with self._journal.reading() as connection:
                person = queries.participant(connection, caller.participant)
                if person is None or person.receipt_key is None:
                    raise NotAllowed(f"{caller.participant}: expected a participant with a key")
                done = _done(connection, person, change)
                _check(envelope, change, signer=change.previous if done else person.receipt_key)
                if done is not None:
                    return done, person.id
                _require_unused(connection, change.receipt_key)
            body = {
                "participant": person.id,
                "previous": change.previous,
                "receipt_key": change.receipt_key,
                "envelope": base64.b64encode(envelope).decode(),
            }
            entry = entry_bytes("KeyRotated", time=instant(self._edge.clock()), body=body)
            key = f"key:{change.receipt_key}"
            return self._journal.commit([entry], key=key).first_index, person.id


def _read(envelope: bytes) -> KeyChange:
    if len(envelope) > MAX_SIGNED_BYTES:
        raise BadInput(f"key change: expected at most {MAX_SIGNED_BYTES} bytes")
    try:
        return KeyChange.from_json(unverified_payload(envelope, payload_type=KEY_CHANGE_TYPE))
    except PolicyError as error:
        raise BadInput(f"key change: {error}") from error


def _done(connection: Connection, person: Participant, change: KeyChange) -> int | None:
    """The log index of exactly this change, if it was logged and its key counts now."""
    if person.receipt_key != change.receipt_key:
        return None
    retired = queries.retired_key(connection, change.previous)
    if retired is None or retired.participant != person.id:
        return None
    return retired.entry


def _check(envelope: bytes, change: KeyChange, *, signer: str) -> None:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer))
        open_envelope(envelope, payload_type=KEY_CHANGE_TYPE, key=key)
        load_public_key(bytes.fromhex(change.receipt_key))
        change.check_proof()
    except (PolicyError, KeyRefused) as error:
        raise BadInput(f"key change: {error}") from error
    if change.previous != signer:
        raise BadInput("key change: expected it to name the key that signed it, it names another")


def _require_unused(connection: Connection, receipt_key: str) -> None:
    other = queries.participant_by_key(connection, receipt_key=receipt_key, fleet_key=None)
    if other is not None or queries.retired_key(connection, receipt_key) is not None:
        raise RuleBroken(
            "key change: expected a key that nobody has or had, got one that is known; make a new "
            "one"
        )
