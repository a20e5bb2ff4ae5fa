"""Receipt: a node's signed statement of what it did under a permit (DESIGN.md, step 8)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, model_validator

from policies.canonical import sha256_hex
from policies.envelope import sign_envelope, signed_payload
from policies.fields import (
    Accelerator,
    Decimal,
    Document,
    Id,
    Instant,
    MaybeNorm,
    ParticipantId,
    Sha256,
    Version,
)
from policies.privacy import MaybeKey

RECEIPT_TYPE = "application/vnd.tdspace.receipt+json"


Level = Literal["isolated", "confined", "process"]
"""Left values of `executionEnvironment` (`policies.relations.ENVIRONMENTS`)."""


class Confinement(Document):
    """What held the sandbox child, as measured on this host at start.

    Attributes:
        files: what the child can open: `own` is the app, the interpreter and its scratch folder,
            `devices` an accelerator's besides, `host` what its user can.
        scratch: `bounded` is a file system of its own, whose bytes and files the kernel bounds;
            `watched` is looked at while the child runs.
        level: what follows from the others; another is refused.
    """

    network: Literal["none", "host"]
    user: Literal["nobody", "same"]
    files: Literal["own", "devices", "host"]
    no_new_privileges: bool
    memory_limit: bool
    scratch: Literal["bounded", "watched"]
    level: Level

    @classmethod
    def measured(
        cls,
        *,
        network: Literal["none", "host"],
        user: Literal["nobody", "same"],
        files: Literal["own", "devices", "host"],
        no_new_privileges: bool,
        memory_limit: bool,
        scratch: Literal["bounded", "watched"],
    ) -> Self:
        """With the level that these give."""
        bounded = network == "none" and no_new_privileges and memory_limit
        return cls(
            network=network,
            user=user,
            files=files,
            no_new_privileges=no_new_privileges,
            memory_limit=memory_limit,
            scratch=scratch,
            level=_level(bounded=bounded, strict=user == "nobody" and files == "own"),
        )

    @model_validator(mode="after")
    def _level_follows(self) -> Self:
        bounded = self.network == "none" and self.no_new_privileges and self.memory_limit
        strict = self.user == "nobody" and self.files == "own"
        if self.level != _level(bounded=bounded, strict=strict):
            raise ValueError("the level that follows from what was measured")
        return self

    def opened(self) -> Confinement:
        """The same where apps may be given an accelerator's devices."""
        files: Literal["devices", "host"] = "host" if self.files == "host" else "devices"
        return Confinement.measured(
            network=self.network,
            user=self.user,
            files=files,
            no_new_privileges=self.no_new_privileges,
            memory_limit=self.memory_limit,
            scratch=self.scratch,
        )


def _level(*, bounded: bool, strict: bool) -> Level:
    return "process" if not bounded else "isolated" if strict else "confined"


class Receipt(Document):
    """What was used and what left.

    Attributes:
        permit: digest of the permit's body.
        product_commitment: salted SHA-256 of the data as it was read (clients.vault).
        rows_commitment: salted Merkle root over all rows, each with its state: to train on, to
            evaluate on, or seen by no app (clients.rowset); an evaluation sees the second only.
        rows_used: rows that the app trained on (held-back rows are not counted).
        rows_held_back: rows that it evaluated on.
        rows_without_consent: rows left out because their subject's consent did not stand.
        update: SHA-256 of the update's safetensors bytes; of zero bytes when nothing left
            (an evaluation).
        metrics: figures that left with it, decimal strings.
        accelerator: whose devices the app could open; more than "none" only if the permit says so.
        clip_norm: the permit's, to which the update was held; "" is none. Whether it had to be
            scaled down depends on the data, and is told to the owner only.
        mask_key: the node's one-time X25519 public key, with which its mask was made; "" where the
            update is not masked. Under a mask figures leave within the update only.
        noise: the permit's noise multiplier, of which the update holds the node's share, or which
            governance adds; "" is none.
        log_size, log_root: head of the node's own log before this receipt.
    """

    version: Version
    permit: Sha256
    permit_id: Annotated[str, Field(pattern=r"^permit-[0-9a-f]{32}$")]
    run: Id
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    participant: ParticipantId
    product: Id
    product_commitment: Sha256
    rows_commitment: Sha256
    rows_used: Annotated[int, Field(ge=0, le=2**53 - 1)]
    rows_held_back: Annotated[int, Field(ge=0, le=2**53 - 1)]
    rows_without_consent: Annotated[int, Field(ge=0, le=2**53 - 1)]
    update: Sha256
    metrics: Annotated[dict[Id, Decimal], Field(max_length=16)]
    clip_norm: MaybeNorm
    mask_key: MaybeKey
    noise: MaybeNorm
    confinement: Confinement
    accelerator: Accelerator
    started: Instant
    finished: Instant
    log_size: Annotated[int, Field(ge=0, le=2**53 - 1)]
    log_root: Sha256


def sign_receipt(receipt: Receipt, key: Ed25519PrivateKey) -> bytes:
    """The receipt's envelope, signed with the node's receipt key."""
    return sign_envelope(receipt.to_json(), payload_type=RECEIPT_TYPE, key=key)


def open_receipt(data: bytes, key: Ed25519PublicKey) -> Receipt:
    """Parse and verify an envelope against the participant's enrolled key.

    Raises:
        DocumentError, SignatureError: what was expected and what came.
    """
    return open_receipt_and_digest(data, key)[0]


def open_receipt_and_digest(data: bytes, key: Ed25519PublicKey) -> tuple[Receipt, str]:
    """`open_receipt`, and the SHA-256 of the receipt's canonical JSON.

    Every field of a receipt is required and spelled in one way, so that what was signed is what
    the receipt would be written as.
    """
    payload, signed = signed_payload(data, payload_type=RECEIPT_TYPE, key=key)
    return Receipt.from_json(payload), sha256_hex(signed)
