"""Documents about the space itself: its card, and the join file that an invited node receives."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from policies.fields import Document, Id, Instant, ParticipantId, Sha256, Version

MAX_PORT = 65_535


def _port(address: str) -> str:
    if int(address.rpartition(":")[2]) > MAX_PORT:
        raise ValueError(f"host:port with a port of at most {MAX_PORT}")
    return address


Address = Annotated[
    str,
    Field(pattern=r"^([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}$"),
    AfterValidator(_port),
]


class SpaceCard(Document):
    """What everybody in a space may know and must agree on.

    Attributes:
        name: also the log's origin (checkpoint line 1).
        permit_key: raw Ed25519 public key that signs permits, hexadecimal.
        log_key: note verifier key of the space's log.
        registrar_key: raw Ed25519 public key that signs products' certificates, hexadecimal.
        ca_pem: certificate of the space's CA.
        governance, enrolment, superlink: host:port.
        contracts: host:port of the Dataspace Protocol's endpoint; None if there is none.
    """

    version: Version
    name: Id
    permit_key: Sha256
    log_key: Annotated[str, Field(max_length=300)]
    registrar_key: Sha256
    ca_pem: Annotated[str, Field(max_length=8192)]
    governance: Address
    enrolment: Address
    superlink: Address
    created: Instant
    contracts: Address | None = None


class JoinFile(Document):
    """One-time way in. It is passed by path, so that its secret never stands in a process list."""

    version: Version
    participant: ParticipantId
    token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$", repr=False)]
    expires: Instant
    space: SpaceCard


def enrolment_transcript(
    *,
    token: str,
    csr_pem: bytes,
    receipt_key: bytes,
    log_verifier_key: bytes,
    fleet_key_pem: bytes,
    disclosure_key: bytes,
) -> bytes:
    """What a node signs with each of its keys to prove that it holds them.

    Lengths stand before contents, so that no two requests share a transcript.
    """
    parts = [token.encode(), csr_pem, receipt_key, log_verifier_key, fleet_key_pem, disclosure_key]
    return b"tdspace enrolment v2" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
