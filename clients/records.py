"""What the node's database gives back, row by row."""

from __future__ import annotations

from dataclasses import dataclass

from policies.envelope import unverified_payload
from policies.statements import PRODUCT_TYPE, ProductCard


@dataclass(frozen=True, slots=True)
class SeenCheckpoint:
    """The largest checkpoint of the space's log that this node ever accepted."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class AgreementRecord:
    """The node's own copy of an agreement.

    Attributes:
        document: what the owner signed, word for word.
        uses: uses begun under it.
        withdrawn: when consent was taken back; None while it stands.
    """

    id: str
    digest: str
    product: str
    document: bytes
    concluded: str
    uses: int
    withdrawn: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A product as it was registered.

    Attributes:
        file: absolute path of the product file; the data lies where that file says.
        digest: SHA-256 of the product file's bytes; a changed file is another product.
        card: the signed ProductCard.
        registered: index in the space's log; None until governance confirmed it.
    """

    id: str
    file: str
    digest: str
    rows: int
    card: bytes
    registered: int | None = None

    @property
    def data_version(self) -> int:
        """As the card states it; the node's own database vouches for the card."""
        payload = unverified_payload(self.card, payload_type=PRODUCT_TYPE)
        return ProductCard.from_json(payload).data_version


@dataclass(frozen=True, slots=True)
class AppRecord:
    """The owner's word on a bundle; approved means `revoked` is None."""

    sha256: str
    approved: str
    revoked: str | None


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a product, begun once.

    Attributes:
        permit: digest of the permit's body; `permit_id` is its nonce.
        outcome: None in progress; else `receipted`, `failed`, `withdrawn`, or `stopped` (the node
            ended first).
    """

    permit_id: str
    permit: str
    agreement: str
    product: str
    app: str
    run: str
    round: int
    started: str
    expires: str
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class PendingWithdrawal:
    """A signed withdrawal that governance has not confirmed yet."""

    id: str
    agreement: str
    envelope: bytes
