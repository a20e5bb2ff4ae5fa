"""Reads of offers, negotiations, transfers and tokens, each within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select, update

from server.dsp.machine import Party
from server.dsp.negotiation import NEGOTIATION
from server.dsp.rows import NegotiationRow, OfferRow, TransferRow
from server.dsp.transfer import TRANSFER
from server.tables import NEGOTIATIONS, OFFERS, TOKENS, TRANSFERS

Row = TypeVar("Row", OfferRow, NegotiationRow, TransferRow)


def offer(connection: Connection, id: str) -> OfferRow | None:
    """The offer with this id, also one that was taken back."""
    return _one(connection, OfferRow, select(OFFERS).where(OFFERS.c.id == id))


def offers(connection: Connection) -> list[OfferRow]:
    """All, in the order of publication."""
    return _all(connection, OfferRow, select(OFFERS).order_by(OFFERS.c.entry))


def standing_offers(connection: Connection, product: str) -> list[OfferRow]:
    """A product's offers that were not taken back, oldest first."""
    standing = (OFFERS.c.product == product) & OFFERS.c.withdrawn.is_(None)
    return _all(connection, OfferRow, select(OFFERS).where(standing).order_by(OFFERS.c.entry))


def negotiation(connection: Connection, id: str) -> NegotiationRow | None:
    """The negotiation with this providerPid."""
    return _one(connection, NegotiationRow, select(NEGOTIATIONS).where(NEGOTIATIONS.c.id == id))


def negotiation_of(
    connection: Connection, consumer: str, consumer_pid: str
) -> NegotiationRow | None:
    """The negotiation that a consumer knows under this pid."""
    own = (NEGOTIATIONS.c.consumer == consumer) & (NEGOTIATIONS.c.consumer_pid == consumer_pid)
    return _one(connection, NegotiationRow, select(NEGOTIATIONS).where(own))


def negotiation_over(connection: Connection, agreement: str) -> NegotiationRow | None:
    """The negotiation in which an agreement of this id was signed."""
    own = NEGOTIATIONS.c.agreement == agreement
    return _one(connection, NegotiationRow, select(NEGOTIATIONS).where(own))


def negotiations(connection: Connection) -> list[NegotiationRow]:
    """All, by when they last moved."""
    return _all(connection, NegotiationRow, select(NEGOTIATIONS).order_by(NEGOTIATIONS.c.entry))


def negotiations_waiting(connection: Connection, owner: str) -> list[NegotiationRow]:
    """Those in which an offer of this owner was accepted that its node may agree to by itself."""
    query = (
        select(NEGOTIATIONS)
        .join(OFFERS, OFFERS.c.id == NEGOTIATIONS.c.offer)
        .where(
            NEGOTIATIONS.c.owner == owner,
            NEGOTIATIONS.c.state == "REQUESTED",
            NEGOTIATIONS.c.word_for_word.is_(True),
            OFFERS.c.auto_agree.is_(True),
            OFFERS.c.withdrawn.is_(None),
        )
        .order_by(NEGOTIATIONS.c.entry)
    )
    return _all(connection, NegotiationRow, query)


def opened_by_consumer(connection: Connection, consumer: str) -> int:
    """How many negotiations that this consumer opened have not ended."""
    return _open(connection, NEGOTIATIONS.c.consumer == consumer, "consumer")


def opened_by_owner(connection: Connection, owner: str) -> int:
    """How many negotiations that this owner opened have not ended."""
    return _open(connection, NEGOTIATIONS.c.owner == owner, "provider")


def transfer(connection: Connection, id: str) -> TransferRow | None:
    """The transfer with this providerPid."""
    return _one(connection, TransferRow, select(TRANSFERS).where(TRANSFERS.c.id == id))


def transfer_of(connection: Connection, consumer: str, consumer_pid: str) -> TransferRow | None:
    """The transfer that a consumer knows under this pid."""
    own = (TRANSFERS.c.consumer == consumer) & (TRANSFERS.c.consumer_pid == consumer_pid)
    return _one(connection, TransferRow, select(TRANSFERS).where(own))


def transfers(connection: Connection) -> list[TransferRow]:
    """All, by when they last moved."""
    return _all(connection, TransferRow, select(TRANSFERS).order_by(TRANSFERS.c.entry))


def transfers_of_run(connection: Connection, run: str) -> dict[str, TransferRow]:
    """A run's transfer process under each agreement: the newest, where it was resumed."""
    # An older one ended before the newer one began, so the newer one moved last.
    query = select(TRANSFERS).where(TRANSFERS.c.run == run).order_by(TRANSFERS.c.entry)
    return {row.agreement: row for row in _all(connection, TransferRow, query)}


