"""A participant's new key for receipts and statements, stated by the old key and proven by the new.

The statement is signed with the key that it takes out of use (a DSSE envelope), and carries the new
key's signature over what it says: nobody can give a participant a key, and nobody takes another's
key for its own. From the entry that logs it on the new key counts; what was signed before is
verified with the key that counted then, and a receipt with the key that its permit names.
"""

from __future__ import annotations

from typing import Annotated, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field

from policies.ed25519 import verify_signature
from policies.envelope import sign_envelope
from policies.errors import SignatureError
from policies.fields import Document, Id, Instant, ParticipantId, Sha256, Version

KEY_CHANGE_TYPE: Final = "application/vnd.tdspace.key-change+json"


class KeyChange(Document):
    """What the old key signs.

    Attributes:
        space: whose log it is for.
        previous, receipt_key: raw Ed25519 public keys, old and new, hexadecimal.
        proof: the new key's signature over `transcript`, hexadecimal.
    """

    version: Version
    space: Id
    participant: ParticipantId
    previous: Sha256
    receipt_key: Sha256
    time: Instant
    proof: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    def transcript(self) -> bytes:
        """What the proof is over."""
        return _transcript(self.space, self.participant, self.previous, self.receipt_key, self.time)

    def check_proof(self) -> None:
        """Returns only if the new key signed; whether it is of full order is the caller's to see.

        Raises:
            SignatureError: it did not.
        """
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.receipt_key))
        try:
            verify_signature(key, bytes.fromhex(self.proof), self.transcript())
        except InvalidSignature as error:
            raise SignatureError(
                f"key change of {self.participant}: expected a proof by the new key "
                f"{self.receipt_key[:16]}…, got one that does not hold"
            ) from error


def sign_key_change(
    *, space: str, participant: str, time: str, old: Ed25519PrivateKey, new: Ed25519PrivateKey
) -> bytes:
    """The envelope that tells a space of a participant's new key."""
    previous, coming = (key.public_key().public_bytes_raw().hex() for key in (old, new))
    proof = new.sign(_transcript(space, participant, previous, coming, time)).hex()
    change = KeyChange(
        version=1,
        space=space,
        participant=participant,
        previous=previous,
        receipt_key=coming,
        time=time,
        proof=proof,
    )
    return sign_envelope(change.to_json(), payload_type=KEY_CHANGE_TYPE, key=old)


def _transcript(*parts: str) -> bytes:
    """Lengths stand before contents, so that no two changes share a transcript."""
    data = [part.encode() for part in parts]
    return b"tdspace key change v1" + b"".join(len(one).to_bytes(4, "big") + one for one in data)
