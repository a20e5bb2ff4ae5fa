"""What a step of a negotiation must hold, apart from the state machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from policies.canonical import Json, canonical_bytes
from policies.errors import PolicyError
from policies.odrl import Agreement, Offer, agreement_from_offer, parse_agreement, parse_offer
from policies.statements import AGREEMENT_TYPE, VERIFICATION_TYPE
from server import queries
from server.dsp import store
from server.dsp.documents import NONE
from server.dsp.listing import Laws, check_listed
from server.dsp.machine import Party
from server.dsp.messages import (
    SIGNATURE,
    AgreementVerification,
    ContractRequest,
    parse_message_offer,
)
from server.dsp.negotiation import NEGOTIATION
from server.dsp.rows import NegotiationRow, OfferRow
from server.errors import BadInput, NotKnown, RuleBroken
from server.pki import Identity
from server.signed import open_payload

MAX_REASON: Final = 1000


class _FromConsumer(Protocol):
    """A message about a negotiation that exists."""

    @property
    def provider_pid(self) -> str: ...

    @property
    def consumer_pid(self) -> str: ...


def offered(offer: Offer, published: OfferRow | None) -> dict[str, Json]:
    """The consumer's offer, and whether it is the published one unchanged."""
    document = canonical_bytes(offer.to_json()).decode()
    same = published is not None and document == published.document
    return {"document": document, "word_for_word": same}


def check_step(row: NegotiationRow, after: str, by: Party) -> None:
    """Returns only if the protocol has this step; RuleBroken else."""
    illegal = NEGOTIATION.check(row.state, after, by)
    if illegal is not None:
        raise RuleBroken(illegal.text)


def check_consumer(caller: Identity) -> None:
    """Returns only for a consumer; NotKnown else."""
    if caller.role != "consumer":
        raise NotKnown("negotiations: expected a consumer")


def of_party(connection: Connection, caller: Identity, id: str) -> NegotiationRow:
    """The negotiation, for one of its two parties; NotKnown else."""
    row = store.negotiation(connection, id)
    if row is None or caller.participant not in (row.consumer, row.owner):
        raise NotKnown(f"negotiation {id!r:.140}: expected one of {caller.participant}")
    return row


def of_consumer(
    connection: Connection, caller: Identity, id: str, message: _FromConsumer
) -> NegotiationRow:
    """The negotiation for its consumer, whose message names both pids; else NotKnown, BadInput.

    Where the owner opened it, the consumer's first message says under which pid it knows it.
    """
    row = of_party(connection, caller, id)
    if row.consumer != caller.participant:
        raise NotKnown(f"negotiation {id!r:.140}: expected its consumer")
    if message.provider_pid != row.id:
        raise BadInput(f"$.providerPid: expected {row.id}, got {message.provider_pid!r:.140}")
    if row.consumer_pid is None:
        used = store.negotiation_of(connection, row.consumer, message.consumer_pid)
        if used is not None or message.consumer_pid == NONE:
            raise BadInput("$.consumerPid: expected a new id of your own for this negotiation")
        return replace(row, consumer_pid=message.consumer_pid)
    if message.consumer_pid != row.consumer_pid:
        raise BadInput(
            f"$.consumerPid: expected {row.consumer_pid}, got {message.consumer_pid!r:.140}"
        )
    return row


def of_provider(connection: Connection, caller: Identity, id: str) -> NegotiationRow:
    """The negotiation, for the owner of its product; NotKnown else."""
    row = of_party(connection, caller, id)
    if row.owner != caller.participant:
        raise NotKnown(f"negotiation {id!r:.140}: expected its data owner")
    return row


def check_opens(message: ContractRequest) -> None:
    """Returns only for a message that opens a negotiation; BadInput for an answer in one."""
    if message.consumer_pid == NONE:
        raise BadInput("$.consumerPid: expected a new id of your own for this negotiation")
    if message.provider_pid:
        raise BadInput(
            "$.providerPid: expected callbackAddress in a message that opens a negotiation; an "
            f"answer in one goes to negotiations/{message.provider_pid:.140}/request"
        )