def held_transfers(
    connection: Connection, run: str, *, states: Sequence[str], passing_over: Sequence[str]
) -> dict[str, TransferRow]:
    """By agreement, a run's transfers in these states, but for those with these codes."""
    query = select(TRANSFERS).where(
        TRANSFERS.c.run == run,
        TRANSFERS.c.state.in_(states),
        TRANSFERS.c.code.not_in(passing_over),
    )
    found = _all(connection, TransferRow, query.order_by(TRANSFERS.c.entry))
    return {row.agreement: row for row in found}


def transfers_waiting(
    connection: Connection, consumer: str, agreements: Sequence[str]
) -> dict[str, TransferRow]:
    """By agreement, a consumer's oldest transfer that no run carries yet."""
    query = select(TRANSFERS).where(
        TRANSFERS.c.consumer == consumer,
        TRANSFERS.c.agreement.in_(list(agreements)),
        TRANSFERS.c.state == "REQUESTED",
        TRANSFERS.c.run.is_(None),
    )
    found = _all(connection, TransferRow, query.order_by(TRANSFERS.c.entry.desc()))
    return {row.agreement: row for row in found}


def open_transfers_under(connection: Connection, agreement: str) -> list[TransferRow]:
    """The transfers under an agreement that have not ended."""
    still = TRANSFERS.c.state.not_in(TRANSFER.final)
    query = select(TRANSFERS).where(TRANSFERS.c.agreement == agreement, still)
    return _all(connection, TransferRow, query.order_by(TRANSFERS.c.entry))


def waiting_transfers(connection: Connection, consumer: str) -> int:
    """How many transfers of a consumer wait for a run."""
    query = select(func.count()).where(
        TRANSFERS.c.consumer == consumer, TRANSFERS.c.state == "REQUESTED"
    )
    return connection.scalar(query) or 0


# -- what the log does not hold: tokens and callbacks -------------------------------------------


def token(connection: Connection, digest: str) -> tuple[str, str, str] | None:
    """SHA-256, participant and expiry of the token with this SHA-256."""
    query = select(TOKENS.c.token, TOKENS.c.participant, TOKENS.c.expires)
    found = connection.execute(query.where(TOKENS.c.token == digest)).one_or_none()
    return (found.token, found.participant, found.expires) if found is not None else None


def put_token(
    connection: Connection, *, digest: str, participant: str, now: str, expires: str, most: int
) -> None:
    """Keep a token; expired ones go, and of this participant's all but the newest `most`."""
    connection.execute(delete(TOKENS).where(TOKENS.c.expires <= now))
    own = TOKENS.c.participant == participant
    kept = select(TOKENS.c.token).where(own).order_by(TOKENS.c.expires.desc()).limit(most - 1)
    connection.execute(delete(TOKENS).where(own, TOKENS.c.token.not_in(kept)))
    values = {"token": digest, "participant": participant, "expires": expires}
    connection.execute(insert(TOKENS).values(values))


def set_negotiation_callback(connection: Connection, id: str, callback: str) -> None:
    """Where the consumer of a negotiation says it would be told."""
    own = NEGOTIATIONS.c.id == id
    connection.execute(update(NEGOTIATIONS).where(own).values(callback=callback))


def set_consumer_pid(connection: Connection, row: NegotiationRow, pid: str) -> bool:
    """Note how a consumer that was told of a negotiation names it, until it says so itself.

    Returns:
        Whether that is new, and no other negotiation of this consumer's has the name.
    """
    if negotiation_of(connection, row.consumer, pid) is not None:
        return False
    own = (NEGOTIATIONS.c.id == row.id) & NEGOTIATIONS.c.consumer_pid.is_(None)
    done = connection.execute(update(NEGOTIATIONS).where(own).values(consumer_pid=pid))
    return done.rowcount == 1


def set_transfer_callback(connection: Connection, id: str, callback: str) -> None:
    """Where the consumer of a transfer says it would be told."""
    connection.execute(update(TRANSFERS).where(TRANSFERS.c.id == id).values(callback=callback))


def _open(connection: Connection, own: ColumnElement[bool], by: Party) -> int:
    still = NEGOTIATIONS.c.state.not_in(NEGOTIATION.final) & (NEGOTIATIONS.c.opened_by == by)
    return connection.scalar(select(func.count()).where(own, still)) or 0


def _one(connection: Connection, kind: type[Row], query: Select[Any]) -> Row | None:
    found = connection.execute(query).mappings().one_or_none()
    return kind(**found) if found is not None else None


def _all(connection: Connection, kind: type[Row], query: Select[Any]) -> list[Row]:
    return [kind(**found) for found in connection.execute(query).mappings()]
