"""What a log has registered by its end, as values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Participant:
    """An enrolled participant; `entry` is a log index."""

    participant: str
    role: str
    sector: str
    region: str
    entry: int
    time: str


@dataclass(slots=True, kw_only=True)
class Certificate:
    """A product's newest certificate, with its end if it was taken back.

    Attributes:
        reason: commitment to why.
    """

    serial: str
    not_before: str
    not_after: str
    entry: int
    revoked: str = ""
    revoked_entry: int | None = None
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Product:
    """A product in its newest version.

    Attributes:
        description: commitment to its title and columns; "" without one.
        versions: how many were registered.
    """

    product: str
    participant: str
    description: str
    rows: int
    classification: str
    personal_information: bool
    subject_consent: str
    anonymization: str
    jurisdiction: str
    filing_number: str
    execution_environment: str
    data_version: int
    versions: int
    entry: int
    time: str
    certificate: Certificate | None = None


@dataclass(slots=True, kw_only=True)
class App:
    """An app with its newest filing; `filings` counts them.

    Attributes:
        description: commitment to its title, author and outputs; "" without one.
        reason: commitment to why its filing was taken back.
    """

    app: str
    description: str
    purposes: list[str]
    filing_number: str
    expires: str
    filings: int
    entry: int
    time: str
    revoked: str = ""
    revoked_entry: int | None = None
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Law:
    """A law of the baseline that is in force at the log's end."""

    name: str
    title: str
    version: str
    source: str
    title_zh: str
    source_zh: str
    entry: int
    time: str


@dataclass(slots=True, kw_only=True)
class Contract:
    """A concluded agreement and its consent.

    Attributes:
        document: the ODRL Agreement, as its owner signed it.
        verified: whether the consumer signed it as well.
        withdrawn: when the consent ended; "" while it stands.
    """

    agreement: str
    product: str
    assigner: str
    assignee: str
    document: str
    verified: bool
    negotiation: str
    entry: int
    time: str
    withdrawn: str = ""
    withdrawn_entry: int | None = None


@dataclass(slots=True, kw_only=True)
class VoucherIssue:
    """Prepaid units of a consumer."""

    voucher: str
    consumer: str
    amount: str
    entry: int
    time: str


@dataclass(slots=True, kw_only=True)
class Erasure:
    """The end of disclosures: how many, whose ("" for several), by whom, and the reason's code."""

    count: int
    participant: str
    by: str
    code: str
    entry: int
    time: str


@dataclass(slots=True)
class Registered:
    """All of it, each by its id and in the log's order.

    Attributes:
        adoptions: entry and time of adoptions of laws, the newest `report_register.MAX_ADOPTIONS`.
        auditors: entry and time by id; erasures the newest `report_register.MAX_ADOPTIONS`.
        offers: state of each offer; negotiations and transfers likewise.
    """

    space: str = ""
    created: str = ""
    log_key: str = ""
    participants: dict[str, Participant] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    laws: list[Law] = field(default_factory=list)
    adoptions: list[tuple[int, str]] = field(default_factory=list)
    contracts: dict[str, Contract] = field(default_factory=dict)
    vouchers: dict[str, VoucherIssue] = field(default_factory=dict)
    auditors: dict[str, tuple[int, str]] = field(default_factory=dict)
    erasures: list[Erasure] = field(default_factory=list)
    offers: dict[str, str] = field(default_factory=dict)
    negotiations: dict[str, str] = field(default_factory=dict)
    transfers: dict[str, str] = field(default_factory=dict)

    def states(self, name: str) -> dict[str, int]:
        """How many of the offers, negotiations or transfers are in each state."""
        held: Mapping[str, str] = getattr(self, name)
        return dict(sorted(Counter(held.values()).items()))
