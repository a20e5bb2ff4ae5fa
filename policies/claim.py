"""Everything that one round's decision asks of one agreement, its product and its owner.

Governance reads it from its registry, an auditor builds it from the log's entries; whatever follows
from it (`policies.refusals`, `policies.left_values`) is then the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claim:
    """What step 3 of a round needs to know about one agreement, its product and its owner.

    Attributes:
        withdrawn: when the consent ended; None while it stands.
        agreement_entry, participant_entry: log indices.
        product_entry: log index of the product's newest version.
        serial, not_before, not_after, revoked: of its certificate; None where it has none.
    """

    agreement: str
    document: str
    withdrawn: str | None
    product: str
    rows: int
    classification: str
    participant: str
    region: str
    active: bool
    receipt_key: str
    disclosure_key: str | None
    fleet_key: str
    agreement_entry: int
    participant_entry: int
    product_entry: int
    data_version: int
    jurisdiction: str
    personal_information: bool
    subject_consent: str
    anonymization: str
    filing_number: str
    execution_environment: str
    serial: str | None
    not_before: str | None
    not_after: str | None
    revoked: str | None


class Recipient(Protocol):
    """Who receives a round's result, as enrolled; `entry` is a log index, "" is unknown."""

    @property
    def id(self) -> str: ...

    @property
    def sector(self) -> str: ...

    @property
    def region(self) -> str: ...

    @property
    def entry(self) -> int: ...


class Filed(Protocol):
    """An app with its newest filing.

    Attributes:
        filing: canonical JSON of `policies.statements.AppFiling`.
        filing_revoked: when it was taken back; None while it stands.
    """

    @property
    def id(self) -> str: ...

    @property
    def filing(self) -> str: ...

    @property
    def filing_revoked(self) -> str | None: ...
