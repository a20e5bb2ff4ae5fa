"""The registry's rows as they are read, field by field as in `server.tables`."""

from __future__ import annotations

from dataclasses import dataclass

ENDED: frozenset[str] = frozenset({"COMPLETED", "FAILED", "STOPPED"})


@dataclass(frozen=True, slots=True)
class Participant:
    """An enrolled participant; keys are None where its role has none. `entry` is a log index."""

    id: str
    title: str
    role: str
    sector: str
    region: str
    receipt_key: str | None
    log_key: str | None
    fleet_key_pem: str | None
    fleet_key: str | None
    node_id: str | None
    active: bool
    entry: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open or used way in; `token` is the secret's SHA-256, `used_by` the request's."""

    token: str
    participant: str
    title: str
    role: str
    sector: str
    region: str
    expires: str
    used_by: str | None


@dataclass(frozen=True, slots=True)
class Product:
    """A registered product; `digest` is of its card."""

    id: str
    participant: str
    rows: int
    classification: str
    digest: str
    envelope: bytes
    entry: int


@dataclass(frozen=True, slots=True)
class App:
    """A registered app; its bundle is a file beside the registry."""

    id: str
    title: str
    size: int
    config: str
    entry: int


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
    """A run; `model` is "" before the first round closed."""

    id: str
    consumer: str
    request_id: str
    spec: str
    config: str
    state: str
    reason: str
    flower_run: str | None
    closed_rounds: int
    model: str
    last_close: int | None
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
