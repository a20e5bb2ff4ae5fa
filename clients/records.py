"""What the node's database gives back, row by row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from ledger.witness import ForkKind
from policies.account import Amounts
from policies.envelope import unverified_payload
from policies.privacy_loss import parse_losses
from policies.statements import PRODUCT_TYPE, ProductCard


@dataclass(frozen=True, slots=True)
class SeenCheckpoint:
    """The largest checkpoint of the space's log that this node ever accepted."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Two heads of the space's log, both signed by it, that do not fit together.

    Attributes:
        kind: as in `ledger.witness.Forked`.
        seen: what this node accepted before.
        came: what it refuses.
        text: why, for people.
    """

    kind: ForkKind
    seen: SeenCheckpoint
    came: SeenCheckpoint
    text: str


@dataclass(frozen=True, slots=True)
class AgreementRecord:
    """The node's own copy of an agreement.

    Attributes:
        document: what the owner signed, word for word.
        uses: uses begun under it.
        metered_s, losses, paid: spent on them, and reserved for those that have not ended.
        delta: the smallest δ that one of them is accounted at; "" where none states one.
        first_use: when the first of them began.
        withdrawn: when consent was taken back; None while it stands.
        given: all that counts of the product, under this agreement and all others.
    """

    id: str
    digest: str
    product: str
    document: bytes
    concluded: str
    uses: int
    metered_s: int
    losses: str
    delta: str
    paid: str
    first_use: str | None
    withdrawn: str | None
    reason: str | None
    given: Amounts

    @property
    def spent(self) -> Amounts:
        """What was used and is reserved under this agreement; this program wrote it."""
        delta = Decimal(self.delta) if self.delta else None
        losses = parse_losses(self.losses)
        return Amounts(self.uses, self.metered_s, losses, Decimal(self.paid), delta)

    def left(self, reserved: Amounts) -> Amounts:
        """The left values of a use that would reserve so much."""
        return self.spent.plus(reserved)

    def of_product(self, given: Amounts) -> AgreementRecord:
        """The same agreement, where so much counts of the product."""
        return replace(self, given=given)


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A product as it was registered.

    Attributes:
        file: absolute path of the product file; the data lies where that file says.
        digest: SHA-256 of the product file's bytes; a changed file is another product.
        card: the signed ProductCard.
        opening: of the card's description; empty for a card that was signed before there was one.
        registered: index in the space's log; None until governance confirmed it.
    """

    id: str
    file: str
    digest: str
    rows: int
    card: bytes
    registered: int | None = None
    opening: bytes = b""

    @property
    def data_version(self) -> int:
        """As the card states it; the node's own database vouches for the card."""
        payload = unverified_payload(self.card, payload_type=PRODUCT_TYPE)
        return ProductCard.from_json(payload).data_version


@dataclass(frozen=True, slots=True)
class AppRecord:
    """The owner's word on a bundle; approved means `revoked` is None.

    Attributes:
        environment, environment_digest: the packages that it was approved with
            (clients.environments); "" for this program's own only.
    """

    sha256: str
    approved: str
    revoked: str | None
    environment: str = ""
    environment_digest: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a product, begun once.

    Attributes:
        permit: digest of the permit's body; `permit_id` is its nonce.
        outcome: None in progress; else `receipted`, `failed`, `withdrawn`, or `stopped` (the node
            ended first).
        metered_s: seconds reserved for it; once receipted, those it took.
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
    metered_s: int = 0


@dataclass(frozen=True, slots=True)
class KeptState:
    """What an app keeps between the rounds of a run, sealed (clients.statevault).

    Attributes:
        round: after which it was kept.
        rows: which rows had been used, as a digest.
        size: of what is sealed, bytes.
        kept: when.
    """

    run: str
    product: str
    agreement: str
    app: str
    round: int
    rows: str
    size: int
    kept: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class PendingWithdrawal:
    """A signed withdrawal that governance has not confirmed yet; `opening` is of its reason."""

    id: str
    agreement: str
    envelope: bytes
    opening: bytes
