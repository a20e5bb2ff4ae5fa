"""Negotiations: each accepted message is a log entry, and only then a new state.

A message that comes twice changes nothing: the opening one is known by its consumerPid and gets the
same answer, any later one no longer fits the state and is refused.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Final

from policies.canonical import Json, digest_of, sha256_hex
from policies.entries import entry_bytes
from policies.errors import PolicyError
from policies.fields import instant
from policies.odrl import Agreement, Offer, parse_agreement, parse_offer
from policies.statements import (
    AGREEMENT_TYPE,
    OFFER_TYPE,
    VERIFICATION_TYPE,
    SignedAgreement,
    SignedOffer,
    VerifiedAgreement,
)
from server.dsp import store
from server.dsp.expiry import expired_permission
from server.dsp.listing import Laws, check_listed
from server.dsp.machine import Party
from server.dsp.messages import (
    AgreementVerification,
    ContractRequest,
    Message,
    NegotiationEvent,
    NegotiationTermination,
    digest_json,
)
from server.dsp.negotiation_checks import (
    MAX_REASON,
    check_consumer,
    check_new,
    check_opens,
    check_step,
    moved,
    of_consumer,
    of_owner,
    of_party,
    of_provider,
    offered,
    published_offer,
    read_agreement,
    read_offer,
    reason_text,
    same_request,
    signature_of,
)
from server.dsp.offers import Offers
from server.dsp.rows import NegotiationRow
from server.edge import Edge
from server.errors import BadInput, RuleBroken, TooMany
from server.journal import Journal
from server.pki import Identity
from server.signed import open_signed

MAX_OPEN: Final = 256  # negotiations of one consumer that have not ended

Row = NegotiationRow


class Negotiations:
    """The provider's side. Every operation returns the negotiation as it is afterwards.

    Every operation raises NotKnown where the negotiation does not exist or is not the caller's to
    move, BadInput for what is malformed, RuleBroken for what the protocol, the offer's time or the
    present state does not allow, and Unavailable where the log cannot be written. In each case the
    state is what it was.
    """

    def __init__(self, *, journal: Journal, offers: Offers, laws: Laws, edge: Edge) -> None:
        self._journal = journal
        self._offers = offers
        self._laws = laws
        self._edge = edge

    def get(self, caller: Identity, id: str) -> Row:
        """A negotiation, for its two parties."""
        with self._journal.reading() as connection:
            return of_party(connection, caller, id)

    # -- the consumer's messages ---------------------------------------------------------------

    def request(self, caller: Identity, message: ContractRequest) -> Row:
        """Open a negotiation over a published offer, word for word or with changes to it."""
        check_opens(message)
        request = digest_of(digest_json(message))
        target, offer = read_offer(message)
        with self._journal.writing():
            with self._journal.reading() as connection:
                check_consumer(caller)
                before = store.negotiation_of(connection, caller.participant, message.consumer_pid)
                if before is not None:
                    return same_request(before, request)
                published = published_offer(connection, offer.id, target, self._laws)
                if store.open_negotiations(connection, caller.participant) >= MAX_OPEN:
                    raise TooMany(f"negotiations: expected at most {MAX_OPEN} at a time")
            offer = of_owner(offer, published.participant)
            self._check_time(offer)
            id = f"urn:tdspace:negotiation:{self._edge.random_bytes(16).hex()}"
            body = offered(offer, published) | {
                "negotiation": id,
                "consumer_pid": message.consumer_pid,
                "consumer": caller.participant,
                "owner": published.participant,
                "product": published.product,
                "offer": published.id,
                "message": request,
                **moved(None, "REQUESTED", "consumer", caller),
            }
            self._journal.commit(
                [self._entry(body)],
                key=f"negotiation:{caller.participant}:{sha256_hex(message.consumer_pid.encode())}",
                beside=lambda connection, _: store.set_negotiation_callback(
                    connection, id, message.callback or ""
                ),
            )
            return self._now(id)

    def counter(self, caller: Identity, id: str, message: ContractRequest) -> Row:
        """Answer the provider's offer with one of the consumer's own."""
        target, offer = read_offer(message)
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message.provider_pid, message)
                known = parse_offer(row.document.encode()).id
                published = published_offer(
                    connection, row.offer if offer.id == known else offer.id, target, self._laws
                )
            if published.product != row.product:
                raise BadInput(f"$.offer.target: expected {row.product}, got {target!r:.140}")
            offer = of_owner(offer, row.owner)
            self._check_time(offer)
            changes = offered(offer, published) | {"offer": published.id}
            return self._step(row, "REQUESTED", "consumer", caller, message, **changes)

    def event(self, caller: Identity, id: str, message: NegotiationEvent) -> Row:
        """Accept the provider's offer."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message.provider_pid, message)
            if message.event == "FINALIZED":
                raise BadInput("$.eventType: expected ACCEPTED; FINALIZED is the provider's to say")
            self._check_time(parse_offer(row.document.encode()))
            return self._step(row, "ACCEPTED", "consumer", caller, message)

    def verify(self, caller: Identity, id: str, message: AgreementVerification) -> Row:
        """Sign the agreement as the consumer; governance, for the provider, finalizes at once.

        Both steps and the agreement are logged together: a crash leaves all or nothing.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message.provider_pid, message)
                check_step(row, "VERIFIED", "consumer")
                envelope = signature_of(message)
                verified = open_signed(
                    connection,
                    caller.participant,
                    envelope,
                    payload_type=VERIFICATION_TYPE,
                    kind=VerifiedAgreement,
                )
                if verified.document != row.agreement_document:
                    raise BadInput(
                        f"verification: expected the document of {row.agreement} as it was signed, "
                        "word for word, got another"
                    )
                agreement = parse_agreement(verified.document.encode())
                check_new(connection, agreement.id, row)
            self._check_time(agreement)
            signature = base64.b64encode(envelope).decode()
            verify = self._move(
                row, "VERIFIED", "consumer", caller, message, verification=signature
            )
            verifying = replace(row, state="VERIFIED", number=row.number + 1)
            provider = replace(caller, role="node", participant=row.owner)
            finalize = self._move(verifying, "FINALIZED", "provider", provider, None)
            self._journal.commit([verify, finalize, self._concluded(row, agreement, signature)])
            return self._now(id)

    def terminate(self, caller: Identity, id: str, message: NegotiationTermination) -> Row:
        """End the negotiation as the consumer."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message.provider_pid, message)
            reason = reason_text(message.code, message.reason)
            return self._step(row, "TERMINATED", "consumer", caller, message, reason=reason)

    # -- the owner's acts ----------------------------------------------------------------------

    def offer(self, caller: Identity, id: str, envelope: bytes) -> Row:
        """Answer a request with another offer, signed by the owner for this negotiation."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_provider(connection, caller, id)
                signed = open_signed(
                    connection,
                    caller.participant,
                    envelope,
                    payload_type=OFFER_TYPE,
                    kind=SignedOffer,
                )
                if store.offer(connection, signed.offer) is not None:
                    raise RuleBroken(f"offer {signed.offer}: expected a new id, is published")
            if (signed.negotiation, signed.product) != (row.id, row.product):
                raise BadInput(f"offer: expected one for {row.product} in {row.id}")
            self._offers.read(signed)
            return self._step(
                row,
                "OFFERED",
                "provider",
                caller,
                None,
                document=signed.document,
                word_for_word=False,
                signed=base64.b64encode(envelope).decode(),
            )

    def agree(self, caller: Identity, id: str, envelope: bytes) -> Row:
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
            self._check_time(agreement)
            return self._step(
                row,
                "AGREED",
                "provider",
                caller,
                None,
                agreement=agreement.id,
                agreement_document=signed.document,
                envelope=base64.b64encode(envelope).decode(),
            )

    def end(self, caller: Identity, id: str, reason: str) -> Row:
        """End the negotiation as the owner."""
        if len(reason) > MAX_REASON:
            raise BadInput(f"reason: expected at most {MAX_REASON} characters, got {len(reason)}")
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_provider(connection, caller, id)
            return self._step(row, "TERMINATED", "provider", caller, None, reason=reason)

    # -- inside --------------------------------------------------------------------------------

    def _check_time(self, policy: Offer | Agreement) -> None:
        where = expired_permission(policy.permissions, self._edge.clock())
        if where is not None:
            raise RuleBroken(f"{policy.id}: {where}: expected a time to come, it is over")

    def _step(
        self,
        row: Row,
        after: str,
        by: Party,
        caller: Identity,
        message: Message | None,
        **changes: Json,
    ) -> Row:
        self._journal.commit([self._move(row, after, by, caller, message, **changes)])
        return self._now(row.id)

    def _move(
        self,
        row: Row,
        after: str,
        by: Party,
        caller: Identity,
        message: Message | None,
        **changes: Json,
    ) -> bytes:
        """The entry of one step; RuleBroken if the machine does not have it."""
        check_step(row, after, by)
        return self._entry(
            {
                "negotiation": row.id,
                "message": digest_of(digest_json(message)) if message is not None else "",
                **moved(row, after, by, caller),
                **changes,
            }
        )

    def _concluded(self, row: Row, agreement: Agreement, verification: str) -> bytes:
        assert row.agreement_document is not None and row.envelope is not None  # AGREED has both
        signed = {"version": 1, "participant": row.owner, "document": row.agreement_document}
        body: dict[str, Json] = {
            "agreement": agreement.id,
            "product": agreement.target,
            "assigner": agreement.assigner,
            "assignee": agreement.assignee,
            "document": row.agreement_document,
            "digest": digest_of(signed),
            "envelope": base64.b64encode(row.envelope).decode(),
            "negotiation": row.id,
            "verification": verification,
        }
        return entry_bytes("AgreementConcluded", time=instant(self._edge.clock()), body=body)

    def _entry(self, body: dict[str, Any]) -> bytes:
        try:
            return entry_bytes("NegotiationStep", time=instant(self._edge.clock()), body=body)
        except PolicyError as error:
            raise BadInput(f"negotiation: {error}") from error

    def _now(self, id: str) -> Row:
        with self._journal.reading() as connection:
            row = store.negotiation(connection, id)
        assert row is not None  # rows are never deleted
        return row
