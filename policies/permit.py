"""RoundPermit: the signed decision for one round (DESIGN.md, step 4).

One permit covers a round's whole cohort. Its body is, word for word, the body of the log entry
`PermitIssued`; the signed envelope adds where in the log that entry stands, with the proof. A node
therefore rebuilds the entry from the body and checks that it was logged before it was signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field

from policies.account import Amounts
from policies.canonical import canonical_bytes, sha256_hex
from policies.entries import entry_bytes
from policies.envelope import open_envelope, sign_envelope
from policies.fields import (
    Accelerator,
    Amount,
    Count,
    Document,
    Id,
    Instant,
    MaybeAmount,
    MaybeId,
    MaybeNorm,
    ParticipantId,
    Sha256,
    Version,
)
from policies.parts import log_lines
from policies.privacy import MaybeKey, PermitSum, Privacy
from policies.privacy_loss import UNBOUNDED, loss_of

PERMIT_TYPE = "application/vnd.tdspace.permit+json"

Kind = Literal["train", "evaluate"]

EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {"train": "training-round", "evaluate": "evaluation-round"}
)
"""The left value of `event` for each kind of round."""

EXPIRY_GRACE: Final = timedelta(seconds=10)
"""How long after its deadline a permit still holds, for clocks that differ."""


class CohortMember(Document):
    """One enterprise's part in the round.

    Attributes:
        participant: whose node.
        product: the data product that may be used, under which `agreement`.
        key: key id of the node's receipt key.
        report: digest of the report that it was permitted by; it stands in `ReportsMade`.
        max_rows: the product's registered rows; a receipt that claims more is refused.
        metered_s, pays: reserved for this use under its agreement (`policies.account`): seconds,
            voucher units; a receipt of more seconds is refused.
        epsilon: ε of all that the product has given away by now, this use included, under whatever
            agreement, at the permit's δ, rounded up (`policies.privacy_budget`); "" where the
            permit has no privacy, or another use of the product had none: no bound is known.
        duties: what the agreement obliges to after the use, ascending; the round's close declares
            each of them fulfilled.
        sealing: its enrolled X25519 public key, to which peers seal their shares; "" unless masks
            are pairwise.
    """

    participant: ParticipantId
    product: Id
    agreement: Id
    key: Sha256
    report: Sha256
    max_rows: Annotated[int, Field(ge=1, le=2**40)]
    metered_s: Annotated[int, Field(ge=1, le=86_400)]
    epsilon: MaybeAmount
    pays: Amount
    duties: Annotated[list[Id], Field(max_length=8)]
    sealing: MaybeKey


@lru_cache(maxsize=256)  # a run states the same for all
def use_amounts(metered_s: int, privacy: Privacy | None, pays: str) -> Amounts:
    """What one use reserves.

    Args:
        metered_s: seconds.
        privacy: None is a use that has no bound.
        pays: voucher units.
    """
    if privacy is None:
        return Amounts(1, metered_s, UNBOUNDED, Decimal(pays))
    return Amounts(1, metered_s, loss_of(privacy.event()), Decimal(pays), Decimal(privacy.delta))


class Limits(Document):
    """What the sandbox may spend: wall seconds, bytes of memory, and whether a node whose owner
    allows it, too, may open its NVIDIA devices to the app; any other node uses its processor."""

    wall_s: Annotated[int, Field(ge=1, le=86_400)]
    memory_bytes: Annotated[int, Field(ge=1 << 26, le=1 << 44)]
    accelerator: Accelerator


class PermitBody(Document):
    """What was decided. Digests are SHA-256 in hexadecimal.

    Attributes:
        id: unguessable and used once: it is the nonce.
        flower_run: Flower's own id of the run (decimal; it exceeds 2^53).
        consumer_sector, consumer_region: of who receives the result, as registered; "" is unknown.
        attempt: counts the permits of one round; a cut-off round gets a fresh permit.
        app, config, model: of the app bundle, of the fused run config, of the incoming model.
        architecture: digest of the incoming model's names, shapes and types, the same in all of
            the run's permits (`policies.tensors.architecture_digest`).
        metrics: names of the only figures that may leave with the update.
        clip_norm: L2 norm of what an update may differ from `model` by; the node's egress scales
            it down to that. "" is no bound.
        secure_sum: how updates are masked and added; None leaves each as it is.
        privacy: the differential privacy that nodes perform; None is none.
        decision: digest of the decision's report, which stands in the entry before.
        min_cohort: how many enterprises had to remain.
        voucher: from which the cohort is paid; "" where the run pays nothing.
    """

    version: Version
    id: Annotated[str, Field(pattern=r"^permit-[0-9a-f]{32}$")]
    space: Id
    run: Id
    flower_run: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,19})$")]
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    attempt: Annotated[int, Field(ge=1, le=1_000_000)]
    kind: Kind
    consumer: ParticipantId
    consumer_sector: Annotated[str, Field(max_length=200)]
    consumer_region: Annotated[str, Field(max_length=64)]
    purpose: Id
    app: Sha256
    config: Sha256
    model: Sha256
    architecture: Sha256
    metrics: Annotated[list[Id], Field(max_length=16)]
    clip_norm: MaybeNorm
    secure_sum: PermitSum | None
    privacy: Privacy | None
    cohort: Annotated[list[CohortMember], Field(min_length=1, max_length=10_000)]
    min_cohort: Annotated[int, Field(ge=1, le=10_000)]
    voucher: MaybeId
    limits: Limits
    decision: Sha256
    issued: Instant
    expires: Instant

    def entry(self) -> bytes:
        """The log entry `PermitIssued` that holds this body."""
        return entry_bytes("PermitIssued", time=self.issued, body=self.to_json())

    def line(self) -> bytes:
        """The line of the log at that entry's place (`policies.parts`): what a proof is about."""
        return log_lines(self.entry())[-1]

    def reserved(self, member: CohortMember) -> Amounts:
        """What is reserved for a member's use."""
        return use_amounts(member.metered_s, self.privacy, member.pays)

    def digest(self) -> str:
        """What receipts refer to."""
        return sha256_hex(canonical_bytes(self.to_json()))


class LogPlace(Document):
    """Where the entry stands: RFC 6962 inclusion proof and the signed checkpoint it leads to.

    Attributes:
        checkpoint: the note, with the cosignatures that the operator's policy asked for.
    """

    index: Count
    size: Count
    proof: Annotated[list[Sha256], Field(max_length=63)]
    checkpoint: Annotated[str, Field(max_length=65_536)]


class _Signed(Document):
    body: PermitBody
    log: LogPlace


@dataclass(frozen=True, slots=True)
class Permit:
    """A permit whose signature was verified; its place in the log is the gate's to check."""

    body: PermitBody
    log: LogPlace


def sign_permit(body: PermitBody, log: LogPlace, key: Ed25519PrivateKey) -> bytes:
    """The permit's envelope. Call it only after the entry is durable (DESIGN.md, step 4)."""
    return sign_envelope(
        {"body": body.to_json(), "log": log.to_json()}, payload_type=PERMIT_TYPE, key=key
    )


def open_permit(data: bytes, key: Ed25519PublicKey) -> Permit:
    """Parse and verify an envelope against the space's permit key.

    Raises:
        DocumentError, SignatureError: what was expected and what came.
    """
    signed = _Signed.from_json(open_envelope(data, payload_type=PERMIT_TYPE, key=key))
    return Permit(body=signed.body, log=signed.log)
