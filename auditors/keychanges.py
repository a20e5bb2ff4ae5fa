"""Whether a participant's key changed by its own word.

statement-signed    by the key that counted until then, with a proof by the new one
statement-follows   the entry says what was signed
statement-new       the new key is nobody's, and was nobody's
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auditors.reading import decoded
from auditors.register import Register
from policies.entries import Entry
from policies.envelope import open_envelope
from policies.errors import SignatureError
from policies.keychange import KEY_CHANGE_TYPE, KeyChange

Fault = tuple[str, str]


def check_key_change(register: Register, entry: Entry) -> Iterator[Fault]:
    """Every fault of a `KeyRotated` but the soundness of its key.

    Args:
        register: as it is without the entry.

    Raises:
        KeyError, TypeError, ValueError, PolicyError: in another form than governance writes.
    """
    body: Mapping[str, Any] = entry.body
    person = register.person(str(body["participant"]))
    old = Ed25519PublicKey.from_public_bytes(bytes.fromhex(person.receipt_key))
    try:
        signed = decoded(body["envelope"])
        change = KeyChange.from_json(open_envelope(signed, payload_type=KEY_CHANGE_TYPE, key=old))
        change.check_proof()
    except SignatureError as error:
        yield "statement-signed", f"KeyRotated of {person.id}: {error}"
        return
    for name, expected, got in (
        ("space", change.space, register.space),
        ("participant", change.participant, person.id),
        ("previous", change.previous, body["previous"]),
        ("previous", change.previous, person.receipt_key),
        ("receipt_key", change.receipt_key, body["receipt_key"]),
    ):
        if expected != got:
            text = f"{name}: signed was {expected!r:.100}, the entry says {got!r:.100}"
            yield "statement-follows", f"KeyRotated of {person.id}: {text}"
    held = {one.receipt_key for one in register.people.values()}
    if change.receipt_key in held or change.receipt_key in register.former:
        text = "expected a key that nobody has or had, got one that is known"
        yield "statement-new", f"{person.id}: {text}"