def signature_of(message: AgreementVerification) -> bytes:
    """The consumer's envelope; BadInput that says what to send where there is none."""
    if not message.signature:
        raise BadInput(
            f"$.{SIGNATURE}: expected a DSSE envelope, got none; an agreement here is signed by "
            f"both parties: sign the payload {{version: 1, participant: your id, document: the "
            f"agreement's text word for word}} as canonical JSON, of type {VERIFICATION_TYPE}, "
            "with the Ed25519 key that you enrolled (docs/contracts.md), and send it again"
        )
    return canonical_bytes(message.signature)


def same_request(row: NegotiationRow, request: str) -> NegotiationRow:
    """The answer to an opening message that came before; RuleBroken if it was another one."""
    if row.request != request:
        raise RuleBroken(f"{row.consumer_pid}: expected a new consumerPid, this one was used")
    if row.state in NEGOTIATION.final:
        raise RuleBroken(f"{row.consumer_pid}: expected a new consumerPid, this one is {row.state}")
    return row


def read_offer(message: ContractRequest) -> tuple[str, Offer]:
    """Target and offer of a request; BadInput with the JSON path."""
    try:
        return parse_message_offer(message.offer)
    except PolicyError as error:
        raise BadInput(str(error)) from error


def of_owner(offer: Offer, owner: str) -> Offer:
    """The offer with its assigner named, who must be the product's owner; BadInput else."""
    if offer.assigner not in (None, owner):
        raise BadInput(f"$.offer.assigner: expected {owner}, got {offer.assigner!r:.80}")
    return replace(offer, assigner=owner)


def published_offer(connection: Connection, id: str, target: str, laws: Laws) -> OfferRow:
    """A standing offer of a listed product; BadInput else."""
    found = store.offer(connection, id)
    if found is None or found.withdrawn is not None or found.product != target:
        raise BadInput(f"$.offer.@id: expected an offer of {target!r:.140}, got {id!r:.140}")
    check_listed(connection, found.product, laws)
    return found


def check_new(connection: Connection, agreement: str, row: NegotiationRow) -> None:
    """Returns only if no other agreement has this id; RuleBroken else."""
    over = store.negotiation_over(connection, agreement)
    other = over is not None and over.id != row.id
    if other or queries.agreement(connection, agreement) is not None:
        raise RuleBroken(f"agreement {agreement!r:.140}: expected a new id, this one was used")


def check_owners_key(connection: Connection, row: NegotiationRow) -> None:
    """Returns only while the key that the owner signed the agreement with counts: what is logged
    in somebody's name is signed with the key that counts where it stands.

    Raises:
        RuleBroken: the owner has replaced it since.
    """
    assert row.envelope is not None  # AGREED has one
    try:
        open_payload(connection, row.owner, row.envelope, payload_type=AGREEMENT_TYPE)
    except BadInput as error:
        raise RuleBroken(
            f"{row.id}: expected an agreement under the key of {row.owner} that counts, it was "
            "replaced since; end this negotiation and ask anew"
        ) from error


def read_agreement(document: str, row: NegotiationRow) -> Agreement:
    """The agreement, if it accepts the offer on the table word for word."""
    try:
        agreement = parse_agreement(document.encode())
        expected = agreement_from_offer(
            parse_offer(row.document.encode()),
            id=agreement.id,
            target=row.product,
            assigner=row.owner,
            assignee=row.consumer,
            timestamp=agreement.timestamp,
        )
    except PolicyError as error:
        raise BadInput(f"agreement: {error}") from error
    if expected.digest != agreement.digest:
        raise BadInput(
            f"agreement: expected the offer of {row.id} word for word, about {row.product}, "
            f"between {row.owner} and {row.consumer}; got another"
        )
    if len(agreement.id) > 128 or not agreement.id.isascii():
        raise BadInput("agreement: $.@id: expected at most 128 letters, digits and . _ : / -")
    return agreement


def reason_text(code: str, reasons: list[Any]) -> str:
    """Code and reasons of a termination in one line."""
    text = "; ".join(one if isinstance(one, str) else str(one) for one in reasons)
    return (f"{code}: {text}" if code and text else code or text)[:MAX_REASON]
