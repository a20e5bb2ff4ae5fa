"""Negotiations, the consumer's messages: each accepted one is a log entry, only then a new state.

A message that comes twice changes nothing: the opening one is known by its consumerPid and gets the
same answer, any later one no longer fits the state and is refused.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final

from policies.canonical import sha256_hex
from policies.odrl import parse_agreement, parse_offer
from policies.statements import VERIFICATION_TYPE, VerifiedAgreement
from server.dsp import store
from server.dsp.listing import Laws, check_listed
from server.dsp.messages import (
    AgreementVerification,
    ContractRequest,
    NegotiationEvent,
    NegotiationTermination,
    logged_digest,
)
from server.dsp.negotiation_checks import (
    check_consumer,
    check_new,
    check_opens,
    check_owners_key,
    check_step,
    of_consumer,
    of_owner,
    of_party,
    offered,
    published_offer,
    read_offer,
    reason_text,
    same_request,
    signature_of,
)
from server.dsp.negotiation_steps import Steps
from server.dsp.rows import NegotiationRow
from server.edge import Edge
from server.errors import BadInput, TooMany
from server.journal import Journal
from server.pki import Identity
from server.signed import open_signed

MAX_OPEN: Final = 256  # negotiations that one consumer opened and that have not ended


class Negotiations:
    """The provider's answers to consumers; `server.dsp.owner_negotiations` has the owners' acts.

    Every operation returns the negotiation as it is afterwards. It raises NotKnown where the
    negotiation does not exist or is not the caller's to move, BadInput for what is malformed,
    RuleBroken for what the protocol, the offer's time or the present state does not allow, and
    Unavailable where the log cannot be written. In each case the state is what it was.
    """

    def __init__(self, *, journal: Journal, steps: Steps, laws: Laws, edge: Edge) -> None:
        self._journal = journal
        self._steps = steps
        self._laws = laws
        self._edge = edge

    def get(self, caller: Identity, id: str) -> NegotiationRow:
        """A negotiation, for its two parties."""
        with self._journal.reading() as connection:
            return of_party(connection, caller, id)

    def request(self, caller: Identity, message: ContractRequest) -> NegotiationRow:
        """Open a negotiation over a published offer, word for word or with changes to it."""
        check_opens(message)
        request = logged_digest(message)
        target, offer = read_offer(message)
        with self._journal.writing():
            with self._journal.reading() as connection:
                check_consumer(caller)
                before = store.negotiation_of(connection, caller.participant, message.consumer_pid)
                if before is not None:
                    return same_request(before, request)
                published = published_offer(connection, offer.id, target, self._laws)
                if store.opened_by_consumer(connection, caller.participant) >= MAX_OPEN:
                    raise TooMany(f"negotiations: expected at most {MAX_OPEN} at a time")
            offer = of_owner(offer, published.participant)
            self._steps.check_time(offer)
            id = f"urn:tdspace:negotiation:{self._edge.random_bytes(16).hex()}"
            return self._steps.open(
                id,
                "REQUESTED",
                "consumer",
                caller,
                key=f"negotiation:{caller.participant}:{sha256_hex(message.consumer_pid.encode())}",
                beside=lambda connection, _: store.set_negotiation_callback(
                    connection, id, message.callback
                ),
                consumer_pid=message.consumer_pid,
                consumer=caller.participant,
                owner=published.participant,
                product=published.product,
                offer=published.id,
                message=request,
                **offered(offer, published),
            )

    def counter(self, caller: Identity, id: str, message: ContractRequest) -> NegotiationRow:
        """Answer the provider's offer with one of the consumer's own.

        It names the offer on the table, with changes, or a published one of the same product.
        """
        target, offer = read_offer(message)
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message)
                if target != row.product:
                    raise BadInput(f"$.offer.target: expected {row.product}, got {target!r:.140}")
                published = None
                if offer.id != parse_offer(row.document.encode()).id:
                    published = published_offer(connection, offer.id, target, self._laws)
                check_listed(connection, row.product, self._laws)
            offer = of_owner(offer, row.owner)
            self._steps.check_time(offer)
            changes = offered(offer, published)
            if published is not None:
                changes["offer"] = published.id
            return self._steps.take(row, "REQUESTED", "consumer", caller, message, **changes)

    def event(self, caller: Identity, id: str, message: NegotiationEvent) -> NegotiationRow:
        """Accept the provider's offer."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message)
            if message.event == "FINALIZED":
                raise BadInput("$.eventType: expected ACCEPTED; FINALIZED is the provider's to say")
            self._steps.check_time(parse_offer(row.document.encode()))
            return self._steps.take(row, "ACCEPTED", "consumer", caller, message)

    def verify(self, caller: Identity, id: str, message: AgreementVerification) -> NegotiationRow:
        """Sign the agreement as the consumer; governance, for the provider, finalizes at once.

        Both steps and the agreement are logged together: a crash leaves all or nothing.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message)
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
                check_owners_key(connection, row)
            self._steps.check_time(agreement)
            signature = base64.b64encode(envelope).decode()
            verifying = replace(row, state="VERIFIED", number=row.number + 1)
            provider = replace(caller, role="node", participant=row.owner)
            return self._steps.commit(
                row,
                [
                    self._steps.entry(
                        row, "VERIFIED", "consumer", caller, message, verification=signature
                    ),
                    self._steps.entry(verifying, "FINALIZED", "provider", provider),
                    self._steps.concluded(row, agreement, signature),
                ],
            )

    def terminate(
        self, caller: Identity, id: str, message: NegotiationTermination
    ) -> NegotiationRow:
        """End the negotiation as the consumer."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = of_consumer(connection, caller, id, message)
            reason = reason_text(message.code, message.reason)
            return self._steps.end(row, "consumer", caller, reason, message)
