"""The registry's rows as they are read, field by field as in `server.tables`."""

from __future__ import annotations

from dataclasses import dataclass

ENDED: frozenset[str] = frozenset({"COMPLETED", "FAILED", "STOPPED"})


@dataclass(frozen=True, slots=True)
class Participant:
    """An enrolled participant; keys are None where its role has none. `entry` is a log index."""

    id: str
    profile: str
    role: str
    sector: str
    region: str
    receipt_key: str | None
    disclosure_key: str | None
    log_key: str | None
    fleet_key_pem: str | None
    fleet_key: str | None
    node_id: str | None
    active: bool
    entry: int


@dataclass(frozen=True, slots=True)
class RetiredKey:
    """A key that no longer counts; `entry` is the log index of its change."""

    receipt_key: str
    key_id: str
    participant: str
    entry: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open or used way in; `token` is the secret's SHA-256, `used_by` the request's."""

    token: str
    participant: str
    profile: str
    role: str
    sector: str
    region: str
    expires: str
    used_by: str | None


@dataclass(frozen=True, slots=True)
class Product:
    """A registered product, in its newest version; `digest` is of its card.

    Attributes:
        jurisdiction: as `policies.places` names it; "" is unknown.
        readiness: canonical JSON of the figures that its owner shares.
        certificate: log index of the newest certificate for this version, None before the first.
    """

    id: str
    participant: str
    rows: int
    classification: str
    digest: str
    description: str
    envelope: bytes
    entry: int
    data_version: int
    jurisdiction: str
    personal_information: bool
    subject_consent: str
    anonymization: str
    filing_number: str
    execution_environment: str
    readiness: str
    certificate: int | None


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A product's certificate; `revoked` is the moment it was taken back, None while it stands."""

    entry: int
    serial: str
    product: str
    digest: str
    not_before: str
    not_after: str
    envelope: bytes
    revoked: str | None
    revocation_reason: str | None
    revocation_entry: int | None


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """An adopted baseline of law; `documents` is the canonical JSON list of its entry."""

    entry: int
    adopted: str
    digest: str
    documents: str


@dataclass(frozen=True, slots=True)
class App:
    """A registered app; its bundle is a file beside the registry.

    Attributes:
        filing: canonical JSON of its newest `policies.statements.AppFiling`.
        filing_entry: log index of that one; `entry` is of the first.
        filing_revoked: the moment it was taken back, None while it stands.
    """

    id: str
    description: str
    size: int
    config: str
    entry: int
    filing: str
    filing_entry: int
    filing_revoked: str | None
    filing_revocation_reason: str | None
    filing_revocation_entry: int | None


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """A concluded agreement; `withdrawn` is the moment the consent ended, None while it stands.

    `negotiation` is the one that led to it, None where its owner concluded it alone.
    """

    id: str
    product: str
    assigner: str
    assignee: str
    document: str
    digest: str
    envelope: bytes
    entry: int
    withdrawn: str | None
    withdrawal: str | None
    withdrawal_entry: int | None
    negotiation: str | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run; `model` is "" before the first round closed, `derived` what binds that model."""

    id: str
    consumer: str
    request_id: str
    spec: str
    config: str
    state: str
    reason: str
    said: str
    flower_run: str | None
    closed_rounds: int
    model: str
    last_close: int | None
    derived: str
    entry: int


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One attempt at a round: REFUSED, AUTHORIZED, CLOSED or ABANDONED.

    Attributes:
        request: digest of what was asked, so that one request id cannot mean two things.
        permit: the signed envelope; None until it was first handed out.
    """

    id: int
    run: str
    kind: str
    round: int
    attempt: int
    request_id: str
    request: str
    state: str
    verdicts: str
    decision_entry: int
    decided: str
    permit_id: str | None
    permit_body: str | None
    permit_entry: int | None
    permit: bytes | None
    close: str | None
    close_entry: int | None
    closed: str | None


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One node's outcome in a round; `receipt` is the receipt's digest or ""."""

    entry: int
    permit_id: str
    submission: str
    node_id: str
    participant: str
    product: str
    accepted: bool
    code: str
    text: str
    rows_used: int
    rows_held_back: int
    receipt: str
