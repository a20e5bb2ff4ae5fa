"""What participants register and state, each signed in a DSSE envelope by whom it binds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from policies.fields import Count, Document, Id, Instant, ParticipantId, Sha256, Text, Version

PRODUCT_TYPE = "application/vnd.tdspace.product+json"
AGREEMENT_TYPE = "application/vnd.tdspace.agreement+json"
WITHDRAWAL_TYPE = "application/vnd.tdspace.withdrawal+json"
OFFER_TYPE = "application/vnd.tdspace.offer+json"
VERIFICATION_TYPE = "application/vnd.tdspace.agreement-verification+json"


class Column(Document):
    """One column of a product, without any of its values."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["float", "integer", "string"]
    role: Literal["feature", "label", "ignored"]


class ProductCard(Document):
    """One immutable version of a registered data set (dcat:Dataset), as its owner states it."""

    version: Version
    id: Id
    participant: ParticipantId
    title: Annotated[str, Field(min_length=1, max_length=200)]
    rows: Annotated[int, Field(ge=1, le=2**40)]
    columns: Annotated[list[Column], Field(min_length=1, max_length=4096)]
    modality: Literal["tabular"]
    classification: Literal["general", "important", "core"]
    personal_information: bool
    registered: Instant


class SignedAgreement(Document):
    """The owner's signature under an ODRL Agreement; `document` is its text, word for word."""

    version: Version
    participant: ParticipantId
    document: Annotated[str, Field(max_length=65_536)]


class Withdrawal(Document):
    """The owner takes back its consent to an agreement; effective on receipt, not reversible."""

    version: Version
    id: Annotated[str, Field(pattern=r"^withdrawal-[0-9a-f]{32}$")]
    participant: ParticipantId
    agreement: Id
    reason: Text
    time: Instant


class SignedOffer(Document):
    """What an owner offers for a product, for everybody or in one negotiation.

    Attributes:
        offer: its id; one id never stands for two texts.
        document: the ODRL Offer in normal form; "" takes the offer back, for good.
        auto_agree: the owner's node agrees by itself to who accepts it word for word.
        negotiation: "" for an offer to everybody, else the one negotiation that it answers in.
    """

    version: Version
    participant: ParticipantId
    product: Id
    offer: Id
    document: Annotated[str, Field(max_length=65_536)]
    auto_agree: bool
    negotiation: Annotated[str, Field(max_length=128)]
    time: Instant


class VerifiedAgreement(Document):
    """The consumer's signature under an agreement, word for word as its owner signed it."""

    version: Version
    participant: ParticipantId
    document: Annotated[str, Field(max_length=65_536)]


class RunSpec(Document):
    """What a consumer asks to run.

    Attributes:
        app: SHA-256 of the registered app bundle.
        config: overrides of the app's run config; floats as {"float": "0.1"}.
        agreements: ids under which data shall be used.
        rounds: training rounds; one evaluation round follows.
        deadline_s: seconds a round may wait for its nodes.
        quorum: receipts below which a round has no result.
        min_cohort: permitted enterprises below which no permit is given.
    """

    version: Version
    app: Sha256
    purpose: Id
    agreements: Annotated[list[Id], Field(min_length=1, max_length=10_000)]
    rounds: Annotated[int, Field(ge=1, le=100_000)]
    deadline_s: Annotated[int, Field(ge=1, le=86_400)]
    quorum: Annotated[int, Field(ge=1, le=10_000)]
    min_cohort: Annotated[int, Field(ge=1, le=10_000)]
    memory_bytes: Annotated[int, Field(ge=1 << 26, le=1 << 44)]
    metrics: Annotated[list[Id], Field(max_length=16)]
    config: dict[Id, bool | int | str | dict[Literal["float"], str]]


class RoundItem(Document):
    """One enterprise's outcome in a closed round, for people and auditors."""

    participant: ParticipantId
    product: Id
    outcome: Literal["accepted", "left-out", "refused"]
    code: Annotated[str, Field(max_length=64)]
    text: Text
    rows: Count
