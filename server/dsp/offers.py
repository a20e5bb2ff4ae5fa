"""Offers: what owners publish for their products."""

from __future__ import annotations

import base64
from typing import Final

from sqlalchemy import Connection

from policies.canonical import Json, canonical_bytes, digest_of
from policies.entries import entry_bytes
from policies.errors import PolicyError
from policies.fields import instant
from policies.odrl import Offer, parse_offer
from policies.statements import OFFER_TYPE, SignedOffer
from server import queries
from server.dsp import store
from server.dsp.expiry import expired_permission
from server.dsp.rows import OfferRow
from server.edge import Edge
from server.errors import BadInput, NotKnown, RuleBroken
from server.journal import Journal
from server.pki import Identity
from server.signed import open_signed, require_own

MAX_OFFERS: Final = 64


class Offers:
    """Publishing and taking back. The same statement again gets the same answer."""

    def __init__(self, *, journal: Journal, edge: Edge) -> None:
        self._journal = journal
        self._edge = edge

    def publish(self, caller: Identity, envelope: bytes) -> tuple[int, str]:
        """List an offer, or take one back (`document` is ""); returns its log index and id.

        An id stands for one text: an offer is changed by taking it back and publishing another.

        Raises:
            BadInput: malformed, outside the profile, or not signed with the caller's key.
            NotAllowed: for somebody else's product.
            NotKnown: no such product, or nothing to take back.
            RuleBroken: the id is taken, the offer has expired, or the product has too many.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                signed = open_signed(
                    connection,
                    caller.participant,
                    envelope,
                    payload_type=OFFER_TYPE,
                    kind=SignedOffer,
                )
                if signed.negotiation or signed.consumer:
                    raise BadInput("offer: expected one to everybody, got one to a consumer")
                check_product(connection, caller, signed.product)
                before = store.offer(connection, signed.offer)
                others = len(store.standing_offers(connection, signed.product))
            digest = digest_of(signed.to_json())
            done = _already(before, signed, digest)
            if done is not None:
                return done, signed.offer
            if signed.document:
                if others >= MAX_OFFERS:
                    raise RuleBroken(f"{signed.product}: expected at most {MAX_OFFERS} offers")
                self.read(signed)
            body: dict[str, Json] = {
                "offer": signed.offer,
                "product": signed.product,
                "participant": signed.participant,
                "auto_agree": signed.auto_agree,
                "document": signed.document,
                "digest": digest,
                "envelope": base64.b64encode(envelope).decode(),
            }
            entry = entry_bytes("OfferPublished", time=instant(self._edge.clock()), body=body)
            return self._journal.commit([entry], key=f"offer:{digest}").first_index, signed.offer

    def read(self, signed: SignedOffer) -> Offer:
        """The offer in a statement, once it is seen to be whole, its owner's and not yet over.

        Raises:
            BadInput: outside the profile, not in normal form, or another's.
            RuleBroken: expired.
        """
        try:
            offer = parse_offer(signed.document.encode())
        except PolicyError as error:
            raise BadInput(f"offer: {error}") from error
        if canonical_bytes(offer.to_json()) != signed.document.encode():
            raise BadInput("offer: expected its normal form; publish with `tds product offer`")
        if (offer.id, offer.assigner) != (signed.offer, signed.participant):
            raise BadInput(
                f"offer: expected {signed.offer} assigned by {signed.participant}, got "
                f"{offer.id!r:.80} by {offer.assigner!r:.80}"
            )
        if (where := expired_permission(offer.permissions, self._edge.clock())) is not None:
            raise RuleBroken(f"offer: {where}: expected a time to come, it is over")
        return offer


def _already(before: OfferRow | None, signed: SignedOffer, digest: str) -> int | None:
    """The entry that answers this statement already; None if it is to be logged."""
    if not signed.document:
        if before is None or before.product != signed.product:
            raise NotKnown(f"offer {signed.offer}: expected a published one of {signed.product}")
        return before.withdrawal_entry
    if before is None:
        return None
    if before.digest != digest or before.withdrawn is not None:
        raise RuleBroken(f"offer {signed.offer}: expected a new id, this one was used")
    return before.entry


def check_product(connection: Connection, caller: Identity, id: str) -> None:
    """Returns only for a registered product of the caller; NotKnown, NotAllowed else."""
    product = queries.product(connection, id)
    if product is None:
        raise NotKnown(f"product {id!r:.140}: expected a registered one")
    require_own(caller, product.participant)
