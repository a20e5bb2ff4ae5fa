"""Negotiations, the owners' acts: to offer, to agree, to end. Each is a log entry first.

An owner's node signs what it offers and what it agrees to; it comes over gRPC, not over HTTP.
"""

from __future__ import annotations

import base64
from typing import Final

from sqlalchemy import Connection

from policies.canonical import digest_of
from policies.statements import AGREEMENT_TYPE, OFFER_TYPE, SignedAgreement, SignedOffer
from server import queries
from server.dsp import store
from server.dsp.listing import Laws, check_listed
from server.dsp.negotiation import NEGOTIATION
from server.dsp.negotiation_checks import (
    MAX_REASON,
    check_new,
    check_step,
    of_provider,
    read_agreement,
)
from server.dsp.negotiation_steps import Steps
from server.dsp.offers import Offers, check_product
from server.dsp.rows import NegotiationRow
from server.errors import BadInput, NotKnown, RuleBroken, TooMany
from server.journal import Journal
from server.pki import Identity
from server.signed import open_signed

MAX_OPEN: Final = 256  # negotiations that one owner opened and that have not ended


class OwnerNegotiations:
    """What owners do. Errors as `server.dsp.negotiations.Negotiations`."""

    def __init__(self, *, journal: Journal, steps: Steps, offers: Offers, laws: Laws) -> None:
        self._journal = journal
        self._steps = steps
        self._offers = offers
        self._laws = laws

    def open(self, caller: Identity, envelope: bytes) -> NegotiationRow:
        """Open a negotiation with an offer to one consumer. The same offer again changes nothing.

        The consumer names it by a consumerPid of its own when it first answers.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                signed = self._signed_offer(connection, caller, envelope)
                if not signed.consumer or signed.negotiation != signed.opened_negotiation:
                    raise BadInput(
                        f"offer: expected one to a consumer, for {signed.opened_negotiation}, got "
                        f"one to {signed.consumer or 'nobody'}, for {signed.negotiation!r:.140}"
                    )
                terms = digest_of([signed.consumer, signed.product, signed.document])
                before = store.negotiation(connection, signed.negotiation)
                if before is not None:
                    return _same_offer(before, terms)
                check_product(connection, caller, signed.product)
                check_listed(connection, signed.product, self._laws)
                _check_consumer(connection, signed.consumer)
                if store.opened_by_owner(connection, caller.participant) >= MAX_OPEN:
                    raise TooMany(f"negotiations: expected at most {MAX_OPEN} at a time")
            self._offers.read(signed)
            return self._steps.open(
                signed.negotiation,
                "OFFERED",
                "provider",
                caller,
                key=signed.negotiation,
                consumer_pid=None,
                consumer=signed.consumer,
                owner=caller.participant,
                product=signed.product,
                offer=None,
                message=terms,
                document=signed.document,
                word_for_word=False,
                signed=base64.b64encode(envelope).decode(),
            )

    def offer(self, caller: Identity, id: str, envelope: bytes) -> NegotiationRow:
        """Answer a request with another offer, signed by the owner for this negotiation."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_provider(connection, caller, id)
                signed = self._signed_offer(connection, caller, envelope)
            if (signed.negotiation, signed.product) != (row.id, row.product):
                raise BadInput(f"offer: expected one for {row.product} in {row.id}")
            self._offers.read(signed)
            return self._steps.take(
                row,
                "OFFERED",
                "provider",
                caller,
                document=signed.document,
                word_for_word=False,
                signed=base64.b64encode(envelope).decode(),
            )

    def agree(self, caller: Identity, id: str, envelope: bytes) -> NegotiationRow:
        """Sign the offer on the table as an agreement with this consumer about this product."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_provider(connection, caller, id)
                check_step(row, "AGREED", "provider")
                signed = open_signed(
                    connection,
                    caller.participant,
                    envelope,
                    payload_type=AGREEMENT_TYPE,
                    kind=SignedAgreement,
                )
                agreement = read_agreement(signed.document, row)
                check_new(connection, agreement.id, row)
                check_listed(connection, row.product, self._laws)
            self._steps.check_time(agreement)
            return self._steps.take(
                row,
                "AGREED",
                "provider",
                caller,
                agreement=agreement.id,
                agreement_document=signed.document,
                envelope=base64.b64encode(envelope).decode(),
            )

    def end(self, caller: Identity, id: str, reason: str) -> NegotiationRow:
        """End the negotiation as the owner."""
        if len(reason) > MAX_REASON:
            raise BadInput(f"reason: expected at most {MAX_REASON} characters, got {len(reason)}")
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_provider(connection, caller, id)
            return self._steps.end(row, "provider", caller, reason)

    def _signed_offer(
        self, connection: Connection, caller: Identity, envelope: bytes
    ) -> SignedOffer:
        """An offer to one consumer only, so none that is published under the same id."""
        signed = open_signed(
            connection, caller.participant, envelope, payload_type=OFFER_TYPE, kind=SignedOffer
        )
        if store.offer(connection, signed.offer) is not None:
            raise RuleBroken(f"offer {signed.offer}: expected a new id, is published")
        return signed


def _same_offer(row: NegotiationRow, terms: str) -> NegotiationRow:
    if row.request != terms or row.state in NEGOTIATION.final:
        raise RuleBroken(f"{row.id}: expected an offer with a new id, this one's was used")
    return row


def _check_consumer(connection: Connection, id: str) -> None:
    person = queries.participant(connection, id)
    if person is None or person.role != "consumer" or not person.active:
        raise NotKnown(f"consumer {id!r:.80}: expected an enrolled one")
