"""The messages of a pairwise secure sum: canonical JSON, strictly parsed, of bounded size.

    Shared       node to aggregator    its one-time keys, signed, and a share for each peer
    Letters      aggregator to node    the others' keys, and their shares for this node
    Split        aggregator to nodes   who sent a masked vector, and who shared but did not
    Agreement    node to aggregator    its signature on the one split that it helps to open
    Agreements   aggregator to nodes   those of the others
    Answer       node to aggregator    shares: of survivors' seeds, of the dropped ones' mask keys

A masked vector is bytes beside these. All keys, digests, signatures and shares are hexadecimal.
"""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field

from policies.canonical import canonical_bytes, parse_canonical
from policies.errors import WrongPermit
from policies.fields import Document, ParticipantId, Sha256, Version
from policies.pairwise_round import MAX_MEMBERS

MAX_MESSAGE_BYTES: Final = 1 << 20

# Raw public keys, as digests, have 32 bytes.
Key = Sha256
Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
Share = Annotated[str, Field(pattern=r"^[0-9a-f]{66}$")]
# Two shares of 33 bytes and a tag of 16.
SealedShares = Annotated[str, Field(pattern=r"^[0-9a-f]{164}$")]


def _ascending(names: list[str]) -> list[str]:
    if names != sorted(set(names)):
        raise ValueError("names in ascending order, each once")
    return names


Names = Annotated[list[ParticipantId], Field(max_length=MAX_MEMBERS), AfterValidator(_ascending)]


class PairwiseMessage(Document):
    """Base of the messages: each names its permit."""

    version: Version
    permit: Sha256

    @classmethod
    def parse(cls, data: bytes, *, permit: str) -> Self:
        """The message of that permit.

        Raises:
            DocumentError: too large, malformed, or another spelling.
            WrongPermit: of another permit.
        """
        message = cls.from_json(parse_canonical(data, max_bytes=MAX_MESSAGE_BYTES))
        if message.permit != permit:
            raise WrongPermit(
                f"{cls.__name__}: expected one of permit {permit[:16]}…, got one of "
                f"{message.permit[:16]}…"
            )
        return message

    def to_bytes(self) -> bytes:
        """As it travels."""
        return canonical_bytes(self.to_json())


class OneTimeKeys(Document):
    """What a node made for one permit.

    Attributes:
        receipt_key: raw Ed25519 public key, whose id stands in the permit.
        mask_key: one-time X25519 public key, from which the masks of pairs follow.
        share_key: another, with which it encrypts shares.
        seed_digest: of the seed of its self-mask, so that shares which give another are found out.
        signature: of the receipt key on all of these (`policies.pairwise_secrets`).
    """

    participant: ParticipantId
    receipt_key: Key
    mask_key: Key
    share_key: Key
    seed_digest: Sha256
    signature: Signature


class Shared(PairwiseMessage):
    """A node's keys, and by receiver the encrypted shares of its mask key and its seed."""

    keys: OneTimeKeys
    shares: Annotated[dict[ParticipantId, SealedShares], Field(max_length=MAX_MEMBERS)]


class Letter(Document):
    """One peer's keys, and its shares for the receiver."""

    keys: OneTimeKeys
    shares: SealedShares


class Letters(PairwiseMessage):
    """What the others shared with `receiver`, ascending by participant."""

    receiver: ParticipantId
    letters: Annotated[list[Letter], Field(max_length=MAX_MEMBERS)]


class Split(PairwiseMessage):
    """Everybody who shared: those whose masked vector is in the sum, and the others."""

    survivors: Names
    dropped: Names


class Agreement(PairwiseMessage):
    """A node's signature on the split."""

    participant: ParticipantId
    signature: Signature


class Agreements(PairwiseMessage):
    """Signatures on the split, by participant."""

    signatures: Annotated[dict[ParticipantId, Signature], Field(max_length=MAX_MEMBERS)]


class Answer(PairwiseMessage):
    """The shares that one node gives: never both of one peer.

    Attributes:
        seeds: by survivor, of the seed of its self-mask.
        mask_keys: by dropped peer, of its private mask key.
    """

    participant: ParticipantId
    seeds: Annotated[dict[ParticipantId, Share], Field(max_length=MAX_MEMBERS, repr=False)]
    mask_keys: Annotated[dict[ParticipantId, Share], Field(max_length=MAX_MEMBERS, repr=False)]
