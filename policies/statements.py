"""What participants register and state, each signed in a DSSE envelope by whom it binds."""

from __future__ import annotations

from decimal import Decimal as Number
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from policies.canonical import Json, digest_of
from policies.fields import (
    Accelerator,
    Amount,
    Count,
    Decimal,
    Document,
    Id,
    Instant,
    MaybeId,
    MaybeNorm,
    ParticipantId,
    Sha256,
    Text,
    Version,
)
from policies.places import Jurisdiction
from policies.privacy import Groups, Privacy, SecureSum

PRODUCT_TYPE = "application/vnd.tdspace.product+json"
AGREEMENT_TYPE = "application/vnd.tdspace.agreement+json"
WITHDRAWAL_TYPE = "application/vnd.tdspace.withdrawal+json"
OFFER_TYPE = "application/vnd.tdspace.offer+json"
VERIFICATION_TYPE = "application/vnd.tdspace.agreement-verification+json"


class Column(Document):
    """One column of a product, without any of its values.

    Attributes:
        role: `subject` says whom a row is about and `time` when it was; neither reaches an app.
        unit: such as "mm" or "1/min"; "" is not stated.
        range: least and most that a value may be, both included; None bounds nothing.
    """

    name: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["float", "integer", "string"]
    role: Literal["feature", "label", "subject", "time", "ignored"]
    unit: Annotated[str, Field(max_length=32)] = ""
    # JSON has no tuples: lax about that, and about nothing within.
    range: Annotated[tuple[Decimal, Decimal], Field(strict=False)] | None = None

    @field_validator("range")
    @classmethod
    def _in_order(cls, value: tuple[str, str] | None) -> tuple[str, str] | None:
        if value is not None and Number(value[0]) > Number(value[1]):
            raise ValueError("least, then most")
        return value

    @model_serializer(mode="wrap")
    def _stated(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is not stated: a column that says no more than before reads as before."""
        kept: dict[str, Any] = serialized(self)
        return {key: value for key, value in kept.items() if value not in ("", None)}


Share = Literal[
    "rows",
    "missing",
    "duplicates",
    "classes",
    "smallest_class",
    "imbalance",
    "drift",
    "label_drift",
    "score",
]
Aggregation = Literal["mean", "median", "trimmed-mean", "multi-krum"]
DataVersion = Annotated[int, Field(ge=1, le=2**31 - 1)]
SubjectConsent = Literal["table", "none"]
Modality = Literal["tabular", "image", "audio"]
Environment = Literal["", "process", "confined", "isolated"]
Method = Annotated[str, Field(max_length=200)]
# A salted commitment (policies.disclosure); "" where there is nothing to disclose.
MaybeCommitment = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
FilingNumber = Annotated[str, Field(pattern=r"^([A-Za-z0-9\u4e00-\u9fff〔〕()（）._:/-]{1,128})?$")]
Figure = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,15})(\.[0-9]{1,6})?$")]


class ProductCard(Document):
    """One immutable version of a registered data set (dcat:Dataset), as its owner states it.

    Attributes:
        description: commitment to title and columns (`policies.disclosure.ProductText`).
        data_version: of the data; grows with each version registered under this id.
        jurisdiction: where the data lies; None is that of the owner's registered region.
        subject_consent: whether the product carries a table of its subjects' consents.
        anonymization: the method that was applied to the data, in words; "" is none.
        filing_number: under which a crossing of jurisdictions was filed; "" is none.
        execution_environment: what confines apps at its node; "" is not stated. The node measures
            it anew for each use.
        readiness: the figures of the node's readiness report that the owner agreed to share
            (clients.readiness says what each is); not negative, decimal.
    """

    version: Version
    id: Id
    participant: ParticipantId
    description: Sha256
    rows: Annotated[int, Field(ge=1, le=2**40)]
    modality: Modality
    classification: Literal["general", "important", "core"]
    personal_information: bool
    registered: Instant
    data_version: DataVersion = 1
    jurisdiction: Jurisdiction | None = None
    subject_consent: SubjectConsent = "none"
    anonymization: Method = ""
    filing_number: FilingNumber = ""
    execution_environment: Environment = ""
    readiness: dict[Share, Figure] = Field(default_factory=dict)


class AppFiling(Document):
    """What an app is filed for; each default says nothing and bounds nothing.

    Attributes:
        author: who wrote it.
        purposes: the only ones (and narrower ones) that a run of it may have; any if empty.
        outputs: what it declares to return, in words.
        filing_number: under which it was filed; "" is none.
        expires: from then on it no longer runs; None is never.
    """

    author: Annotated[str, Field(max_length=200)] = ""
    purposes: Annotated[list[Id], Field(max_length=64)] = Field(default_factory=list)
    outputs: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=64)
    ] = Field(default_factory=list)
    filing_number: FilingNumber = ""
    expires: Instant | None = None


class SignedAgreement(Document):
    """The owner's signature under an ODRL Agreement; `document` is its text, word for word."""

    version: Version
    participant: ParticipantId
    document: Annotated[str, Field(max_length=65_536)]


class Withdrawal(Document):
    """The owner takes back its consent to an agreement; effective on receipt, not reversible.

    Attributes:
        reason: commitment to the owner's words (`policies.disclosure.ReasonText`); "" is none.
    """

    version: Version
    id: Annotated[str, Field(pattern=r"^withdrawal-[0-9a-f]{32}$")]
    participant: ParticipantId
    agreement: Id
    reason: MaybeCommitment
    time: Instant


class SignedOffer(Document):
    """What an owner offers for a product: to everybody, in one negotiation, or to one consumer.

    Attributes:
        offer: its id; one id never stands for two texts.
        document: the ODRL Offer in normal form; "" takes the offer back, for good.
        auto_agree: the owner's node agrees by itself to who accepts it word for word.
        negotiation: "" for an offer to everybody, else the one negotiation that it is made in.
        consumer: to whom, where this offer opens the negotiation; else "".
    """

    version: Version
    participant: ParticipantId
    product: Id
    offer: Id
    document: Annotated[str, Field(max_length=65_536)]
    auto_agree: bool
    negotiation: Annotated[str, Field(max_length=128)]
    time: Instant
    consumer: MaybeId = ""

    @property
    def opened_negotiation(self) -> str:
        """Id of the negotiation that this offer opens: nobody else's, and the same each time."""
        parts: list[Json] = [self.participant, self.product, self.consumer, self.offer]
        return f"urn:tdspace:negotiation:{digest_of(parts)[:32]}"


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
        pays: voucher units for one use, that is for each enterprise and round.
        voucher: id of the voucher that pays; "" where the run pays nothing.
        accelerator: what nodes may train on besides their processors, where their owners allow it.
        clip_norm: L2 norm that no update may differ from its round's model by; the node scales down
            what does. "" states none, and a limit of `clipNorm` is then not met.
        secure_sum: how updates are added; every way but `none` needs a `clip_norm`, which bounds
            what is summed.
        groups: of how many groups of the cohort the sums are opened, one by one.
        privacy: the differential privacy of each use; None states none, and a limit of epsilon is
            then not met.
        aggregation: how the consumer's ServerApp adds updates, or, under masks, the groups' sums
            (`server.robust`); its own affair, of which governance sees nothing.
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
    pays: Amount = "0"
    voucher: MaybeId = ""
    accelerator: Accelerator = "none"
    clip_norm: MaybeNorm = ""
    secure_sum: SecureSum = "none"
    groups: Groups = 1
    privacy: Privacy | None = None
    aggregation: Aggregation = "mean"

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.secure_sum != "none" and not self.clip_norm:
            raise ValueError("a clip_norm with a secure sum: it bounds what is summed")
        if self.secure_sum != "none" and self.min_cohort < 2:
            raise ValueError("a min_cohort of at least 2 with a secure sum")
        if self.groups > 1 and self.secure_sum != "governance":
            raise ValueError("groups of 1, or a secure_sum of governance")
        if self.groups > self.min_cohort:
            raise ValueError("no more groups than min_cohort")
        if self.privacy is not None:
            self._private(self.privacy)
        if self.aggregation != "mean":
            self._robust()
        return self

    def _robust(self) -> None:
        masked = self.secure_sum != "none"
        if masked and self.aggregation == "multi-krum":
            raise ValueError("no multi-krum with a secure sum: nobody sees single updates")
        if masked and self.groups < 3:
            raise ValueError("groups of at least 3 with a secure sum, for another one than mean")
        least = 5 if self.aggregation == "multi-krum" else 3
        if not masked and self.quorum < least:
            raise ValueError(f"a quorum of at least {least} with {self.aggregation}")

    def _private(self, privacy: Privacy) -> None:
        if self.secure_sum == "none":
            raise ValueError("a secure_sum with privacy: noise is shared out under masks")
        if privacy.by == "governance" and self.secure_sum != "governance":
            raise ValueError("privacy by governance only with a secure_sum of governance")
        if privacy.tolerated >= self.min_cohort // self.groups:
            raise ValueError("fewer tolerated than a group has members at least")


class RoundItem(Document):
    """One enterprise's outcome in a closed round, for people and auditors."""

    participant: ParticipantId
    product: Id
    outcome: Literal["accepted", "left-out", "refused"]
    code: Annotated[str, Field(max_length=64)]
    text: Text
    rows: Count
