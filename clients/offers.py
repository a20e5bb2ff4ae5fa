"""Offers as an owner makes them: read as the profile wants them, signed with the node's key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from clients.errors import ClientError
from clients.files import read_file
from clients.identity import NodeIdentity
from clients.state import NodeState
from policies.canonical import canonical_bytes, parse_json
from policies.envelope import MAX_ENVELOPE_BYTES, sign_envelope
from policies.errors import DocumentError, PolicyError
from policies.fields import instant
from policies.odrl import MAX_BYTES, Offer, parse_offer
from policies.statements import OFFER_TYPE, SignedOffer

Clock = Callable[[], datetime]


class OwnOffers:
    """Reading and signing, for one node; nothing of it leaves the node.

    Args:
        clock: aware UTC now.
    """

    def __init__(self, *, identity: NodeIdentity, state: NodeState, clock: Clock) -> None:
        self._identity = identity
        self._state = state
        self._clock = clock

    def read(self, document: bytes, product: str) -> Offer:
        """An offer by this owner for a product of its node.

        Args:
            document: an ODRL Offer; its assigner may be left out, it is this node's owner.

        Raises:
            ClientError: malformed, another's, or for a product that this node does not have.
        """
        try:
            value = parse_json(document, max_bytes=MAX_BYTES)
            if isinstance(value, dict):
                value.setdefault("assigner", self._identity.participant)
            offer = parse_offer(canonical_bytes(value))
        except DocumentError as error:
            raise ClientError(f"offer: {error}") from error
        if offer.assigner != self._identity.participant:
            raise ClientError(
                f"offer {offer.id}: expected the assigner {self._identity.participant}, got "
                f"{offer.assigner}; an owner offers its own data only"
            )
        if self._state.product(product) is None:
            raise ClientError(
                f"offer {offer.id}: expected a product of this node, got {product}; add it "
                "first: tds product add FILE"
            )
        return offer

    def statement(
        self,
        offer: Offer,
        *,
        product: str,
        auto_agree: bool = False,
        negotiation: str = "",
        consumer: str = "",
    ) -> SignedOffer:
        """What the owner states by offering this; ClientError if it is malformed."""
        text = canonical_bytes(offer.to_json()).decode()
        return self._statement(offer.id, product, text, auto_agree, negotiation, consumer)

    def end(self, kept: SignedOffer) -> SignedOffer:
        """What the owner states by taking a published offer back."""
        return self._statement(kept.offer, kept.product, "", False, "", "")

    def sign(self, statement: SignedOffer) -> bytes:
        """Its envelope."""
        key = self._identity.keys.receipt
        return sign_envelope(statement.to_json(), payload_type=OFFER_TYPE, key=key)

    def kept(self, path: Path) -> SignedOffer:
        """An offer from a file of this node's, if it bears this node's signature.

        Raises:
            ClientError: it does not.
            FileRefused: missing or too large.
        """
        envelope = read_file(path, max_bytes=MAX_ENVELOPE_BYTES)
        try:
            return SignedOffer.from_json(self._identity.open_own(envelope, payload_type=OFFER_TYPE))
        except PolicyError as error:
            raise ClientError(f"{path}: {error}; take the offer back and publish anew") from error

    def _statement(
        self,
        offer: str,
        product: str,
        document: str,
        auto_agree: bool,
        negotiation: str,
        consumer: str,
    ) -> SignedOffer:
        try:
            return SignedOffer.from_json(
                {
                    "version": 1,
                    "participant": self._identity.participant,
                    "product": product,
                    "offer": offer,
                    "document": document,
                    "auto_agree": auto_agree,
                    "negotiation": negotiation,
                    "time": instant(self._clock()),
                    "consumer": consumer,
                }
            )
        except DocumentError as error:
            raise ClientError(f"offer: {error}") from error
