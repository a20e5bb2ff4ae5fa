"""Offers, negotiations and transfers as they are read, field by field as in `server.tables`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OfferRow:
    """A published offer; `withdrawn` is the moment its owner took it back."""

    id: str
    product: str
    participant: str
    document: str
    auto_agree: bool
    digest: str
    entry: int
    withdrawn: str | None
    withdrawal_entry: int | None


@dataclass(frozen=True, slots=True)
class NegotiationRow:
    """A negotiation; `id` is the providerPid.

    Attributes:
        opened_by: `consumer` by a request, or `provider` by an offer.
        consumer_pid: None until the consumer has named a negotiation that the owner opened.
        offer: the published offer that it is about; None if it is about none.
        request: digest of the message that opened it, or of the owner's terms.
        callback: where the consumer would be told; "" if unknown.
        number: of its last step, from 1.
        document: the offer on the table, in normal form.
        word_for_word: that offer is the consumer's, and the published one unchanged.
        agreement_document, envelope: what the owner signed, and its DSSE envelope.
        said: commitment to the words of who ended it; "" is none.
        entry: index of its last step.
    """

    id: str
    opened_by: str
    consumer_pid: str | None
    consumer: str
    owner: str
    product: str
    offer: str | None
    request: str
    callback: str
    state: str
    number: int
    document: str
    word_for_word: bool
    agreement: str | None
    agreement_document: str | None
    envelope: bytes | None
    said: str
    entry: int


@dataclass(frozen=True, slots=True)
class TransferRow:
    """A transfer process; `id` is the providerPid.

    Attributes:
        run: the run that it is; None while it waits for one.
        number: of its last step, from 1.
        by, code, reason: who made the last step, and why, in governance's words.
        said: commitment to the words of the party who made it; "" is none.
        entry: index of its last step.
    """

    id: str
    consumer_pid: str
    agreement: str
    consumer: str
    owner: str
    run: str | None
    request: str
    callback: str
    state: str
    number: int
    by: str
    code: str
    reason: str
    said: str
    entry: int
